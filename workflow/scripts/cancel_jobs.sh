#!/usr/bin/env bash
# Cancel this user's Slurm jobs whose names start with a prefix, and wait until they are gone: cancel_jobs.sh PREFIX
# After `kill -9` of Snakemake its jobs go on, and a second job would write the same files.
set -euo pipefail
prefix=${1:?usage: cancel_jobs.sh PREFIX}
command -v squeue >/dev/null || exit 0

jobs() { squeue --noheader --user "$(id -un)" --states all --format '%i %T %j' |
  awk -v prefix="$prefix" 'index($3, prefix) == 1 && $2 ~ /PENDING|CONFIGURING|RUNNING|COMPLETING|SUSPENDED|REQUEUE/ {print $1}'; }

mapfile -t running < <(jobs)
((${#running[@]})) || exit 0
echo "cancelling ${#running[@]} job(s): ${running[*]}" >&2
scancel "${running[@]}"
for _ in {1..120}; do
  [[ -z $(jobs) ]] && exit 0
  sleep 1
done
echo "these jobs are still there after two minutes: $(jobs | tr '\n' ' ')" >&2
exit 1
