"""NVRTC must not write into bytes that the interpreter shares; see nvrtc_guard.py.

Without the guard an interpreter is unusable afterwards, so that each case has one of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.runtimes.base import ENTRY
from tasks.runtimes.failures import Fault, from_log

# A kernel that compiles without a word: its log is the terminator alone.
_KERNEL = 'extern "C" __global__ void silent() {}'
_ENDING = """
shared = bytes(range(256))
wrong = [value for value in shared if shared[value : value + 1][0] != value]
import json, sys
try:
    nvrtc_guard.check()
    said = ""
except nvrtc_guard.CorruptedBytesError as found:
    said = f"{type(found).__name__}: {found}"
json.dump({"wrong": wrong, "said": said}, open(sys.argv[1], "w"))
"""
# NeMo's own function. Python compiles it here, as at a first start, or for a user who may not write
# beside it; its literal out of a .pyc would not be the shared object.
_THROUGH_NEMO = """
import nvrtc_guard
from pathlib import Path
from nemo.core.utils import cuda_python_utils as found
exec(compile(Path(found.__file__).read_text(), found.__file__, "exec"), vars(found))
from nemo.core.utils.cuda_python_utils import run_nvrtc
{install}
try:
    run_nvrtc({kernel!r}, b"silent", b"silent.cu")
except Exception as stopped:
    # There is no GPU to load it on; NVRTC has done its part by then.
    assert "cuda" in str(stopped).lower(), stopped
"""
# Bindings that write as NVRTC does, for a machine that has none, and a caller with NeMo's idiom.
_STAND_IN = """
import ctypes
_HEADER = bytes.__basicsize__ - 1
class nvrtcResult: NVRTC_SUCCESS = 0
def _write(buffer, text):
    ctypes.memmove(id(buffer) + _HEADER, text + bytes(1), len(text) + 1)
    return (0,)
def nvrtcGetProgramLogSize(prog): return 0, 1
def nvrtcGetProgramLog(prog, log): return _write(log, b"")
def nvrtcGetPTXSize(prog): return 0, len(prog) + 1
def nvrtcGetPTX(prog, ptx): return _write(ptx, prog)
def nvrtcGetCUBINSize(prog): return 1, None
def nvrtcGetCUBIN(prog, cubin): return (1,)
def nvrtcGetLoweredName(prog, name_expression): return 0, name_expression
"""
_THROUGH_STAND_IN = """
import nvrtc_guard
from {module} import nvrtc
def run(prog):
    error, size = nvrtc.nvrtcGetProgramLogSize(prog)
    log = b" " * size
    nvrtc.nvrtcGetProgramLog(prog, log)
    error, size = nvrtc.nvrtcGetPTXSize(prog)
    ptx = b" " * size
    nvrtc.nvrtcGetPTX(prog, ptx)
    return ptx
taken = run
{install}
assert taken(b"ptx of a kernel") == b"ptx of a kernel" + bytes(1)
assert nvrtc.nvrtcGetCUBINSize(b"p") == (1, None)
assert nvrtc.nvrtcGetLoweredName(b"p", b"k") == (0, b"k")
"""
_INSTALL = "assert nvrtc_guard.install() > 0 and nvrtc_guard.install() == 0"


def _run(program: str, tmp_path: Path, **environment: str) -> dict[str, object]:
    """Run a program and the check, in an interpreter of their own."""
    told = tmp_path / "told.json"
    path = os.pathsep.join([str(ENTRY), *filter(None, [environment.pop("path", "")])])
    done = subprocess.run(
        [sys.executable, "-c", program + _ENDING, str(told)],
        env={**os.environ, **environment, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(told.read_text())
    return found


@pytest.mark.needs("nvrtc")
@pytest.mark.parametrize("guarded", [pytest.param(False, marks=pytest.mark.by_night), True])
def test_nemo_compiles_a_kernel_through_real_nvrtc(*, guarded: bool, tmp_path: Path) -> None:
    """NeMo's own function; a lone space byte is NUL afterwards, unless NVRTC is guarded."""
    folder = os.environ["FLYWHEEL_NVRTC"]
    program = _THROUGH_NEMO.format(install=_INSTALL if guarded else "", kernel=_KERNEL)
    libraries = {str(found.parent) for found in Path(folder).rglob("libnvrtc.so*")}
    found = _run(program, tmp_path, path=folder, LD_LIBRARY_PATH=os.pathsep.join(libraries))

    if guarded:
        assert found == {"wrong": [], "said": ""}
    else:
        assert found["wrong"] == [ord(" ")]
        assert from_log(str(found["said"])) is Fault.BYTES_OVERWRITTEN


@pytest.mark.parametrize("module", ["cuda.bindings", "cuda"])
@pytest.mark.parametrize("guarded", [False, True])
def test_the_older_bindings_and_functions_taken_by_name(
    module: str, *, guarded: bool, tmp_path: Path
) -> None:
    """The same with a stand-in of the bindings, under both of their names."""
    folder = tmp_path / "site" / module.replace(".", "/")
    folder.mkdir(parents=True)
    (folder / "nvrtc.py").write_text(_STAND_IN)
    (folder / "__init__.py").touch()  # else an installed one comes first
    program = _THROUGH_STAND_IN.format(module=module, install=_INSTALL if guarded else "")
    found = _run(program, tmp_path, path=str(tmp_path / "site"))

    assert found["wrong"] == ([] if guarded else [ord(" ")])
    assert bool(found["said"]) is not guarded


_DECODE = """
import ctypes
import decoding_pipeline, transcribe
class Model:
    def describe(self): return "planned"
transcribe.load = lambda *_: Model()
decoding_pipeline.prepare = lambda *_, **__: None
def garble(*_, **__):
    ctypes.memset(id(bytes(range(256))[7:8]) + bytes.__basicsize__ - 1, 0, 1)
    return [["a text"]]
decoding_pipeline.transcribe_variants = garble
transcribe.main()
"""


def test_texts_of_a_garbled_process_are_not_kept(tmp_path: Path) -> None:
    """The transcription ends with a fault of its own before it writes them."""
    out = tmp_path / "out.jsonl"
    one_set = {"audio": ["a.wav"], "durations": [1.0], "out": str(out)}
    request = {"jobs": [{"model": "a.nemo", "sets": [one_set]}]}
    (tmp_path / "request.json").write_text(json.dumps(request))
    done = subprocess.run(
        [sys.executable, "-c", _DECODE, str(tmp_path / "request.json")],
        env={**os.environ, "PYTHONPATH": str(ENTRY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert from_log(done.stderr) is Fault.BYTES_OVERWRITTEN
    assert not out.exists()


def test_without_the_bindings_there_is_nothing_to_guard(tmp_path: Path) -> None:
    """Most machines without a GPU have no cuda-python."""
    hidden = "import sys\nsys.modules['cuda'] = None\nimport nvrtc_guard\n"
    found = _run(hidden + "assert nvrtc_guard.install() == 0\n", tmp_path)

    assert found == {"wrong": [], "said": ""}
