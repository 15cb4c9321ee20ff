"""The agent of a Slurm job, started as the job's script does: what it takes for a task's end.

No cluster is needed: Slurm's part is a signal to each process of the job, one after the other.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import tasks
from tasks.runtimes.slurm.allocation import _AGENT
from tasks.runtimes.slurm.spool import EXIT_ABANDONED, Spool, Task
from tests.support import prefect_site

if TYPE_CHECKING:
    from collections.abc import Iterator

LATE_S = 0.7
"""So much later than the program the agent gets Slurm's signal: it looks ten times a second."""


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """A job's folder, as the run leaves it for the agent."""
    made = Spool(tmp_path / "spool")
    made.folder.mkdir()
    made.heartbeat.touch()
    made.restart.write_text("0")
    return made


def put(spool: Spool, line: str) -> None:
    """Ask for a program, which a shell runs in the job's folder."""
    argv = ["/bin/sh", "-c", line]
    spool.put(1, Task(argv, str(spool.folder / "task.log"), str(spool.folder)))


@contextmanager
def agent(spool: Spool, restart: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """The agent of a job that Slurm has started again so often; it releases the job in 5 s."""
    root = str(Path(tasks.__file__).resolve().parents[1])
    line = [sys.executable, "-c", _AGENT, root, str(spool.folder), "60", "5"]
    environment = {**os.environ, "SLURM_RESTART_COUNT": str(restart)}
    with subprocess.Popen(line, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("code", ["1", "143"])
def test_a_program_that_slurm_ends_first_is_run_again(spool: Spool, code: str) -> None:
    """Whatever code it ends with; the job's next start runs it, and its end is then the task's."""
    put(
        spool,
        f"trap 'exit {code}' TERM; test -e again && exit 0; echo $$ > pid; touch again; "
        "while :; do sleep 0.05; done",
    )
    pid = spool.folder / "pid"
    with agent(spool) as first:
        prefect_site.wait_for((spool.folder / "again").exists)
        os.kill(int(pid.read_text()), signal.SIGTERM)
        time.sleep(LATE_S)
        assert first.poll() is None
        first.send_signal(signal.SIGTERM)
        assert first.wait(30) == -signal.SIGTERM & 0xFF
    assert spool.exit_code(1) is None
    with agent(spool, restart=1):
        prefect_site.wait_for(lambda: spool.exit_code(1) is not None)
    assert spool.exit_code(1) == 0


def test_the_end_of_a_program_that_runs_elsewhere_by_now_is_no_end(spool: Spool) -> None:
    """A node that Slurm took for lost still has the folder, and another start has the task."""
    put(spool, "while ! test -e done; do sleep 0.05; done")
    with agent(spool) as lost:
        prefect_site.wait_for(spool.begun(1).exists)
        spool.restart.write_text("1")
        (spool.folder / "done").touch()
        assert lost.wait(30) == EXIT_ABANDONED
    assert spool.exit_code(1) is None
