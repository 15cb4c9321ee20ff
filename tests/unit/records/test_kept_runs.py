"""A kept run that is preserved before another run of its cycle takes its place."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tasks.common import hashing
from tasks.common.errors import InputError
from tasks.data.cycle_folder import Cycle, clinic_of, open_cycle
from tasks.privacy import purge, retention
from tasks.privacy.retention import RetentionRule
from tasks.records import archive, kept_runs, run_record
from tasks.records.store import LocalStore
from tasks.reporting.history import read_history
from tasks.reporting.kept_models import standing
from tasks.training import recording_roles, tuned_models
from tests.support import purge_cases
from tests.support.prepared_cycles import Turn, finish_turn

if TYPE_CHECKING:
    from pathlib import Path

TURN = Turn((20, 15, 5))


def finish(clinic: Path, model: bytes = b"kept", **more: Any) -> Cycle:
    """A finished run of cycle 1 that shipped these bytes; cycle 2."""
    following = open_cycle(finish_turn(clinic, 1, Turn(TURN.held_out, **more)))
    path = clinic / "cycle1/models/run/adapted_model.nemo"
    path.unlink(missing_ok=True)  # as a run does, and not in place
    path.write_bytes(model)
    record = run_record.read(following)
    record["sft"] |= {"model": str(path), "model_sha256": hashing.sha256_file(path), "value": 0.5}
    names = ("decision.json", "offline_hyps.jsonl", "baseline_hyps.jsonl")
    run_record.complete(following, {**record, "files": dict.fromkeys(names)})
    return following


def test_a_kept_run_is_preserved_whole(tmp_path: Path) -> None:
    """Model, record and evaluation; the model takes no room, and its successor leaves it alone."""
    following = finish(tmp_path)
    (tmp_path / "cycle1/models/run" / recording_roles.NAME).write_text("")
    told = kept_runs.before_run(following)
    preserved = kept_runs.preserve(following)
    assert preserved is not None
    assert told is not None
    assert str(preserved.evaluated.path.parent) in told
    assert preserved.model.samefile(tmp_path / "cycle1/models/run/adapted_model.nemo")
    for name in (*run_record.read(following)["files"], run_record.RECORD_NAME):
        copy, original = preserved.evaluated.path / name, following.path / name
        assert copy.read_bytes() == original.read_bytes()
        assert not copy.samefile(original)
    assert kept_runs.preserve(following) == preserved
    assert kept_runs.preserved_in(following) == []
    finish(tmp_path, b"worse", decision="discard")
    assert preserved.model.read_bytes() == b"kept"
    assert kept_runs.preserved_in(following) == [preserved]


@pytest.mark.parametrize("verdict", ["grow", "discard", "inconclusive"])
def test_what_was_not_kept_is_replaced(tmp_path: Path, verdict: str) -> None:
    """As before."""
    following = finish(tmp_path, decision=verdict)
    assert kept_runs.before_run(following) is None
    assert kept_runs.preserve(following) is None
    assert not (following.path / "kept").exists()


def test_a_damaged_record_stops_no_run(tmp_path: Path) -> None:
    """What it kept is not known; a new run replaces it."""
    following = finish(tmp_path)
    (following.path / "run.json").write_text("{")
    assert kept_runs.preserve(following) is None
    (following.path / "run.json").write_text(
        json.dumps({"preflight": {}, "sft": {}, "decision": {"decision": "keep"}})
    )
    assert kept_runs.preserve(following) is None


def test_a_model_that_was_replaced_is_not_called_the_kept_one(tmp_path: Path) -> None:
    """An earlier version left another model in its place: the evaluation alone is preserved."""
    following = finish(tmp_path)
    (tmp_path / "cycle1/models/run/adapted_model.nemo").write_bytes(b"another")
    assert "handoff" not in (kept_runs.before_run(following) or "handoff")
    preserved = kept_runs.preserve(following)
    assert preserved is not None
    assert not preserved.model.exists()
    told = kept_runs.beside_verdict(preserved.as_dict(), tmp_path)
    assert "handoff" not in told
    assert "was removed or replaced before this run" in told


def test_a_run_that_keeps_the_same_model_tidies_up(tmp_path: Path) -> None:
    """The copy goes; what a kill leaves of it is no run, and the next time it is made anew."""
    following = finish(tmp_path)
    preserved = kept_runs.preserve(following)
    assert preserved is not None
    folder = preserved.evaluated.path.parent
    shutil.copytree(folder, folder.with_name(f".{folder.name}.x7"))
    assert kept_runs.copies(following) == [preserved]
    (preserved.evaluated.path / "run.json").unlink()
    assert kept_runs.copies(following) == []
    assert kept_runs.preserve(following) == preserved
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    kept_runs.drop_repeated(following)
    assert not (following.path / "kept").exists()


def test_another_kept_model_stays(tmp_path: Path) -> None:
    """So does a copy in which its user has put something."""
    following = finish(tmp_path)
    first = kept_runs.preserve(following)
    finish(tmp_path, b"better")
    kept_runs.drop_repeated(following)
    assert kept_runs.preserved_in(following) == [first]
    assert first is not None
    finish(tmp_path)
    (first.evaluated.path / "handoff").mkdir()
    (first.evaluated.path / "handoff/handoff.json").write_text("{}")
    kept_runs.drop_repeated(following)
    assert first.evaluated.path.is_dir()


def test_history_and_aliases_know_it(tmp_path: Path) -> None:
    """It is champion and candidate while the run in its place kept nothing."""
    following = finish(tmp_path)
    sha256 = run_record.read(following)["sft"]["model_sha256"]
    preserved = kept_runs.preserve(following)
    assert preserved is not None
    assert read_history(tmp_path).preserved == ()
    finish(tmp_path, b"worse", decision="discard")
    found = read_history(tmp_path)
    assert not found.problems
    assert [turn.decision for turn in found.turns] == ["discard"]
    assert found.champion is not None
    assert found.champion.model == str(preserved.model)
    assert (standing(tmp_path)["champion"], standing(tmp_path)["candidate"]) == (sha256, sha256)
    alone = read_history(preserved.evaluated.path.parent)
    assert [turn.decision for turn in alone.turns] == ["keep"]


def test_its_clinic_is_that_of_the_cycles(tmp_path: Path) -> None:
    """Its name in a store and in MLflow, and the place of the log of acts."""
    preserved = kept_runs.preserve(finish(tmp_path / "Ward 3"))
    assert preserved is not None
    assert preserved.evaluated.clinic == tmp_path / "Ward 3"
    assert clinic_of(preserved.evaluated) == "ward-3"
    assert open_cycle(tmp_path / "Ward 3/cycle1").clinic == tmp_path / "Ward 3"


def test_a_model_tuned_from_it_is_known_by_its_content(tmp_path: Path) -> None:
    """Its list of recordings is found, also where the model was copied away from it."""
    following = finish(tmp_path)
    run = tmp_path / "cycle1/models/run"
    (run / recording_roles.NAME).write_text("")
    info = json.loads((run / "training_run_info.json").read_text())
    sha256 = run_record.read(following)["sft"]["model_sha256"]
    (run / "training_run_info.json").write_text(json.dumps({**info, "model_sha256": sha256}))
    preserved = kept_runs.preserve(following)
    assert preserved is not None
    copy = tmp_path / "base.nemo"
    shutil.copy(preserved.model, copy)
    shutil.rmtree(run)
    assert tuned_models.folder_of(copy, tmp_path) == preserved.model.parent


def test_retention_finds_the_sound_in_its_page(tmp_path: Path) -> None:
    """And the new hash of the page is in its record."""
    following = finish(tmp_path)
    page = following.path / "report_cycle2.html"
    page.write_text('<audio src="data:audio/wav;base64,AAAA"></audio>')
    run_record.add_files(following, [page])
    preserved = kept_runs.preserve(following)
    assert preserved is not None
    copy = preserved.evaluated.path / page.name
    for cycle in (tmp_path / "cycle1", following.path):
        for path in cycle.glob("*.json*"):
            os.utime(path, (0, 0))
    removed = retention.remove_expired(tmp_path, RetentionRule(days=1))
    assert {part.path for part in removed} == {page, copy}
    assert "data:audio" not in copy.read_text()
    files = run_record.read(preserved.evaluated)["files"]
    assert files[page.name] == hashing.sha256_file(copy)


def test_a_purge_reaches_it(tmp_path: Path) -> None:
    """Its rows go, and its figures are marked."""
    preserved = kept_runs.preserve(finish(tmp_path))
    assert preserved is not None
    request = purge_cases.request(tmp_path / "cycle1", recording="audio/0.wav")
    plan = purge.plan_purge(request, {}, dry=True)
    assert preserved.evaluated.path in plan.results
    rows = plan.changes.text(preserved.evaluated.offline_hyps)
    assert rows is not None
    assert "audio/0.wav" not in rows
    assert "audio/1.wav" in rows


def test_a_store_gets_it_with_its_own_run_alone(tmp_path: Path) -> None:
    """Not with the run of the next cycle, in whose folder it lies."""
    following = finish(tmp_path / "clinic")
    kept_runs.preserve(following)
    finish_turn(tmp_path / "clinic", 2, TURN)
    model = following.path / "models/run/adapted_model.nemo"
    record = run_record.read(following.next)
    run_record.complete(following.next, {**record, "files": {}})
    archive.keep(LocalStore(tmp_path / "store"), following, "run-1", model, "keep")
    sent = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert sent
    assert not [path for path in sent if "kept" in path.parts]


def test_a_preserved_run_is_found_where_the_cycles_were_renumbered(tmp_path: Path) -> None:
    """Its own folders keep their numbers; leaderboard and hand-off are read under the former."""
    following = finish(tmp_path)
    kept_runs.preserve(following)
    finish(tmp_path, b"worse", decision="discard")
    for number in (2, 1):
        (tmp_path / f"cycle{number}").rename(tmp_path / f"cycle1{number}")
    renumbered = open_cycle(tmp_path / "cycle12")
    (run,) = kept_runs.preserved_in(renumbered)
    assert (run.evaluated.path.name, run.has_model) == ("cycle2", True)
    board = {"schema": "asr-flywheel-leaderboard/1", "sections": []}
    for name in ("leaderboard_cycle2.md", "leaderboard_cycle2.json"):
        (renumbered.path / name).write_text(json.dumps(board))
    assert run_record.read_leaderboard(renumbered)["sections"] == []


def test_a_record_that_is_not_there_names_the_folder_that_has_it(tmp_path: Path) -> None:
    """The run's own cycle is named most often; its evaluation lies in the next one."""
    following = finish(tmp_path)
    with pytest.raises(InputError, match=f"name {following.path}, where the run on cycle1 left"):
        run_record.read(open_cycle(tmp_path / "cycle1"))
