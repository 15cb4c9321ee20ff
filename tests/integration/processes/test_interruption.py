"""A command that is stopped by a signal says that the same command goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.integration.processes.test_reviewed_run import labelled_clinic
from tests.support import stub_programs

if TYPE_CHECKING:
    from pathlib import Path

_WORKS = """
import signal, sys, time
# Whoever starts the tests in the background may have it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
from asr_flywheel.signal_ends import ended_by_signals
with ended_by_signals("what is decoded", server_apart=False):
    print("begun", flush=True)
    time.sleep(60)
assert not [name for name in sys.modules if name.split(".")[0] == "prefect"]  # seconds to import
"""
SAID = "give the same command again to go on from what is decoded"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_command_says_how_to_go_on(number: signal.Signals) -> None:
    """In one line, with the exit code that a shell gives to the signal."""
    with subprocess.Popen(
        [sys.executable, "-c", _WORKS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as work:
        assert work.stdout is not None
        assert work.stdout.readline() == "begun\n"
        work.send_signal(number)
        _, complained = work.communicate(timeout=30)
    assert complained.splitlines() == [f"stopped by {number.name}: {SAID}"]
    assert work.returncode == 128 + number


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    """As `nohup` and some schedulers have it."""
    ignoring = f"import signal; signal.signal(15, signal.SIG_IGN)\n{_WORKS}".replace("60", "0.5")
    with subprocess.Popen(
        [sys.executable, "-c", ignoring], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as work:
        assert work.stdout is not None
        assert work.stdout.readline() == "begun\n"
        work.terminate()
        _, complained = work.communicate(timeout=30)
    assert (work.returncode, complained) == (0, "")


@pytest.mark.by_night
def test_a_stopped_run_is_done_by_the_same_command(tmp_path: Path) -> None:
    """Prefect's own handling of the signal included."""
    clinic = labelled_clinic(tmp_path)
    command = [
        *(sys.executable, "-m", "asr_flywheel.cli", "run", "cycle1", "--base", "embedded"),
        *("--epochs", "1", "--general", "none", "--priority", "drug", "--variants", "1"),
    ]
    environment = {**os.environ, **stub_programs.ENVIRONMENT}
    with (
        stub_programs.held(clinic / "cycle1"),
        subprocess.Popen(
            command,
            cwd=clinic,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as run,
    ):
        assert run.stdout is not None
        assert any(" sft " in line for line in run.stdout)
        run.terminate()
        _, complained = run.communicate(timeout=60)
    assert (
        "stopped by SIGTERM: give the same command again to go on from what is finished"
        in complained
    )
    assert run.returncode == 128 + signal.SIGTERM
    again = subprocess.run(command, cwd=clinic, env=environment, capture_output=True, check=False)
    assert again.returncode == 0, again.stderr
    assert (clinic / "cycle2/run.json").is_file()
