"""The stub programs of the tests, against the real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tasks.common import atomic_files
from tasks.data.cycle_folder import open_cycle
from tasks.models import catalog, nemo_archive
from tasks.runtimes.base import (
    ENTRY,
    ENTRYPOINTS_VARIABLE,
)
from tasks.stages import evaluate
from tasks.training.recipes import recipe
from tests.support import stub_programs, tiny_training

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.training.run import SftResult


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another folder of programs, which the variable names."""
    folder = stub_programs.own_programs(tmp_path / "programs", transcribe="print('mine')")
    monkeypatch.setenv(ENTRYPOINTS_VARIABLE, str(folder))
    return folder


# The stub of the tests, against the real programs.


def shape(result: SftResult) -> dict[str, Any]:
    """What a training leaves, by names and types alone."""
    info = atomic_files.read_json(result.info)
    events: dict[str, dict[str, str]] = {}
    for event in result.events.read():
        events.setdefault(event["event"], {name: type(event[name]).__name__ for name in event})
    archive = nemo_archive.open_archive(result.model)
    return {
        "files": sorted(path.name for path in result.model.parent.iterdir()),
        "runs": len(list(result.model.parent.parent.iterdir())),
        "events": {name: {**kinds, "cuda_graphs": ""} for name, kinds in events.items()},
        "order": list(events),
        "info": sorted(info),
        "runtime": sorted(info["runtime"]),
        "epochs": len(result.epochs),
        "decoder": archive.decoder,
        "tokenizer": archive.tokenizer_model,
    }


def hypotheses(cycle: Path, model: Path) -> tuple[list[list[str]], list[str]]:
    """The names of each hypothesis' fields, and what was reported, without its figures."""
    said: list[str] = []
    out = cycle.parent / "hyps.jsonl"
    evaluate.transcribe_baseline(open_cycle(cycle), str(model), out, (), said.append)
    rows = [sorted(row) for row in atomic_files.read_jsonl(out)]
    return rows, [line.split()[-1] for line in said if "real time" in line]


def test_the_stub_leaves_what_the_real_programs_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real training and a real decoding, and the stub's: events, files, record, hypotheses."""
    base = catalog.resolve("embedded")
    quick = recipe("verified").model_copy(update={"epochs": 1})
    found: dict[str, Any] = {}
    for name, programs in (("real", ENTRY), ("stub", stub_programs.STUB)):
        monkeypatch.setenv(ENTRYPOINTS_VARIABLE, str(programs))
        cycle = tiny_training.make_cycle(tmp_path / name)
        result = tiny_training.tune(cycle, base, quick)
        found[name] = shape(result), hypotheses(cycle, result.model)
    for stub, real in zip(found["stub"], found["real"], strict=True):
        assert stub == real
