"""Programs of another folder, run; and the stub of the tests, which needs no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tasks.runtimes.base import (
    ENTRY,
    ENTRYPOINTS_VARIABLE,
    OWN_CONFIG,
    OWN_SCRIPT,
    Job,
)
from tasks.runtimes.hardware import Gpu, Hardware
from tasks.runtimes.local import LocalRuntime
from tests.support import stub_programs
from tests.support.hosts import CPU

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another folder of programs, which the variable names."""
    folder = stub_programs.own_programs(tmp_path / "programs", transcribe="print('mine')")
    monkeypatch.setenv(ENTRYPOINTS_VARIABLE, str(folder))
    return folder


def test_the_local_runtime_runs_them_and_says_so(programs: Path, tmp_path: Path) -> None:
    """Program, fine-tuning script and YAML are those of the folder."""
    runtime = LocalRuntime(CPU)
    assert runtime.script.path == str(programs / OWN_SCRIPT.name)
    assert runtime.script.config == str(programs / OWN_CONFIG)
    seen: list[str] = []
    job = Job("transcription", "transcribe.py", {}, tmp_path / "work", (), {})
    assert runtime.execute(job, seen.append, lambda: None).exit_code == 0
    assert seen == ["mine"]
    said: list[str] = []
    runtime.check(said.append)
    assert any(str(programs) in line for line in said)


# The same 64 MB twenty times: the kernel clears them once, or each time anew.
ALLOCATES = """
import ctypes, resource
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
for _ in range(20):
    piece = libc.malloc(64 << 20)
    ctypes.memset(piece, 1, 64 << 20)
    libc.free(piece)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def test_memory_that_was_freed_serves_again_on_a_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No page is cleared twice; what the user sets for glibc counts; a GPU's host is left alone."""
    folder = stub_programs.own_programs(tmp_path / "programs", transcribe=ALLOCATES)
    monkeypatch.setenv(ENTRYPOINTS_VARIABLE, str(folder))

    def faults(hardware: Hardware) -> int:
        seen: list[str] = []
        job = Job("transcription", "transcribe.py", {}, tmp_path / "work", (), {})
        assert LocalRuntime(hardware).execute(job, seen.append, lambda: None).exit_code == 0
        return int(seen[-1])

    pages = (64 << 20) // 4096
    assert faults(CPU) < 3 * pages
    assert faults(Hardware((Gpu("NVIDIA L4"),), 2)) > 15 * pages
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", str(1 << 20))
    assert faults(CPU) > 15 * pages


@pytest.mark.parametrize(
    ("hardware", "by_user", "turns"),
    [
        (CPU, {}, "3000"),
        (CPU, {"GOMP_SPINCOUNT": "7"}, "7"),
        (CPU, {"OMP_WAIT_POLICY": "active"}, "None"),
        (Hardware((Gpu("NVIDIA L4"),), 2), {}, "None"),
    ],
)
def test_threads_that_wait_leave_their_core_to_others_on_a_cpu(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    hardware: Hardware,
    by_user: dict[str, str],
    turns: str,
) -> None:
    """Unless the user wants it otherwise, by OpenMP's variable or by GNU's."""
    source = "import os; print(os.environ.get('GOMP_SPINCOUNT'))"
    folder = stub_programs.own_programs(tmp_path / "programs", transcribe=source)
    monkeypatch.setenv(ENTRYPOINTS_VARIABLE, str(folder))
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in by_user.items():
        monkeypatch.setenv(name, value)
    seen: list[str] = []
    job = Job("transcription", "transcribe.py", {}, tmp_path / "work", (), {})
    assert LocalRuntime(hardware).execute(job, seen.append, lambda: None).exit_code == 0
    assert seen == [turns]


def test_the_stubs_yaml_and_probe_are_the_real_ones() -> None:
    """The keys that the recipe overrides, and the fields of an image's answer."""
    assert (stub_programs.STUB / OWN_CONFIG).read_bytes() == (ENTRY / OWN_CONFIG).read_bytes()
    keys = []
    for folder in (ENTRY, stub_programs.STUB):
        line = [sys.executable, str(folder / "image_probe.py"), "/none"]
        said = subprocess.run(line, capture_output=True, text=True, check=True).stdout
        keys.append(list(json.loads(said.partition(": ")[2])))
    assert keys[0] == keys[1]


def test_the_stub_needs_no_torch() -> None:
    """It would cost what the stub is there to save."""
    program = "import sys, launch_training, transcribe; sys.exit('torch' in sys.modules)"
    path = str(stub_programs.STUB)
    subprocess.run([sys.executable, "-c", program], check=True, env={"PYTHONPATH": path})
