"""A training request, and a launcher that does what a test has planned."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tasks.data.split_parts import Split
from tasks.data.training_set import TrainingSet
from tasks.runtimes import base as runtimes
from tasks.runtimes import local as local_runtime
from tasks.runtimes.local import LocalRuntime
from tasks.training import run as training_run
from tasks.training.recipes import Recipe, recipe
from tests.support import factories, stub_programs
from tests.support.hosts import CPU

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from tasks.runtimes.hardware import Hardware


STAND_IN = """
import json, sys, shutil
from pathlib import Path
request = json.loads(Path(sys.argv[1]).read_text())
plan = json.loads(Path(__file__).with_name("plan.json").read_text())
for number in range(40):
    print("log line", number)
print(plan["says"])
with open(request["events"], "a") as out:
    for event in plan["events"]:
        out.write(json.dumps(event) + "\\n")
if plan["model"]:
    (argument,) = [a for a in request["arguments"] if a.startswith("exp_manager.exp_dir=")]
    folder = Path(argument.partition("=")[2].strip("'")) / "sft" / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(plan["model"], folder / "sft.nemo")
sys.exit(plan["exit_code"])
"""


def start(**values: Any) -> dict[str, Any]:
    """The event of a start."""
    return {
        "event": "start",
        "time": 0.0,
        "epoch": 0,
        "step": 0,
        "batches_per_epoch": 2,
        "rows": 8,
        "parameters": 1000,
        "devices": 1,
        "nemo": "3.0.0",
        "torch": "2.13.0",
        **values,
    }


def step(epoch: int, batch: int, loss: float = 1.0) -> dict[str, Any]:
    """The event of a batch."""
    return {
        "event": "step",
        "time": 0.0,
        "epoch": epoch,
        "step": batch,
        "batch": batch,
        "loss": loss,
        "lr": 1e-4,
        "seconds": 0.25,
        "gpu_memory_mib": 100 + batch,
    }


def epoch(number: int, val_wer: float | None = 0.5) -> dict[str, Any]:
    """The event of a validation."""
    return {
        "event": "epoch",
        "time": 0.0,
        "epoch": number,
        "step": 2 * (number + 1),
        "train_loss": 1.0,
        "val_loss": 2.0,
        "val_wer": val_wer,
        "seconds": 0.5,
        "gpu_memory_mib": 0,
    }


def end(*, early: bool = False) -> dict[str, Any]:
    """The event of an orderly end."""
    return {"event": "end", "time": 0.0, "epoch": 0, "step": 0, "stopped_early": early}


WHOLE = [start(), step(0, 1), step(0, 2), epoch(0, 0.9), epoch(1, 0.4), epoch(2, 0.6), end()]


def request_in(folder: Path, nemo: Path, wanted: Recipe | None = None) -> training_run.SftRequest:
    """A run on two rows to train on and one held out."""
    rows = [
        {"audio_filepath": f"{folder}/audio/{n}.wav", "text": "hello", "duration": 1.0}
        for n in range(3)
    ]
    data = TrainingSet(
        train=factories.write_rows(folder / "train.jsonl", rows[:2]),
        validation=factories.write_rows(folder / "validation.jsonl", rows[2:]),
        split=Split((1, 2), (3,), ()),
        durations=(1.0, 1.0),
        content="content",
    )
    return training_run.SftRequest(
        base=nemo,
        base_name="mine.nemo",
        data=data,
        recipe=wanted or recipe("verified"),
        model_dir=folder / "models" / "run",
        audio_roots=(folder,),
        key="key",
    )


def local(hardware: Hardware = CPU, programs: Path | None = None) -> LocalRuntime:
    """This machine, with the programs of a folder."""
    return LocalRuntime(hardware, programs=programs or runtimes.entrypoints())


def plan_launcher(folder: Path, monkeypatch: pytest.MonkeyPatch, made: Path) -> Callable[..., None]:
    """Put the stand-in in the launcher's place; the returned function says what it shall do."""
    entry = stub_programs.own_programs(folder / "entry", launch_training=STAND_IN)
    monkeypatch.setenv(runtimes.ENTRYPOINTS_VARIABLE, str(entry))
    monkeypatch.setattr(local_runtime, "_POLL_S", 0.01)

    def make(
        events: list[dict[str, Any]],
        *,
        exit_code: int = 0,
        says: str = "the end",
        model: Path | None = made,
    ) -> None:
        told = {
            "events": events,
            "exit_code": exit_code,
            "says": says,
            "model": str(model) if model else None,
        }
        (entry / "plan.json").write_text(json.dumps(told))

    return make
