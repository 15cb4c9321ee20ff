"""What a tuned base was trained on judges nothing: its list outranks seed, name and split.

Each input is one that a public thread tells of; the thread stands at the test.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asr_flywheel import cli
from tasks.common import atomic_files, hashing
from tasks.common.errors import InputError
from tasks.data.cycle_folder import open_cycle
from tasks.data.split_parts import Disjointness, Split
from tasks.decision.gate_policy import GatePolicy
from tasks.evaluation.baseline import find_baseline
from tasks.evaluation.hypotheses import Partition
from tasks.evaluation.result_reading import read_hypotheses
from tasks.gpu_hosts import upload
from tasks.models import catalog
from tasks.records import verdict_ledger
from tasks.stages import boosting_inputs, compare, evaluate, prepare
from tasks.training import run as training_run
from tasks.training import tuned_models
from tasks.training.recipes import recipe
from tasks.training.recording_roles import RecordingRoles
from tasks.transcription.audio_sets import Transcript
from tests.support import factories
from tests.support.tuned_base_cases import evaluation, evaluations, manifest, recording, tuned_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.decision.gate import GateResult


def split(cycle: Path, base: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> None:
    """Run ``asr-flywheel split``."""
    arguments = ["asr-flywheel", "split", str(cycle), "--base", str(base), *more]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0


def apart_from_training(folder: Path) -> set[int]:
    """The numbers of the recordings that a split has judge or choose."""
    paths = [folder / f"{name}.jsonl" for name in ("validation", "selection")]
    lines = [line for path in paths if path.is_file() for line in path.read_text().splitlines()]
    rows = [json.loads(line) for line in lines]
    return {int(row["audio_filepath"].rpartition("/")[2].removesuffix(".wav")) for row in rows}


# thuml/Transferable-Query-Selection#4, Mephisto405/Learning-Loss-for-Active-Learning#5: a model is
# tuned further, and what the round before trained on stands among the rows that judge.


@pytest.mark.parametrize(
    "more", [(), ("--two-part",), ("--hold-out-terms",), ("--selection-share", "0.3")]
)
def test_what_the_base_was_tuned_on_is_not_split_off_to_judge(
    cycle: Path, lower_nemo: Path, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...]
) -> None:
    """Nor what chose it: the list beside the base outranks the seed."""
    seen = {0, 1, 2, 5, 6}
    model = tuned_model(cycle, lower_nemo, [0, 1, 5, 6], chose=[2])
    split(cycle, model, monkeypatch, "--seed", "7", *more)
    assert not apart_from_training(cycle) & seen


# shivammehta25/Matcha-TTS#135, mehta-lab/microDL#203: nobody knows any more what a checkpoint was
# trained on, since it was renamed or copied away from its record.


@pytest.mark.parametrize("name", ["cardiology-v2.nemo", "models/base-verified-1234/best.nemo"])
def test_a_tuned_base_under_another_name_keeps_its_list(
    cycle: Path, lower_nemo: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It is known by its content among the models of the clinic's cycles."""
    model = tuned_model(cycle, lower_nemo, [0, 1, 5, 6], chose=[2])
    copied = cycle / name
    shutil.copyfile(model, copied)
    later = factories.make_cycle(cycle.parent, 2)
    for folder in (cycle, later):
        split(folder, copied, monkeypatch, "--seed", "7")
        assert not apart_from_training(folder) & {0, 1, 2, 5, 6}


@pytest.mark.parametrize("name", ["cardiology-v2.nemo", training_run.MODEL_NAME])
def test_a_base_takes_its_list_to_a_rented_host(
    cycle: Path, lower_nemo: Path, tmp_path: Path, name: str
) -> None:
    """There it lies in a folder of its own, without the cycles that know it."""
    model = tuned_model(cycle, lower_nemo, [0, 1, 2])
    base = shutil.copyfile(model, tmp_path / name) if name != model.name else model
    cargo = upload.UploadPlan(open_cycle(cycle), str(base))
    placed, parts = upload._plan_parts("/host", cargo, tmp_path / "staging")
    there = tmp_path / "host/inputs/base"
    there.mkdir(parents=True)
    for part in parts:
        if part.target.endswith("inputs/base"):
            for one in part.names:
                shutil.copyfile(part.folder / one, there / one)
    found = tuned_models.roles_of(there / placed.base.rpartition("/")[2], tmp_path / "host")
    assert len(found.trained) == 3


def test_a_base_that_no_cycle_trained_has_no_list(cycle: Path, lower_nemo: Path) -> None:
    """Its name alone makes no tuned model of it, and another run's list is not its own."""
    tuned_model(cycle, lower_nemo, [0, 1, 2])
    other = factories.write_nemo(cycle / "other.nemo", spelling=b"another")
    assert tuned_models.folder_of(other, cycle.parent) is None
    record = cycle / "models/base-verified-1234/training_run_info.json"
    base = hashing.sha256_file(lower_nemo)
    assert tuned_models.folder_of(lower_nemo, cycle.parent) == record.parent
    # A mixture of value 0 has the bytes of its base, which was trained on nothing.
    record.write_text(json.dumps({"model_sha256": base, "base": {"sha256": base}}))
    assert tuned_models.folder_of(lower_nemo, cycle.parent) is None
    record.write_text("{")
    assert tuned_models.roles_of(other, cycle.parent) == RecordingRoles()


def test_the_copy_of_a_model_is_known_where_its_list_is_asked_for(
    cycle: Path, lower_nemo: Path
) -> None:
    """``diff --model`` takes the copy for the model that it is."""
    model = tuned_model(cycle, lower_nemo, [0, 1, 2])
    copied = cycle / "cardiology-v2.nemo"
    shutil.copyfile(model, copied)
    found = compare.compare(*evaluations(cycle), None, ["drug"], model=copied)
    assert (found["basis"], found["rows"]) == ("held-out", 2)


def split_of(cycle: Path, nemo: Path, trained: Sequence[int], seen: Sequence[int]) -> Split:
    """The split that a measurement of boosting takes, of a model that has seen some recordings."""
    checked = prepare.check(open_cycle(cycle), nemo, recipe("verified"))
    return boosting_inputs.make_split(
        open_cycle(cycle),
        checked.rows,
        fraction=0.2,
        seed=42,
        seen_before=frozenset(recording(cycle / f"audio/{number}.wav") for number in seen),
        trained=frozenset(recording(cycle / f"audio/{number}.wav") for number in trained),
        by_term=False,
        selection=0.0,
        disjoint=Disjointness.ROW,
    )


def test_a_split_that_lies_there_does_not_make_trained_rows_judge_boosting(
    cycle: Path, lower_nemo: Path
) -> None:
    """Nor choose a strength; what chose the model may choose again."""
    for name, rows in (("validation", [0, 1, 5]), ("selection", [2, 3, 6])):
        manifest(cycle / f"{name}.jsonl", rows)
    found = split_of(cycle, lower_nemo, [0, 2], [0, 2, 3, 5])
    assert (found.validation, found.selection) == ((2,), (4, 7))
    assert set(found.train) == {1, 3, 5, 6, 8, 9, 10}
    assert "3 rows that judge or choose" in found.warnings[0]
    assert split_of(cycle, lower_nemo, [], []).validation == (1, 2, 6)
    with pytest.raises(InputError, match=r"each of its rows\. Fix:"):
        split_of(cycle, lower_nemo, [0, 1, 5], [0, 1, 5])


def test_the_gate_does_not_count_what_a_tuned_base_was_trained_on(
    cycle: Path, lower_nemo: Path
) -> None:
    """An evaluation of another decoder marks nothing; the base's own list does."""
    model = tuned_model(cycle, lower_nemo, [0, 1, 2], chose=[3])
    path = evaluation(cycle / "per_sample.json", {}, found=False)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[:4] = [{**row, "hyp": row["ref"]} for row in rows[:4]]
    factories.write_rows(path, rows)

    def judged(base: Path) -> GateResult:
        found = find_baseline(open_cycle(cycle), None)
        return prepare.run_gate(
            open_cycle(cycle), str(base), GatePolicy(), found, catalog.Method.SFT
        )

    result = judged(model)
    assert result.figures["priority"] == {"drug": {"rows": 5, "n": 1, "ker": 1.0}}
    assert "4 of 10 rows of the manifest are left out" in " ".join(result.warnings)
    other = factories.write_nemo(cycle / "other.nemo", spelling=b"another")
    assert judged(other).figures["priority"] == {"drug": {"rows": 5, "n": 5, "ker": 0.2}}
    shutil.rmtree(cycle / "audio")
    untold = judged(model)
    assert untold.figures["priority"] == {"drug": {"rows": 5, "n": 5, "ker": 0.2}}
    assert "it cannot be told which rows of the baseline" in " ".join(untold.warnings)


def test_an_evaluation_by_a_tuned_model_marks_what_it_was_trained_on(
    cycle: Path, lower_nemo: Path
) -> None:
    """The gate of the next cycle leaves these rows out, and says so."""
    model = tuned_model(cycle, lower_nemo, [0, 1, 2], chose=[3])
    later = factories.make_cycle(cycle.parent, 2)
    checked = evaluate.check_audio(open_cycle(later), model, ())
    texts = tuple(row.utterance.text if n < 4 else "" for n, row in enumerate(checked.rows))
    transcript = Transcript(model, texts, 0, 0.0, 0.0)
    copied = shutil.copyfile(model, cycle.parent / "cardiology-v2.nemo")
    for name in (model, Path(copied)):
        board = evaluate.write_evaluation(
            open_cycle(later), later / "offline_hyps.jsonl", "tuned", name, checked, transcript
        )
        parts = [row.part for row in read_hypotheses(later / "offline_hyps.jsonl")]
        held_out = [Partition.HELD_OUT] * 6
        assert parts == [*[Partition.TRAINED] * 3, Partition.CHOSE, *held_out]
        assert board.entries[0].scores.ker == 1
    baseline = find_baseline(open_cycle(later), None)
    judged = prepare.run_gate(
        open_cycle(later), str(copied), GatePolicy(), baseline, catalog.Method.SFT
    )
    assert judged.figures["priority"] == {"drug": {"rows": 5, "n": 1, "ker": 1.0}}
    other = factories.write_nemo(cycle / "other.nemo", spelling=b"another")
    for base, count in ((copied, 0), (other, 1)):
        judged = prepare.run_gate(
            open_cycle(later), str(base), GatePolicy(), baseline, catalog.Method.SFT
        )
        told = [line for line in judged.warnings if "is by another model" in line]
        assert len(told) == count
        assert all(f"transcribe {later} --model {base}` scores" in line for line in told)
    evaluate.write_evaluation(
        open_cycle(later), later / "offline_hyps.jsonl", "base", other, checked, transcript
    )
    assert {row.part for row in read_hypotheses(later / "offline_hyps.jsonl")} == {None}


@pytest.mark.parametrize(
    ("verdict", "warnings"), [("discard", 1), ("inconclusive", 1), ("keep", 0)]
)
def test_the_gate_knows_the_verdict_on_a_base_that_was_tuned_here(
    cycle: Path, lower_nemo: Path, verdict: str, warnings: int
) -> None:
    """The newest one counts, wherever the file lies; one that was not kept is warned of."""
    model = tuned_model(cycle, lower_nemo, [0])
    opened, sha256 = open_cycle(cycle), hashing.sha256_file(model)
    verdict_ledger.record(opened, ["a"], sha256, "grow")
    verdict_ledger.record(opened, ["b"], sha256, verdict)
    verdict_ledger.record(opened, ["b"], "another model", "discard")
    path = opened.path / verdict_ledger.NAME
    rows = [{**row, "time": str(n)} for n, row in enumerate(atomic_files.read_jsonl(path))]
    atomic_files.write_jsonl(path, rows)
    elsewhere = shutil.copyfile(model, cycle.parent / "ours.nemo")
    result = prepare.run_gate(
        opened, str(elsewhere), GatePolicy(), find_baseline(opened, None), catalog.Method.SFT
    )
    told = [line for line in result.warnings if "not kept" in line]
    assert len(told) == warnings
    assert all(f"the verdict {verdict} by {cycle.name}" in line for line in told)


def test_the_last_verdict_of_a_cycle_counts_where_the_clock_was_set_back(
    cycle: Path, lower_nemo: Path
) -> None:
    """The file's order is the order of the verdicts."""
    model = tuned_model(cycle, lower_nemo, [0])
    opened, sha256 = open_cycle(cycle), hashing.sha256_file(model)
    for held_out, verdict in (("a", "keep"), ("b", "discard")):
        verdict_ledger.record(opened, [held_out], sha256, verdict)
    path = opened.path / verdict_ledger.NAME
    first, second = atomic_files.read_jsonl(path)
    atomic_files.write_jsonl(path, [{**first, "time": "2026"}, {**second, "time": "2020"}])
    found = verdict_ledger.last_on(opened.clinic, model)
    assert found is not None
    assert found[1]["verdict"] == "discard"
