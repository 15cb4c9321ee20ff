"""Processes by the kernel's start time, and groups of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tasks.common.processes import group_lives, process_status

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.needs("proc")

# A process names itself as it likes: brackets, spaces, and bytes that are no UTF-8.
ODD = r"""
import pathlib, sys, time
pathlib.Path("/proc/self/comm").write_bytes(b") Z \xff\xfe (")
print("named", flush=True)
time.sleep(60)
"""


@pytest.fixture
def odd() -> Iterator[subprocess.Popen[str]]:
    """A process of such a name, in a group of its own."""
    line = [sys.executable, "-c", ODD]
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "named\n"
        yield process
        process.kill()


def test_a_process_is_known_by_its_start(odd: subprocess.Popen[str]) -> None:
    """The same at each look, and another one than an earlier process has."""
    status = process_status(odd.pid)
    assert status is not None
    assert status == process_status(odd.pid)
    own = process_status(os.getpid())
    assert own is not None
    assert int(own.started) < int(status.started)
    assert (status.group, status.is_zombie) == (odd.pid, False)


def test_a_name_that_is_no_text_hides_no_process(odd: subprocess.Popen[str]) -> None:
    """Ending a site reads the status of every process of the machine, whatever it is called."""
    assert group_lives(odd.pid)


def test_a_zombie_is_no_living_process(odd: subprocess.Popen[str]) -> None:
    """It only waits for its parent; its group has ended."""
    os.kill(odd.pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while not ((status := process_status(odd.pid)) and status.is_zombie):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not group_lives(odd.pid)
    odd.wait()
    assert process_status(odd.pid) is None
