#!/usr/bin/env bash
# Make a virtual environment with exactly the locked versions: install.sh FOLDER
# torch comes first and outside the lock, so that pip takes the wheel that suits this machine; then everything else by
# hash and without looking for dependencies, then this project, then a check that all of it fits together.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:?usage: install.sh FOLDER}
python=${PYTHON:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "found $("$python" --version), needed is 3.11 or newer: make setup PYTHON=/path/to/python3.11" >&2
  exit 1
}
[[ -x $folder/bin/python ]] || "$python" -m venv "$folder"
pip=("$folder/bin/python" -m pip --disable-pip-version-check)
"${pip[@]}" install --quiet torch==2.13.0

# uv installs the rest in seconds; where it cannot be had, pip does the same in minutes.
if "${pip[@]}" install --quiet uv; then
  install=("$folder/bin/uv" pip install --compile-bytecode --python "$folder/bin/python")  # a start saves seconds, a run has hundreds
else
  install=("${pip[@]}" install)
fi
lock=(--quiet --no-deps --require-hashes -r requirements/lock.txt)
# scib's wheel brings a program that needs glibc 2.38; where there is a compiler it is built here instead.
command -v g++ >/dev/null && lock+=(--no-binary scib)
"${install[@]}" "${lock[@]}"
"${install[@]}" --quiet --no-deps --editable .
"$folder/bin/python" -m compileall -q src
"${pip[@]}" check
