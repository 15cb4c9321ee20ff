"""A signal to the group of a command ends it and its programs, with a line on going on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks.evaluation.hypotheses import Hypothesis, write_hypotheses
from tests.integration.processes.test_purge import BASE, make_clinic
from tests.integration.processes.test_stopped_run import started_by
from tests.support import factories, prefect_site, riva_server, stub_programs
from tests.support.riva_server import Faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AGAIN = "give the same command again"
SIGNALS = [
    pytest.param(signal.SIGTERM, id="timeout"),
    pytest.param(signal.SIGINT, id="ctrl-c", marks=pytest.mark.by_night),
]
Command = subprocess.Popen[str]


@contextmanager
def started(
    folder: Path, *arguments: str, programs: Path = stub_programs.STUB
) -> Iterator[Command]:
    """A command in a group of its own, in a folder."""
    environment = {**os.environ, "PREFECT_HOME": str(folder / "prefect")}
    environment["ASR_FLYWHEEL_ENTRYPOINTS"] = str(programs)
    with subprocess.Popen(
        [sys.executable, "-m", "asr_flywheel", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as command:
        try:
            yield command
        finally:
            for pid in (*started_by(command.pid), command.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def stop(command: Command, number: signal.Signals, ready: Callable[[], object]) -> str:
    """Stop a command that is at work as `timeout` does it; return what it wrote since."""
    prefect_site.wait_for(lambda: ready() or command.poll() is not None)
    assert command.poll() is None, command.communicate()
    below = started_by(command.pid)
    command.send_signal(number)
    os.killpg(command.pid, number)
    _, said = command.communicate(timeout=30)
    assert command.returncode == 128 + number, said
    prefect_site.wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below), 10)
    return said


def runs(command: Command, program: str) -> bool:
    """Whether a command has started a program."""
    return any(program in line for line in started_by(command.pid).values())


@pytest.mark.parametrize("number", SIGNALS)
def test_a_sheet_ends_in_one_line(number: signal.Signals, tmp_path: Path) -> None:
    """While it decodes."""
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    factories.write_wav(recordings / "1.wav", 2.0)
    (recordings / "manifest.jsonl").touch()
    with (
        stub_programs.held(recordings, stub_programs.HOLD_DECODING),
        started(tmp_path, "sheet", "recordings", "sheet", "--base", "embedded") as command,
    ):
        *lines, last = stop(command, number, lambda: runs(command, "transcribe.py")).splitlines()
    assert not [line for line in lines if "Traceback" in line]
    assert last == f"stopped by {number.name}: {AGAIN} to go on from what is decoded"


@pytest.mark.by_night
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_measurement_of_boosting_ends_in_one_line(number: signal.Signals, tmp_path: Path) -> None:
    """While its one job decodes."""
    make_clinic(tmp_path)
    programs = shutil.copytree(stub_programs.STUB, tmp_path / "programs")
    (programs / "boost_strengths.py").write_text("import time\ntime.sleep(600)\n")
    line = ("boost", "cycle1", *BASE[:2], "--priority", "drug")
    with started(tmp_path, *line, programs=programs) as command:
        told = stop(command, number, lambda: runs(command, "boost_strengths.py"))
    assert told.splitlines()[-1] == f"stopped by {number.name}: {AGAIN}"
    assert "Traceback" not in told


@pytest.mark.by_night
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_comparison_of_what_is_served_ends_in_one_line(
    number: signal.Signals, tmp_path: Path
) -> None:
    """While the endpoint is busy; Prefect and the server of its own included."""
    cycle = factories.make_cycle(tmp_path)
    rows = [json.loads(line) for line in (cycle / "manifest.jsonl").read_text().splitlines()]
    for place, row in enumerate(rows):
        factories.write_wav(cycle / row["audio_filepath"], 1.0, seed=place)
    evaluated = [Hypothesis(row["audio_filepath"], row["text"], row["text"]) for row in rows]
    write_hypotheses(cycle / "offline_hyps.jsonl", evaluated)
    called = threading.Event()
    with riva_server.running(tmp_path, Faults(busy=10_000, on_call=called.set)) as server:
        line = ("validate-serving", "cycle1", "--endpoint", server.address, "--model", "embedded")
        with started(tmp_path, *line) as command:
            told = stop(command, number, called.is_set)
    assert told == f"stopped by {number.name}: {AGAIN} to go on from what was answered\n"
