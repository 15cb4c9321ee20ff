"""The stages on a cycle's folder: what they find there, and what they compare."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest

from tasks.common.errors import InputError
from tasks.data.cycle_folder import open_cycle
from tasks.decision.gate import Action, GateResult
from tasks.decision.gate_policy import GatePolicy
from tasks.evaluation import baseline
from tasks.evaluation.baseline import Baseline
from tasks.evaluation.hypotheses import Hypothesis, Partition, write_hypotheses
from tasks.evaluation.scoring import score
from tasks.models.catalog import Method
from tasks.stages import compare, evaluate, prepare
from tasks.training.recipes import recipe
from tests.support import factories

if TYPE_CHECKING:
    from pathlib import Path


def judged(folder: Path) -> GateResult:
    """The gate on a cycle's folder, with what lies in it."""
    cycle = open_cycle(folder)
    return prepare.run_gate(
        cycle,
        "parakeet-tdt-0.6b-v2",
        GatePolicy(),
        baseline.find_baseline(cycle, None),
        Method.SFT,
    )


def manifest_rows(n: int) -> list[dict[str, str]]:
    """A manifest of drug rows; the gate does not listen to the audio."""
    return [
        {
            "audio_filepath": f"{place}.wav",
            "text": f"give the patient aspirin on day {place}",
            "term": "aspirin",
            "entity_category": "drug",
        }
        for place in range(n)
    ]


def fill(folder: Path, rows: int, missed: int, n: int) -> Path:
    """A cycle with a manifest and an evaluation."""
    folder.mkdir(parents=True)
    factories.write_rows(folder / "manifest.jsonl", manifest_rows(rows))
    write_hypotheses(folder / "offline_hyps.jsonl", factories.evaluated(missed, n))
    return folder


def test_the_gate_reads_what_lies_in_the_cycle(tmp_path: Path) -> None:
    """Manifest, then baseline, then the verdict."""
    folder = tmp_path / "cycle1"
    folder.mkdir()
    assert judged(folder).action is Action.BUILD
    factories.write_rows(folder / "manifest.jsonl", manifest_rows(120))
    refused = judged(folder)
    assert refused.action is Action.EVALUATE
    command = f"`asr-flywheel transcribe {folder} --model parakeet-tdt-0.6b-v2`"
    assert command in refused.reasons[0].message
    write_hypotheses(folder / "offline_hyps.jsonl", factories.evaluated(5, 10))
    assert judged(folder).passed
    write_hypotheses(folder / "per_sample.json", factories.evaluated(0, 10))
    assert judged(folder).action is Action.HARDEN


@pytest.mark.parametrize(("before", "passed"), [(119, True), (120, False), (121, False)])
def test_a_later_cycle_counts_the_rows_of_the_one_before(
    tmp_path: Path, before: int, *, passed: bool
) -> None:
    """Between 0.1 and 0.3 only a manifest that has grown may be tuned."""
    fill(tmp_path / "cycle1", before, 5, 10)
    assert judged(fill(tmp_path / "cycle2", 120, 2, 10)).passed is passed


def test_a_named_evaluation_goes_before_the_cycles_own(tmp_path: Path) -> None:
    """Also one that lies elsewhere; a missing one is bad input."""
    cycle = open_cycle(fill(tmp_path / "cycle1", 100, 5, 10))
    other = tmp_path / "other.jsonl"
    write_hypotheses(other, factories.evaluated(1, 10))
    found = baseline.find_baseline(cycle, other)
    assert found is not None
    assert found.scores.ker == 0.1
    with pytest.raises(InputError, match="no evaluation result"):
        baseline.find_baseline(cycle, tmp_path / "none.jsonl")


def test_a_base_without_lower_layers_is_refused_for_a_recipe_that_leaves_them(
    cycle: Path, lower_nemo: Path
) -> None:
    """Its configuration tells it, before anything is trained."""
    with pytest.raises(InputError, match=r"has 0 of them \(encoder.n_layers\). Fix: take another"):
        prepare.check(open_cycle(cycle), lower_nemo, recipe("upper-layers"))


def test_the_limits_of_the_preflight_are_the_recipes(cycle: Path, lower_nemo: Path) -> None:
    """A recording over the recipe's longest row is an error."""
    short = recipe("verified").model_copy(update={"max_duration": 0.25})
    with pytest.raises(InputError, match=r"over max_duration 0\.25 s"):
        prepare.check(open_cycle(cycle), lower_nemo, short)
    assert len(prepare.check(open_cycle(cycle), lower_nemo, recipe("verified")).rows) == 10


def evaluations(tmp_path: Path, *, marked: bool) -> tuple[Path, Path]:
    """Twenty rows; on the four held-out ones nothing changes, on the trained ones all."""
    before, after = tmp_path / "before.jsonl", tmp_path / "after.jsonl"
    part = (Partition.HELD_OUT, Partition.TRAINED) if marked else (None, None)
    write_hypotheses(before, factories.evaluated(20, 20))
    write_hypotheses(
        after,
        factories.evaluated(4, 4, part=part[0]) + factories.evaluated(0, 16, start=4, part=part[1]),
    )
    return before, after


def test_a_comparison_rests_on_the_held_out_rows_that_are_marked(tmp_path: Path) -> None:
    """The table over all rows stands beside it, and says keep where held-out rows say grow."""
    found = compare.compare(*evaluations(tmp_path, marked=True), None, ["drug"])
    assert found["basis"] == "held-out"
    assert found["decision"] == "inconclusive"
    assert found["rows_needed"] > 4
    assert found["bare_decision"] == "grow"
    assert found["all_rows"]["decision"] == "keep"
    assert found["rows"] == 4
    assert found["by"]["drug"]["n"] == 4
    assert (found["only_in_a"], found["only_in_b"]) == (0, 0)


def test_where_it_is_not_known_all_rows_are_counted_and_labelled(tmp_path: Path) -> None:
    """Nobody claims that any of them was trained on."""
    found = compare.compare(*evaluations(tmp_path, marked=False), None, ["drug"])
    assert found["basis"] == "all"
    # There is no general English beside it.
    assert (found["decision"], found["bare_decision"]) == ("inconclusive", "keep")
    assert found["rows"] == 20


@pytest.mark.parametrize(
    "more",
    [{"text": "Give aspirin, now."}, {"ref": "give aspirin now", "hyp": "anything"}, {}],
    ids=["manifest", "per-row results", "audio alone"],
)
def test_a_file_can_say_which_rows_were_held_out(tmp_path: Path, more: dict[str, str]) -> None:
    """By audio name and, where it gives one, by text; also in another folder."""
    held_out = factories.write_rows(
        tmp_path / "validation.jsonl", [{"audio_filepath": f"/x/{n}.wav", **more} for n in range(4)]
    )
    found = compare.compare(*evaluations(tmp_path, marked=False), held_out, ["drug"])
    assert (found["basis"], found["bare_decision"], found["rows"]) == ("held-out", "grow", 4)


def test_a_manifest_of_other_rows_is_bad_input(tmp_path: Path) -> None:
    """It cannot say which rows were held out."""
    held_out = factories.write_rows(
        tmp_path / "validation.jsonl", [{"audio_filepath": "y.wav", "text": "give aspirin now"}]
    )
    with pytest.raises(InputError, match="none of its rows"):
        compare.compare(*evaluations(tmp_path, marked=False), held_out, ["drug"])


def test_held_out_rows_are_recognised_in_the_copy_of_the_bases_style(
    cycle: Path, lower_nemo: Path, tmp_path: Path
) -> None:
    """A hyphen that the base cannot write does not turn a held-out row into a trained one."""
    rows = factories.cycle_rows()
    for row in rows:
        row["text"] += " after the x-ray"
    factories.write_rows(cycle / "manifest.jsonl", rows)
    checked = prepare.check(open_cycle(cycle), lower_nemo, recipe("verified"))
    data = prepare.split(open_cycle(cycle), checked, 0.2, 42)
    hyps = [
        Hypothesis(row["audio_filepath"], row["text"], "", row["term"], row["entity_category"])
        for row in rows
    ]
    write_hypotheses(tmp_path / "h.jsonl", hyps)
    found = compare.compare(tmp_path / "h.jsonl", tmp_path / "h.jsonl", data.validation, ["drug"])
    assert found["rows"] == 2


def test_two_cycle_folders_can_be_compared(tmp_path: Path) -> None:
    """By the evaluation that each holds; a folder without one is bad input."""
    first = fill(tmp_path / "cycle1", 100, 8, 10)
    second = fill(tmp_path / "cycle2", 100, 7, 10)
    found = compare.compare(first, second, None, ["drug"])
    assert found["by"]["drug"]["relative"] == -0.125
    assert found["decision"] == "inconclusive"
    (second / "offline_hyps.jsonl").unlink()
    with pytest.raises(InputError, match="no evaluation result in this cycle"):
        compare.compare(first, second, None, ["drug"])


def test_a_misspelt_category_is_named_before_anything_is_compared(tmp_path: Path) -> None:
    """Not told as a category without rows."""
    with pytest.raises(InputError, match="'drugs' is not a category"):
        compare.compare(*evaluations(tmp_path, marked=True), None, ["drugs"])


def test_a_decision_without_rows_is_refused_before_training(cycle: Path, lower_nemo: Path) -> None:
    """A priority category with nothing held out is named while nothing has been spent."""
    checked = prepare.check(open_cycle(cycle), lower_nemo, recipe("verified"))
    data = prepare.split(open_cycle(cycle), checked, 0.2, 42)
    prepare.require_decidable(checked, data, ["drug", "procedure"], None)
    with pytest.raises(InputError, match="no held-out row of category 'lab'"):
        prepare.require_decidable(checked, data, ["lab"], None)


def test_an_imported_evaluation_must_have_the_held_out_rows(cycle: Path, lower_nemo: Path) -> None:
    """Comparing with rows that it lacks would fail only after the training."""
    checked = prepare.check(open_cycle(cycle), lower_nemo, recipe("verified"))
    data = prepare.split(open_cycle(cycle), checked, 0.2, 42)
    rows = [
        Hypothesis(row["audio_filepath"], row["text"], "", row["term"], row["entity_category"])
        for row in factories.cycle_rows()
    ]
    name = cycle / "per_sample.json"
    prepare.require_decidable(checked, data, ["drug"], Baseline(name, score(rows)), decides=True)
    trained = [row for place, row in enumerate(rows, start=1) if place not in data.split.held_out]
    poor = Baseline(name, score(trained))
    prepare.require_decidable(checked, data, ["drug"], poor)
    with pytest.raises(InputError, match="no held-out row of category 'drug'"):
        prepare.require_decidable(checked, data, ["drug"], poor, decides=True)
    other = Baseline(name, score(factories.evaluated(1, 2)))
    with pytest.raises(InputError, match="no row in common"):
        prepare.require_decidable(checked, data, ["drug"], other)


def test_the_gate_does_not_count_rows_that_were_trained_on(tmp_path: Path) -> None:
    """A tuned model's own evaluation would otherwise always look too good to tune again."""
    folder = tmp_path / "cycle2"
    folder.mkdir()
    factories.write_rows(folder / "manifest.jsonl", manifest_rows(120))
    missed = factories.evaluated(12, 20, part=Partition.HELD_OUT)
    learnt = factories.evaluated(0, 100, start=20, part=Partition.TRAINED)
    write_hypotheses(folder / "offline_hyps.jsonl", [*missed, *learnt])
    result = judged(folder)
    assert result.passed
    assert "drug KER is 0.600" in result.reasons[0].message


def test_rows_that_were_trained_on_are_called_that(tmp_path: Path) -> None:
    """NVIDIA-NeMo/Speech#1238 and #2628: tune, add data, tune again; nothing is to be scored again.

    The KER's n is that of the rows that it rests on, not the manifest's.
    """
    folder = tmp_path / "cycle2"
    folder.mkdir()
    rows = [{**row, "text": "give aspirin now"} for row in manifest_rows(20)]
    rows += [{**row, "audio_filepath": f"x{n}.wav"} for n, row in enumerate(manifest_rows(100))]
    factories.write_rows(folder / "manifest.jsonl", rows)
    learnt = [
        Hypothesis(row["audio_filepath"], row["text"], row["text"], "aspirin", "drug", part=part)
        for part, some in ((Partition.TRAINED, rows[20:90]), (Partition.CHOSE, rows[90:110]))
        for row in some
    ]
    judging = factories.evaluated(12, 20, part=Partition.HELD_OUT)
    write_hypotheses(folder / "offline_hyps.jsonl", [*judging, *learnt])
    result = judged(folder)
    assert "drug KER is 0.600 (12 of 20 rows missed)" in result.reasons[0].message
    assert "The manifest has 120 rows." in result.reasons[0].message
    known, missing = result.warnings
    assert "90 of 120 rows of the manifest are left out" in known
    assert "trained on them or chosen by them" in known
    assert "10 of 120 rows of the manifest are not in the baseline" in missing


def test_rows_of_another_manifest_do_not_count(tmp_path: Path) -> None:
    """The gate judges this manifest; a result of another one is named as that."""
    folder = fill(tmp_path / "cycle1", 120, 0, 10)
    own = [
        Hypothesis(row["audio_filepath"], row["text"], "", row["term"], "drug")
        for row in manifest_rows(5)
    ]
    write_hypotheses(folder / "offline_hyps.jsonl", [*own, *factories.evaluated(0, 95)])
    result = judged(folder)
    assert "drug KER is 1.000 (5 of 5 rows missed)" in result.reasons[0].message
    assert "95 of 100 rows of the baseline are no rows of this manifest" in result.warnings[0]
    write_hypotheses(folder / "offline_hyps.jsonl", factories.evaluated(5, 10))
    assert "10 of 10 rows of the baseline are no rows" in judged(folder).warnings[-1]


def test_a_row_in_another_spelling_is_a_row_of_the_manifest(tmp_path: Path) -> None:
    """Here as in the gate's own count of rows that are missing."""
    folder = fill(tmp_path / "cycle1", 120, 0, 10)
    rows = [
        {**row, "text": f"{row['text']} after the x-ray"} if place < 20 else row
        for place, row in enumerate(manifest_rows(120))
    ]
    factories.write_rows(folder / "manifest.jsonl", rows)
    scored = [
        Hypothesis(
            row["audio_filepath"], row["text"].replace("x-ray", "x ray"), "", row["term"], "drug"
        )
        for row in rows
    ]
    write_hypotheses(folder / "offline_hyps.jsonl", scored)
    result = judged(folder)
    assert "(120 of 120 rows missed)" in result.reasons[0].message
    assert not result.warnings


def test_a_runs_results_are_not_replaced_by_a_baseline(tmp_path: Path) -> None:
    """The evidence of a decision stays: the baseline of the folder's own rows has its own name."""
    folder = open_cycle(fill(tmp_path / "cycle2", 120, 1, 10))
    assert evaluate.evaluation_target(folder, None) == folder.offline_hyps
    (folder.path / "run.json").write_text("{}")
    assert evaluate.evaluation_target(folder, None) == folder.path / "own_baseline.jsonl"
    assert evaluate.evaluation_target(folder, tmp_path / "other.jsonl").name == "other.jsonl"


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cycle's own, which keeps what was decoded, and that of the result."""
    cycle = open_cycle(fill(tmp_path / "cycle1", 120, 1, 10))
    for locked in (cycle.path, tmp_path / "results"):
        monkeypatch.setattr("os.access", lambda path, _, locked=locked: path != locked)
        with pytest.raises(InputError, match=f"{locked}: this user may not write there. Fix"):
            evaluate.evaluation_target(cycle, tmp_path / "results" / "hyps.jsonl")


def test_rows_that_are_not_there_cannot_be_scored(tmp_path: Path) -> None:
    """A run has left its evaluation; the message names the cycle with the rows, and the command."""
    (tmp_path / "cycle2").mkdir()
    (tmp_path / "cycle2/run.json").write_text("{}")
    cycle = open_cycle(tmp_path / "cycle2")
    with pytest.raises(InputError, match=r"name cycle 1 to score its rows; .*combine"):
        evaluate.evaluation_target(cycle, None)
    (reason,) = judged(cycle.path).reasons
    assert reason.action is Action.BUILD
    assert "that cycle 1 tuned. It gets rows with `asr-flywheel combine`" in reason.message


@pytest.mark.parametrize("left", ["run.json", ".run-begun"])
def test_another_models_evaluation_is_no_baseline(tmp_path: Path, left: str) -> None:
    """That of last month's model, finished or not, decides nothing; the base's own is asked for."""
    folder = fill(tmp_path / "ward 3" / "cycle2", 120, 1, 10)
    (folder / left).write_text('{"schema": "asr-flywheel-run/1", "sft": {}}')
    refused = judged(folder)
    assert (refused.passed, refused.action) == (False, Action.EVALUATE)
    assert "ker" not in refused.figures
    (reason,) = refused.reasons
    assert "the evaluation of the model that cycle 1 tuned, and not of parakeet" in reason.message
    assert "KER is" not in reason.message
    (command,) = re.findall(r"`asr-flywheel (.*?)`", reason.message)
    assert shlex.split(command)[:2] == ["transcribe", str(folder)]
    assert shlex.split(command)[2:] == ["--model", "parakeet-tdt-0.6b-v2"]
    rows = [
        Hypothesis(row["audio_filepath"], row["text"], "", "aspirin", "drug")
        for row in manifest_rows(120)
    ]
    write_hypotheses(folder / "own_baseline.jsonl", rows)
    own = judged(folder)
    assert "(120 of 120 rows missed)" in own.reasons[0].message
    assert own.warnings == ()
    found = baseline.find_baseline(open_cycle(folder), None)
    assert found is not None
    assert not found.imported
