#!/usr/bin/env bash
# NeMo 3.0.0's run_nvrtc has NVRTC write an empty log into `b" " * size` with size 1, which is the
# literal itself (NVIDIA-NeMo/Speech#15790). Whether that harms anybody depends on where the literal
# came from: in the process that compiled NeMo's source it is CPython's shared b" ", so that from
# then on bytes([32]) reads as NUL; out of a .pyc it is an object of its own, and nothing is seen.
# So the first start after an installation without compiled files fails, the second does not, and a
# user who may not write beside the package (a container's, say) fails every time. No GPU is needed.
set -euo pipefail
unset PYTHONDONTWRITEBYTECODE PYTHONPYCACHEPREFIX
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/venv"
python=$work/venv/bin/python
install=("$python" -m pip install --quiet --disable-pip-version-check)
"${install[@]}" torch==2.13.0
"${install[@]}" "nemo_toolkit[asr]==3.0.0" numpy==2.4.6 cuda-bindings==13.3.1 nvidia-cuda-nvrtc==13.3.33
"${install[@]}" --no-deps --no-compile --force-reinstall nemo_toolkit==3.0.0
"$python" --version
"$python" -m pip list --disable-pip-version-check 2>/dev/null |
  grep -i -E '^(nemo_toolkit|nemo-toolkit|cuda-bindings|nvidia-cuda-nvrtc|torch) '

cat >"$work/compile.py" <<'PYTHON'
from nemo.core.utils.cuda_python_utils import run_nvrtc

try:
    run_nvrtc('extern "C" __global__ void silent() {}', b"silent", b"silent.cu")
except Exception as stopped:  # without a GPU the compiled kernel cannot be loaded
    print(f"then: {stopped}")
# In one piece: where the byte is overwritten, print() puts NUL between its arguments.
print(f"bytes([32])[0] is {bytes([32])[0]}")
PYTHON

observe() { # WHEN WANTED
  said=$("$python" "$work/compile.py" 2>/dev/null)
  echo "$1: $said"
  case $said in *"bytes([32])[0] is $2") ;; *) echo "expected: $2" >&2; exit 1 ;; esac
}

observe "first start, compiled from source" 0
observe "second start, from its .pyc" 32
