"""The choice of what is shipped, around the decoding job, which the stub plays."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tasks.common import hashing
from tasks.common.errors import InputError, TranscriptionError
from tasks.data.cycle_folder import open_cycle
from tasks.decision.choice_rule import RULE
from tasks.decision.guardrail import GuardrailPolicy
from tasks.models.catalog import embedded_path
from tasks.runtimes.hardware import Hardware
from tasks.runtimes.local import LocalRuntime
from tasks.stages import choose, prepare
from tasks.stages.choose import ChoiceRequest
from tasks.stages.choosing_rows import ChoosingRows
from tasks.stages.shipped_model import discard_tuned
from tasks.training import run as training_run
from tasks.training.recipes import Recipe
from tests.support import stub_programs, tiny_training

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.runtimes.base import Runtime

BASE = embedded_path()
RULE_OF_FEW = replace(RULE, fewest_rows=1)


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Runtime:
    """The local one, with the stub programs."""
    for name, value in stub_programs.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return LocalRuntime(Hardware((), 2))


@pytest.fixture
def request_(tmp_path: Path, runtime: Runtime) -> ChoiceRequest:
    """A finished training, whose rows may choose."""
    assert runtime
    cycle = tiny_training.make_cycle(tmp_path / "clinic")
    tuned = tiny_training.tune(cycle, BASE, Recipe(epochs=1))
    rows = prepare.check(open_cycle(cycle), BASE, Recipe()).rows
    chooses = ChoosingRows(
        tuple(row for row in rows if row.utterance.term),
        (),
        ("drug",),
        GuardrailPolicy(),
        (cycle,),
    )
    return ChoiceRequest(BASE, tuned, chooses, "auto", RULE_OF_FEW)


def test_a_choice_that_breaks_off_leaves_the_tuned_model(
    request_: ChoiceRequest, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is half written, nothing is trained again, and the next start ends it."""
    folder = request_.tuned.info.parent
    before = {path.name: hashing.sha256_file(path) for path in folder.iterdir()}

    def fail(*_: object) -> float:
        raise RuntimeError("stopped by hand")

    with monkeypatch.context() as patch:
        patch.setattr("tasks.decision.mixture_choice.choose", fail)
        with pytest.raises(RuntimeError, match="stopped by hand"):
            choose.ship(request_, runtime)
    assert {path.name: hashing.sha256_file(path) for path in folder.iterdir()} == before
    shipped = choose.ship(request_, runtime)
    assert shipped.choice["chosen"]
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_a_record_that_was_not_written_is_made_up_for(
    request_: ChoiceRequest, runtime: Runtime
) -> None:
    """Killed between the model and its record: the training is found by its tuned model."""
    info = request_.tuned.info
    record = info.read_bytes()
    shipped = choose.ship(replace(request_, interpolate=0.5), runtime)
    info.write_bytes(record)
    asked: Any = SimpleNamespace(model_dir=info.parent, key=json.loads(record)["key"])
    found = training_run.find_finished(asked)
    assert found is not None
    assert found.model == info.with_name("tuned_model.nemo")
    again = choose.ship(replace(request_, tuned=found, interpolate=0.5), runtime)
    assert (again.reused, again.sha256) == (False, shipped.sha256)


def test_a_training_is_found_whose_tuned_model_was_not_kept(
    request_: ChoiceRequest, runtime: Runtime
) -> None:
    """It is not trained again for the same choice; another choice says what it needs."""
    info = request_.tuned.info
    shipped = choose.ship(replace(request_, interpolate=0.5), runtime)
    discard_tuned(shipped)
    key = json.loads(info.read_text())["key"]
    asked: Any = SimpleNamespace(model_dir=info.parent, key=key)
    found = training_run.find_finished(asked)
    assert found is not None
    same = replace(request_, tuned=found, interpolate=0.5)
    again = choose.ship(same, runtime)
    assert (again.reused, again.sha256, again.tuned) == (True, shipped.sha256, None)
    with pytest.raises(InputError, match="its tuned model was not kept"):
        choose.ship(replace(same, interpolate=0.25), runtime)
    shipped.model.write_bytes(b"damaged")
    assert training_run.find_finished(asked) is None


def test_other_rows_and_another_limit_are_another_choice(
    request_: ChoiceRequest, runtime: Runtime
) -> None:
    """The same is found; what the choice depends on makes a new one."""
    shipped = choose.ship(request_, runtime)
    tuned = replace(request_.tuned, model=shipped.tuned or request_.tuned.model)
    same = replace(request_, tuned=tuned)
    assert choose.ship(same, runtime).reused
    fewer = replace(request_.rows, selection=request_.rows.selection[1:])
    for other in (
        replace(same, rows=fewer),
        replace(same, rows=replace(request_.rows, policy=GuardrailPolicy.of_points(3.0))),
        replace(same, rule=replace(RULE_OF_FEW, refinements=1)),
    ):
        assert other.key != same.key


def test_a_job_that_fails_is_told_with_its_logs_end(
    request_: ChoiceRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its work folder is gone."""
    broken = tmp_path / "programs"
    stub_programs.own_programs(broken, interpolate="raise SystemExit('no such weights')")
    monkeypatch.setenv("ASR_FLYWHEEL_ENTRYPOINTS", str(broken))
    with pytest.raises(TranscriptionError, match=r"(?s)interpolation ended.*no such weights"):
        choose.ship(request_, LocalRuntime(Hardware((), 2)))
    assert not list(request_.tuned.info.parent.glob(".*"))
