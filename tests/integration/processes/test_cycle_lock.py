"""The lock of a cycle's folder ends with the process that holds it."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from tasks.data.cycle_folder import Cycle, open_cycle
from tasks.data.cycle_lock import CycleBusyError, lock_cycle

if TYPE_CHECKING:
    from pathlib import Path

FOREIGN = """
import sys
from pathlib import Path
from tasks.data.cycle_lock import lock_cycle
from tasks.data.cycle_folder import open_cycle
with lock_cycle(open_cycle(Path(sys.argv[1])), following=len(sys.argv) > 2):
    print("mine", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def cycles(tmp_path: Path) -> list[Cycle]:
    """Cycles 1 to 3 of a clinic."""
    for number in (1, 2, 3):
        (tmp_path / f"cycle{number}").mkdir()
    return [open_cycle(tmp_path / f"cycle{number}") for number in (1, 2, 3)]


def test_a_killed_run_gives_its_claim_back_to_who_waits(cycles: list[Cycle]) -> None:
    """The kernel does; the one that waits says so once, and goes on."""
    first, second, _ = cycles
    line = [sys.executable, "-c", FOREIGN, str(first.path), "following"]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"mine\n"
        said: list[str] = []
        got = threading.Event()

        def wait() -> None:
            with lock_cycle(second, lambda: said.append("waits")):
                got.set()

        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not got.wait(2)
        other.kill()
        waiting.join(30)
    assert got.is_set()
    assert said == ["waits"]


def test_who_is_refused_learns_which_process_holds_the_cycle(cycles: list[Cycle]) -> None:
    """By its number and command, whether it works on this cycle or on the one before."""
    first, second, third = cycles
    line = [sys.executable, "-c", FOREIGN, str(first.path), "following"]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"mine\n"
        for cycle in (first, second):
            with pytest.raises(CycleBusyError) as refused, lock_cycle(cycle):
                pass
            assert f"(process {other.pid}: {sys.executable} -c" in str(refused.value)
        with (
            lock_cycle(third),
            pytest.raises(CycleBusyError) as refused,
            lock_cycle(third, following=True),
        ):
            pass
        assert f"process {other.pid}" not in str(refused.value)
        other.kill()
