"""A signal to the group of a run ends it, its server and its programs, with a line on going on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.processes.test_purge import BASE, make_clinic
from tests.support import prefect_site, stub_programs

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_S = 15
NIGHT = pytest.mark.by_night


@pytest.fixture
def training(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A run in a group of its own, while it trains."""
    make_clinic(tmp_path)
    (tmp_path / "cycle1" / stub_programs.HOLD_TRAINING).touch()
    run = subprocess.Popen(
        [sys.executable, "-m", "asr_flywheel", "run", "cycle1", *BASE, "--epochs", "2"],
        cwd=tmp_path,
        env={**os.environ, **stub_programs.ENVIRONMENT, "PREFECT_HOME": str(tmp_path / "prefect")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert run.stdout is not None
        while "epochs," not in run.stdout.readline():
            assert run.poll() is None
        yield run
    finally:
        for pid in (*started_by(run.pid), run.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        run.wait()


def started_by(pid: int) -> dict[int, str]:
    """The processes that a process has started, and those have started, with their commands."""
    found: dict[int, str] = {}
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found[child] = Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ")
            found |= started_by(child)
    return found


@pytest.mark.parametrize(
    ("number", "code", "server_too"),
    [
        pytest.param(signal.SIGTERM, 143, False, id="timeout"),
        pytest.param(signal.SIGINT, 130, False, id="ctrl-c", marks=NIGHT),
        pytest.param(signal.SIGTERM, 143, True, id="whole-job", marks=NIGHT),
    ],
)
def test_a_signal_ends_the_run_in_one_line(
    training: subprocess.Popen[str], number: signal.Signals, code: int, *, server_too: bool
) -> None:
    """As `timeout` stops it, Ctrl-C, or systemd, which stops the server as well."""
    below = started_by(training.pid)
    (server,) = (pid for pid, command in below.items() if "uvicorn" in command)
    began = time.monotonic()
    if server_too:
        os.kill(server, signal.SIGKILL)
    training.send_signal(number)  # `timeout` sends it to the program, and then to its group
    os.killpg(training.pid, number)
    _, said = training.communicate(timeout=60)
    assert training.returncode == code
    assert time.monotonic() - began < LONGEST_S + 5 * server_too
    *traces, line = said.splitlines()
    assert server_too or not traces  # Prefect may have missed its server before the signal came
    assert line.startswith(f"stopped by {number.name}: give the same command again to go on")
    prefect_site.wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below), 10)
