#!/usr/bin/env bash
# nemo_toolkit 3.0.0: importing nemo.collections.asr initialises CUDA's driver, and torch does not know of it.
#
# nemo.core.utils.optional_libs asks numba.cuda.is_available() while it is imported, and numba answers by cuInit. After
# that torch.cuda.is_initialized() still says False, so nothing warns; but a process that is forked from here cannot use
# the GPU, since the driver's state does not survive a fork. A server that imports NeMo once and forks its jobs meets it,
# and so does a data loader whose forked workers touch CUDA. If a fork asks the question in the parent's place, the
# import leaves the driver alone: seen on two H200, where forks of such a process trained and decoded.
# A stand-in of libcuda.so.1, which counts calls of cuInit, makes it visible without a GPU.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check torch==2.13.0
"$python" -m pip install --quiet --disable-pip-version-check "nemo_toolkit[asr]==3.0.0" numpy==2.4.6 numba==0.68.1
"$python" -m pip list --disable-pip-version-check 2>/dev/null | grep -i -E '^(nemo_toolkit|nemo-toolkit|numba|torch) '

cat >"$work/driver.c" <<'C'
#include <stdio.h>
#include <stdlib.h>
int cuInit(unsigned flags) {
  FILE *calls = fopen(getenv("CALLS"), "a");
  fprintf(calls, "%u\n", flags);
  fclose(calls);
  return 100; /* no device */
}
int cuDriverGetVersion(int *version) { *version = 13000; return 0; }
C
mkdir "$work/lib"
gcc -shared -fPIC -Wl,-soname,libcuda.so.1 -o "$work/lib/libcuda.so.1" "$work/driver.c"

cat >"$work/asked_by_a_fork.py" <<'PYTHON'
import os

import numba.cuda


def ask():
    pid = os.fork()
    if pid == 0:
        os.environ["CALLS"] = os.devnull
        os._exit(int(plain()))
    return os.waitpid(pid, 0)[1] != 0


plain, numba.cuda.is_available = numba.cuda.is_available, ask
import nemo.collections.asr
import torch

print("torch.cuda.is_initialized():", torch.cuda.is_initialized())
PYTHON
cat >"$work/plain.py" <<'PYTHON'
import nemo.collections.asr
import torch

print("torch.cuda.is_initialized():", torch.cuda.is_initialized())
PYTHON

observe() { # PROGRAM CALLS
  : >"$work/calls"
  said=$(CALLS=$work/calls LD_LIBRARY_PATH=$work/lib "$python" "$work/$1.py" 2>/dev/null | grep is_initialized)
  echo "$1: cuInit was called $(wc -l <"$work/calls") times; $said"
  [ "$(wc -l <"$work/calls")" = "$2" ] && [[ $said == *False ]]
}

observe plain 1
observe asked_by_a_fork 0
