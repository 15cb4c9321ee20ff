"""The program server: programs in forks of a process that has imported the libraries once.

The libraries here are empty packages of the names that it imports, so that it begins at once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks.common.processes import process_status, stop_group
from tasks.runtimes import program_server
from tasks.runtimes.program_server import ServedProgram, ServerGoneError
from tests.support import prefect_site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIBRARIES = (
    "lightning/pytorch.py",
    "nemo/collections/asr.py",
    "nemo/core/config.py",
    "nemo/utils/exp_manager.py",
)
# What tells whether there is a GPU, as NeMo asks it while it is imported.
GPU_LIBRARIES = {
    "numba/cuda.py": "is_available = bool\n",
    "torch/cuda.py": "is_available = bool\ndevice_count = int\n",
}
# CUDA's driver as far as the server knows it.
DRIVER = """
static int initialised;
int cuInit(unsigned flags) { (void)flags; initialised = 1; return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return initialised ? 0 : 3; }
"""
_WAIT_S = 30.0


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment in which the libraries are empty, and one of them says that it is there."""
    folder = tmp_path / "libraries"
    for name, source in {**dict.fromkeys(LIBRARIES, ""), **GPU_LIBRARIES}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
        for package in path.relative_to(folder).parents[:-1]:
            (folder / package / "__init__.py").touch()
    yield {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    program_server.close_all()


def start(
    environment: dict[str, str], folder: Path, source: str, *arguments: str
) -> tuple[ServedProgram, Path]:
    """Have a program of this source run; it and its output."""
    program, log = folder / "program.py", folder / "program.log"
    program.write_text(source, encoding="utf-8")
    with log.open("wb") as out:
        served = program_server.start(
            sys.executable, environment, [str(program), *arguments], str(folder), out.fileno()
        )
    while not served.has_begun(_WAIT_S):
        pass
    return served, log


ECHO = """
import json, os, sys
import nemo.core.config
values = [sys.argv[1:], os.getcwd(), os.environ.get("MINE"), os.getpgid(0) == os.getpid()]
print(json.dumps([__name__, *values, nemo.core.config.__file__.endswith("config.py")]))
print("to standard error", file=sys.stderr)
print(sys.path[0], sys.stdin.read() == "")
"""


def test_a_program_runs_as_if_it_had_been_started(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Arguments, folder, environment, group and output are its own; its neighbours are found."""
    served, log = start({**environment, "MINE": "x y"}, tmp_path, ECHO, "a", "b c")
    assert served.wait(_WAIT_S) == 0
    lines = log.read_text().splitlines()
    assert sorted(lines) == sorted(
        [
            f'["__main__", ["a", "b c"], "{tmp_path}", "x y", true, true]',
            "to standard error",
            f"{tmp_path} True",
        ]
    )


@pytest.mark.parametrize(
    ("source", "code", "output"),
    [
        ("import sys; sys.exit(75)", 75, ""),
        ("import sys; sys.exit()", 0, ""),
        ("import sys; sys.exit('GpuBusy: no')", 1, "GpuBusy: no\n"),
        ("import os; os._exit(7)", 7, ""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9, ""),
        ("import atexit; atexit.register(print, 'at exit')", 0, "at exit\n"),
        (
            "from threading import Timer; Timer(0.2, print, ['late']).start()",
            0,
            "late\n",
        ),
        ("import os, sys; os.execv(sys.executable, ['x', '-c', 'print(1); exit(3)'])", 3, "1\n"),
    ],
)
def test_its_end_is_told_as_the_interpreter_would(
    environment: dict[str, str], tmp_path: Path, source: str, code: int, output: str
) -> None:
    """Codes, texts, signals, what was registered for the end, threads, another program."""
    served, log = start(environment, tmp_path, source)
    assert served.wait(_WAIT_S) == code
    assert log.read_text() == output


def test_an_error_leaves_its_traceback(environment: dict[str, str], tmp_path: Path) -> None:
    """The log's last line names it, by which faults are told apart."""
    served, log = start(environment, tmp_path, "def f():\n    raise OSError('full')\nf()\n")
    assert served.wait(_WAIT_S) == 1
    assert log.read_text().splitlines()[-1] == "OSError: full"


def test_programs_share_a_server_and_no_state(environment: dict[str, str], tmp_path: Path) -> None:
    """Each is a fork of the same process, and sees nothing that another one changed."""
    source = "import os, nemo.core.config as c\nprint(os.getppid(), getattr(c, 'x', 0))\nc.x = 1\n"
    outputs = []
    for _ in range(2):
        served, log = start(environment, tmp_path, source)
        assert served.wait(_WAIT_S) == 0
        outputs.append(log.read_text())
    assert outputs[0] == outputs[1]
    assert outputs[0].endswith(" 0\n")


def test_another_environment_has_another_server(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """What libraries may read when they are imported counts; what only the project reads does not.

    The former server ends: each holds the libraries in memory.
    """
    parents = []
    for extra in ({}, {"PREFECT_API_URL": "http://x"}, {"OMP_NUM_THREADS": "1"}):
        served, log = start({**environment, **extra}, tmp_path, "import os; print(os.getppid())")
        served.wait(_WAIT_S)
        parents.append(int(log.read_text()))
    first, second, third = parents
    assert first == second != third
    assert process_status(first) is None


def test_a_program_is_stopped_with_its_children(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Its group gets the signal; the server lives on."""
    source = "import subprocess, time\nsubprocess.Popen(['sleep', '60'])\ntime.sleep(60)\n"
    served, _ = start(environment, tmp_path, source)
    stop_group(served)
    assert served.poll() == -signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.killpg(served.pid, 0)
    again, log = start(environment, tmp_path, "print('on')")
    assert again.wait(_WAIT_S) == 0
    assert log.read_text() == "on\n"


OWNER = """
import sys
from tasks.runtimes import program_server
program, log, environment = sys.argv[1], open(sys.argv[2], "wb"), dict(__import__("os").environ)
served = program_server.start(sys.executable, environment, [program], "/tmp", log.fileno())
while not served.has_begun(30):
    pass
print(served.pid, flush=True)
served.wait(60)
"""


def test_nothing_outlives_an_owner_that_is_killed(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Neither the server nor the program that it runs."""
    program = tmp_path / "program.py"
    program.write_text("import os, time\nprint(os.getppid(), flush=True)\ntime.sleep(60)\n")
    log = tmp_path / "log"
    line = [sys.executable, "-c", OWNER, str(program), str(log)]
    path = os.pathsep.join([environment["PYTHONPATH"], str(Path(__file__).parents[3])])
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, text=True, env={**environment, "PYTHONPATH": path}
    ) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        _until(lambda: log.read_text().strip())
        server = int(log.read_text())
        owner.kill()
    _until(lambda: not any(_runs(one) for one in (pid, server)))


def test_a_server_that_dies_takes_its_program_with_it(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """The program's end is told as a kill, and the next program gets another server."""
    source = "import os, time\nprint(os.getppid(), flush=True)\ntime.sleep(60)\n"
    served, log = start(environment, tmp_path, source)
    _until(lambda: log.read_text().strip())
    os.kill(int(log.read_text()), signal.SIGKILL)
    assert served.wait(_WAIT_S) == -signal.SIGKILL
    _until(lambda: not _runs(served.pid))
    again, _ = start(environment, tmp_path, "")
    assert again.wait(_WAIT_S) == 0


def test_libraries_that_cannot_be_imported_are_no_server(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """The runtime then starts the program by itself, whose log tells why."""
    (Path(environment["PYTHONPATH"]) / LIBRARIES[0]).write_text("raise ImportError\n")
    with pytest.raises(ServerGoneError):
        start(environment, tmp_path, "print('never')")


@pytest.fixture
def driver(tmp_path: Path) -> Path:
    """A library that says, as CUDA's driver does, whether it was initialised."""
    source, built = tmp_path / "driver.c", tmp_path / "libcuda.so.1"
    source.write_text(DRIVER, encoding="utf-8")
    line = ["gcc", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", str(built), str(source)]
    subprocess.run(line, check=True)
    return built


def _numba(environment: dict[str, str], driver: Path, *, early: bool) -> None:
    """Have numba initialise the driver when it is imported, or when it is asked."""
    (Path(environment["PYTHONPATH"]) / "numba" / "cuda.py").write_text(
        f"import ctypes\ndriver = ctypes.CDLL({str(driver)!r})\n"
        + ("driver.cuInit(0)\n" if early else "")
        + "def is_available():\n    return driver.cuInit(0) == 0\n",
        encoding="utf-8",
    )


def test_a_server_that_has_initialised_a_gpu_driver_forks_nothing(
    environment: dict[str, str], tmp_path: Path, driver: Path
) -> None:
    """A fork could not use the GPU."""
    _numba(environment, driver, early=True)
    with pytest.raises(ServerGoneError):
        start(environment, tmp_path, "print('never')")


def test_forks_ask_whether_there_is_a_gpu(
    environment: dict[str, str], tmp_path: Path, driver: Path
) -> None:
    """A library has its answer, and a program can initialise the driver afterwards.

    NeMo 3.0.0 asks numba while it is imported, which initialises the driver.
    """
    _numba(environment, driver, early=False)
    (Path(environment["PYTHONPATH"]) / "nemo" / "core" / "config.py").write_text(
        "import numba.cuda\nthere_is_one = numba.cuda.is_available()\n", encoding="utf-8"
    )
    source = """
import ctypes, nemo.core.config, numba.cuda
count = numba.cuda.driver.cuDeviceGetCount
print(nemo.core.config.there_is_one, count(ctypes.byref(ctypes.c_int())))
print(numba.cuda.is_available(), count(ctypes.byref(ctypes.c_int())))
"""
    served, log = start(environment, tmp_path, source)
    assert served.wait(_WAIT_S) == 0
    assert log.read_text().splitlines() == ["True 3", "True 0"]


def test_a_program_that_nobody_waits_for_is_ended(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """A run that is cancelled while the libraries are imported leaves nothing behind."""
    mark = tmp_path / "mark"
    slow = Path(environment["PYTHONPATH"]) / LIBRARIES[0]
    slow.write_text("import time\ntime.sleep(1)\n")
    program = tmp_path / "program.py"
    program.write_text(f"import time\ntime.sleep(1)\nopen({str(mark)!r}, 'w')\n")
    with (tmp_path / "log").open("wb") as out:
        served = program_server.start(
            sys.executable, environment, [str(program)], str(tmp_path), out.fileno()
        )
    served.abandon()
    again, _ = start(environment, tmp_path, "import time\ntime.sleep(1.5)\n")
    assert again.wait(_WAIT_S) == 0
    assert not mark.exists()


def _runs(pid: int) -> bool:
    status = process_status(pid)
    return status is not None and not status.is_zombie


def _until(condition: Callable[[], object]) -> None:
    prefect_site.wait_for(condition, _WAIT_S)
