#!/usr/bin/env bash
# nvidia-cuda-nvrtc 13.0.88: libnvrtc, loaded by its path, compiles no kernel.
#
# Expected: the wheel has libnvrtc.so.13 and libnvrtc-builtins.so.13.0 in one folder. A program that
# loads the first by its full path can compile a kernel; no GPU is needed for that.
# Behaviour: nvrtcCreateProgram succeeds. nvrtcCompileProgram of any kernel returns 7
# (NVRTC_ERROR_BUILTIN_OPERATION_FAILURE) and says that it failed to open the builtins, which are
# beside it. The library looks for them by bare name and has no run path of its own folder. Once
# the program has loaded the builtins itself, by their path, the same library compiles: the loader
# then knows that name. It need not be loaded again, also not after it failed.
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "nvidia-cuda-nvrtc==13.0.88"

cd "$folder"
env -u LD_LIBRARY_PATH "$folder/venv/bin/python" - <<'PYTHON'
import ctypes
import importlib.metadata
from pathlib import Path

files = importlib.metadata.files("nvidia-cuda-nvrtc")
beside = {Path(one).name: str(one.locate()) for one in files if ".so" in one.name}
print("nvidia-cuda-nvrtc", importlib.metadata.version("nvidia-cuda-nvrtc"), sorted(beside))
nvrtc = ctypes.CDLL(beside["libnvrtc.so.13"])


def compile_kernel():
    program = ctypes.c_void_p()
    text = b'extern "C" __global__ void add(float* a) { a[threadIdx.x] += 1; }'
    made = nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, b"add.cu", 0, None, None)
    compiled = nvrtc.nvrtcCompileProgram(program, 0, None)
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    print("create", made, "compile", compiled, log.value.decode().strip())
    return compiled


first = compile_kernel()
ctypes.CDLL(beside["libnvrtc-builtins.so.13.0"])
print("builtins loaded by their path")
second = compile_kernel()
raise SystemExit(0 if (first, second) == (7, 0) else 1)
PYTHON
