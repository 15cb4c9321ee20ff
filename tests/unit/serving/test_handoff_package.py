"""The folder that is handed on: whole, of the model that was measured, and checked."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tasks.common import hashing
from tasks.common.errors import InputError
from tasks.data.cycle_folder import open_cycle
from tasks.models.catalog import embedded_path
from tasks.serving import handoff, handoff_package
from tests.support import factories, finished_runs
from tests.support.handoff_cases import handed_on

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_a_cycle_without_a_finished_run_is_bad_input(cycle: Path) -> None:
    """The message says how to make one."""
    with pytest.raises(InputError, match=f"`asr-flywheel run {re.escape(str(cycle))}`"):
        handoff_package.find_tuned(open_cycle(cycle))


def test_only_the_model_that_was_measured_is_handed_on(cycle: Path) -> None:
    """Another file at its place is noticed by its hash; moved cycles find it beside them."""
    finished_runs.finish(cycle, embedded_path())
    moved = cycle.parent.with_name("elsewhere")
    cycle.parent.rename(moved)
    tuned = handoff_package.find_tuned(open_cycle(moved / cycle.name))
    assert tuned.model.is_relative_to(moved)
    tuned.model.write_bytes(tuned.model.read_bytes()[:-1] + b"!")
    with pytest.raises(InputError, match="the run that was measured made"):
        handoff_package.find_tuned(open_cycle(moved / cycle.name))
    tuned.model.unlink()
    with pytest.raises(InputError, match="asr-flywheel fetch"):
        handoff_package.find_tuned(open_cycle(moved / cycle.name))


def rewrite(name: str, old: str, new: str) -> Callable[[Path], None]:
    """Change a file and write its new hash into the record, as a careless editor might."""

    def change(folder: Path) -> None:
        path = folder / name
        path.write_text(path.read_text().replace(old, new))
        record = json.loads((folder / "handoff.json").read_text())
        if name in record["files"]:
            record["files"][name] = hashing.sha256_file(path)
            (folder / "handoff.json").write_text(json.dumps(record))

    return change


def as_before_build_scripts(folder: Path) -> None:
    """A hand-off of an earlier version: it has no build.sh, and its record knows of none."""
    (folder / "build.sh").unlink()
    record = json.loads((folder / "handoff.json").read_text())
    del record["files"]["build.sh"]
    (folder / "handoff.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda folder: (folder / "handoff.json").unlink(), "no whole hand-off"),
        (as_before_build_scripts, "build.sh: is missing"),
        (lambda folder: (folder / "adapted_model.nemo").unlink(), "is missing"),
        (lambda folder: (folder / "MODEL_CARD.md").write_text("kept"), "SHA-256"),
        (rewrite("handoff.json", '"decoder": "ctc"', '"decoder": "tdt"'), "own configuration"),
        (rewrite("handoff.json", "decoder=greedy_ctc", "decoder=nemo"), "riva_decoder_flag"),
        (rewrite("handoff.json", "parakeet-*-ctc-*", "parakeet-tdt-*"), "nim_family"),
        (rewrite("handoff.json", "deploy/adapted_model.nemo", "deploy/m.nemo"), "not there"),
        (rewrite("build.sh", "decoder=greedy_ctc", "decoder=nemo"), "another riva-build"),
    ],
)
def test_verifying_finds_what_is_wrong_with_a_hand_off(
    cycle: Path, change: Callable[[Path], object], told: str
) -> None:
    """Missing, changed, or at odds with the model's own decoder."""
    folder = handed_on(cycle)
    assert len(handoff_package.verify(folder)) == 3
    change(folder)
    with pytest.raises(InputError, match=told):
        handoff_package.verify(folder)


def test_a_hand_off_replaces_an_earlier_one_and_nothing_else(cycle: Path) -> None:
    """A folder that is something else stays as it is."""
    folder = handed_on(cycle)
    tuned = handoff_package.find_tuned(open_cycle(cycle))
    accepted = handoff_package.judge_tuned(tuned, "ctc")
    assert isinstance(accepted, handoff.Accepted)
    (folder / "MODEL_CARD.md").write_text("old")
    handoff_package.write(tuned, accepted, folder)
    assert (folder / "MODEL_CARD.md").read_text() != "old"
    other = cycle / "audio"
    before = factories.snapshot(cycle)
    with pytest.raises(InputError, match="no hand-off"):
        handoff_package.write(tuned, accepted, other)
    assert factories.snapshot(cycle) == before
