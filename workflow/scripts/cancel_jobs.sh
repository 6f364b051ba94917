#!/usr/bin/env bash
# Stop what a killed Snakemake left running: cancel_jobs.sh PREFIX
# After `kill -9` its jobs go on, and a second job would write the same files. Cancels this user's Slurm jobs whose names start
# with PREFIX and the processes of jobs that run in this folder, and waits until they are gone.
set -euo pipefail
prefix=${1:?usage: cancel_jobs.sh PREFIX}
job='bin/scprint2 (pretrain|predict) |/\.snakemake/scripts/|workflow/scripts/run_notebook\.py |ipykernel_launcher '

# Ids of this user's processes that work in this folder and whose command line fits a pattern.
processes() {
  local entry command
  for entry in /proc/[0-9]*; do
    [[ -O $entry && $(readlink "$entry/cwd" 2>/dev/null) == "$PWD" ]] || continue
    command=$(tr '\0\n' '  ' <"$entry/cmdline" 2>/dev/null) || continue
    if [[ $command =~ $1 ]]; then echo "${entry##*/}"; fi
  done
}

slurm_jobs() {
  local table
  command -v squeue >/dev/null || return 0
  if ! table=$(squeue --noheader --user "$(id -un)" --states all --format '%i %T %j' 2>&1); then
    echo "Slurm does not answer, so its jobs are left alone: ${table##*$'\n'}" >&2
    return 0
  fi
  awk -v prefix="$prefix" <<<"$table" \
    'index($3, prefix) == 1 && $2 ~ /PENDING|CONFIGURING|RUNNING|COMPLETING|SUSPENDED|REQUEUE/ {print $1}'
}

if [[ -n $(processes 'bin/snakemake |-m snakemake ') ]]; then
  echo "Snakemake is running in this folder; stop it first (Ctrl-C cancels its jobs too)" >&2
  exit 1
fi
mapfile -t here < <(processes "$job")
mapfile -t there < <(slurm_jobs)
((${#here[@]} + ${#there[@]})) || exit 0
echo "stopping processes: ${here[*]:-none}; cancelling Slurm jobs: ${there[*]:-none}" >&2
if ((${#here[@]})); then kill "${here[@]}" 2>/dev/null || true; fi
if ((${#there[@]})); then scancel "${there[@]}"; fi
for _ in {1..120}; do
  left=$(processes "$job"; slurm_jobs)
  [[ -z $left ]] && exit 0
  sleep 1
done
echo "still there after two minutes: $left" >&2
exit 1
