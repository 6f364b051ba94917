#!/usr/bin/env bash
# Compile requirements.in to lock.txt, with hashes; versions that lock.txt holds already are kept (delete it to renew them).
# torch and what its CUDA wheels bring stay outside: a machine without a GPU has other wheels, with other hashes.
set -euo pipefail
cd "$(dirname "$0")"
outside=(torch triton)
for name in bindings pathfinder toolkit; do outside+=("cuda-$name"); done
for name in cublas cuda-cupti cuda-nvrtc cuda-runtime cudnn-cu13 cufft cufile curand cusolver cusparse cusparselt-cu13 \
  nccl-cu13 nvjitlink nvshmem-cu13 nvtx; do outside+=("nvidia-$name"); done
uv pip compile requirements.in --constraints constraints.txt --python-version 3.11 --generate-hashes --no-annotate \
  "${outside[@]/#/--no-emit-package=}" --custom-compile-command "make lock" --quiet --output-file lock.txt
