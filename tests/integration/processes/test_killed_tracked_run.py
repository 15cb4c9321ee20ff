"""A tracked run that is killed in mid-training, and the same command once more.

The stub programs train and decode; the MLflow server is real.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tasks.common import atomic_files
from tasks.records.tracking.outbox import outboxes
from tasks.runtimes.base import ENTRYPOINTS_VARIABLE
from tests.support import prefect_site, stub_programs
from tests.support.mlflow_server import MlflowServer, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.needs("mlflow-server"), pytest.mark.by_night]

LOAD = "system/disk_usage_percentage"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MlflowServer]:
    """A server that runs."""
    with running_server(tmp_path / "mlflow") as found:
        yield found


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """The stub, whose training is held after each checkpoint, and not before the first."""
    folder = tmp_path / "programs"
    shutil.copytree(stub_programs.STUB, folder, ignore=shutil.ignore_patterns("__pycache__"))
    launcher = folder / "launch_training.py"
    text = launcher.read_text()
    wait = 'hold(Path(rows["train"][0]["audio_filepath"]))'
    written = 'last.write_text(json.dumps({"epoch": epoch + 1, "step": step}))'
    assert text.count(wait) == text.count(written) == 1
    text = text.replace(wait, "pass").replace(written, f"{written}\n        {wait}")
    launcher.write_text(text)
    return folder


def history(server: MlflowServer, run: Any, name: str) -> list[tuple[int, float]]:
    """Every value that the server has of a figure, with its step."""
    found = server.client.get_metric_history(run.info.run_id, name)
    return sorted((one.step, one.value) for one in found)


def steps(server: MlflowServer, clinic: str, name: str) -> list[int]:
    """The steps of a figure that the server has of the clinic's only run."""
    runs = server.runs(clinic)
    return [step for step, _ in history(server, runs[0], name)] if runs else []


def test_a_killed_run_goes_on_as_the_same_run(
    server: MlflowServer, programs: Path, fresh_cycle: Path, tmp_path: Path
) -> None:
    """Killed with its sender after an epoch, while the server was away: all is there, and once."""
    clinic = fresh_cycle.parent.name
    command = ["run", str(fresh_cycle), "--base", "embedded", "--epochs", "3", "--general", "none"]
    command += ["--variants", "1", "--interpolate", "off", "--track", server.uri]
    log = tmp_path / "log"
    with stub_programs.held(fresh_cycle), log.open("wb") as out:
        killed = subprocess.Popen(
            [sys.executable, "-m", "asr_flywheel", *command],
            env={
                **os.environ,
                ENTRYPOINTS_VARIABLE: str(programs),
                "PREFECT_HOME": str(tmp_path / "prefect"),
            },
            stdout=out,
            stderr=out,
            start_new_session=True,
        )

        def sent() -> bool:
            return killed.poll() is not None or bool(steps(server, clinic, "train/val_wer"))

        prefect_site.wait_for(sent)
        prefect_site.wait_for(
            lambda: bool(steps(server, clinic, LOAD)) or killed.poll() is not None
        )
        server.off()
        # The host's load is read every ten seconds: such a line is not sent by this start.
        (outbox,) = outboxes(fresh_cycle)
        before = len(outbox.lines())
        prefect_site.wait_for(lambda: len(outbox.lines()) > before or killed.poll() is not None)
        assert killed.poll() is None, log.read_text()
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait()
    assert outbox.read_sent(server.uri).sent < outbox.last
    server.on()
    (run,) = server.runs(clinic)
    assert [step for step, _ in history(server, run, "train/val_wer")] == [1]
    assert run.info.status == "RUNNING"

    done = stub_programs.run_command(tmp_path, *command, programs=programs)
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = server.runs(clinic)
    assert run.info.status == "FINISHED"
    (outbox,) = outboxes(fresh_cycle)
    state = outbox.read_sent(server.uri)
    lines = outbox.lines()
    assert (state.sent, state.refused, state.problem) == (outbox.last, [], None)
    wanted: dict[str, list[tuple[int, float]]] = {}
    for line in lines:
        if line["kind"] == "metric":
            wanted.setdefault(line["name"], []).append((line["step"], line["value"]))
    assert {name: history(server, run, name) for name in run.data.metrics} == {
        name: sorted(values) for name, values in wanted.items()
    }
    # Each figure has one value a step: the second start has repeated none.
    assert [name for name, values in wanted.items() if len(dict(values)) != len(values)] == []
    assert [step for step, _ in sorted(wanted["train/val_wer"])] == [1, 2, 3]
    assert len(wanted[LOAD]) >= 2
    record = atomic_files.read_json(fresh_cycle.parent / "cycle2" / "run.json")
    assert run.data.tags["decision"] == record["decision"]["decision"]
    assert {"run.json", "decision.json", "hypotheses/offline_hyps.jsonl"} <= server.files(run)
    (info,) = fresh_cycle.glob("models/*/training_run_info.json")
    assert len(atomic_files.read_json(info)["starts"]) == 2
