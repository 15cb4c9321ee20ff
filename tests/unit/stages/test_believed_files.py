"""Files are believed only as far as they agree with what is known better.

What a model's own list, an evaluation's mark or a recording's content says outranks a file. Each
input is one that a public thread tells of; the thread stands at the test.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile

from asr_flywheel import cli
from tasks.common import hashing
from tasks.common.errors import InputError
from tasks.data import audio_probe
from tasks.data.audio_probe import AudioFacts
from tasks.data.cycle_folder import open_cycle
from tasks.data.split_parts import Disjointness, Split
from tasks.decision.gate_policy import GatePolicy
from tasks.evaluation.baseline import find_baseline
from tasks.evaluation.hypotheses import Hypothesis, Partition, write_hypotheses
from tasks.evaluation.result_reading import read_hypotheses
from tasks.gpu_hosts import upload
from tasks.models import catalog
from tasks.stages import boosting_inputs, compare, evaluate, prepare
from tasks.training import run as training_run
from tasks.training import tuned_models
from tasks.training.recipes import recipe
from tasks.training.recording_roles import RecordingRoles
from tasks.transcription.audio_sets import Transcript
from tests.support import factories

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.decision.gate import GateResult


def recording(path: Path) -> str:
    """The content hash of a recording."""
    fact = audio_probe.probe(path)
    assert isinstance(fact, AudioFacts)
    return fact.sha256


def tuned_model(cycle: Path, nemo: Path, trained: Sequence[int], chose: Sequence[int] = ()) -> Path:
    """A finished run's model, with its list of recordings and its record."""
    folder = cycle / "models" / "base-verified-1234"
    folder.mkdir(parents=True)
    model = folder / training_run.MODEL_NAME
    shutil.copyfile(nemo, model)
    info = {"schema_version": 1, "model_sha256": hashing.sha256_file(model)}
    (folder / training_run.INFO_NAME).write_text(json.dumps(info))
    RecordingRoles(
        frozenset(recording(cycle / f"audio/{number}.wav") for number in trained),
        frozenset(recording(cycle / f"audio/{number}.wav") for number in chose),
    ).write(folder)
    return model


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


def evaluation(
    path: Path,
    parts: Mapping[int, Partition],
    *,
    found: bool,
    names: Mapping[int, str] | None = None,
) -> Path:
    """An evaluation of the five drugs by a model that finds all of them, or none."""
    rows = [row for row in factories.cycle_rows() if row["entity_category"] == "drug"]
    write_hypotheses(
        path,
        [
            Hypothesis(
                (names or {}).get(number, row["audio_filepath"]),
                row["text"],
                row["text"] if found else "",
                row["term"],
                "drug",
                part=parts.get(number),
            )
            for number, row in enumerate(rows)
        ],
    )
    return path


def evaluations(
    cycle: Path,
    parts: Mapping[int, Partition] | None = None,
    names: Mapping[int, str] | None = None,
) -> tuple[Path, Path]:
    """The base misses every drug, the tuned model finds each."""
    return (
        evaluation(cycle / "before.jsonl", {}, found=False, names=names),
        evaluation(cycle / "after.jsonl", parts or {}, found=True, names=names),
    )


def manifest(path: Path, places: Sequence[int], **more: Any) -> Path:
    """A manifest of some of the cycle's rows."""
    rows = factories.cycle_rows()
    path.parent.mkdir(exist_ok=True)
    return factories.write_rows(path, [{**rows[place], **more} for place in places])


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
    evaluate.write_evaluation(
        open_cycle(later), later / "offline_hyps.jsonl", "base", other, checked, transcript
    )
    assert {row.part for row in read_hypotheses(later / "offline_hyps.jsonl")} == {None}


# SeanNaren/deepspeech.pytorch#86: the manifest that was trained on is named as the one that judges.


def test_the_file_that_training_reads_is_no_file_of_held_out_rows(cycle: Path) -> None:
    """It is refused, and the fix names the file beside it."""
    train = manifest(cycle / "train.jsonl", range(4))
    manifest(cycle / "validation.jsonl", [4])
    with pytest.raises(InputError, match=r"train\.jsonl: .*trained on.*validation\.jsonl"):
        compare.compare(*evaluations(cycle), train, ["drug"])
    found = compare.compare(*evaluations(cycle), cycle / "validation.jsonl", ["drug"])
    assert (found["basis"], found["rows"]) == ("held-out", 1)


# espnet/espnet#6131 and #2977, kaldi-asr/kaldi#323: a slip in a script leaves rows that judge in
# the list that is trained on.


def test_rows_that_the_list_beside_it_trains_on_are_not_held_out(cycle: Path) -> None:
    """They are counted as trained, and told; the others judge."""
    manifest(cycle / "train.jsonl", [0, 1, 2])
    manifest(cycle / "selection.jsonl", [3])
    held_out = manifest(cycle / "validation.jsonl", [1, 2, 3, 4])
    found = compare.compare(*evaluations(cycle), held_out, ["drug"])
    assert (found["basis"], found["rows"]) == ("held-out", 1)
    notes = " ".join(found["notes"])
    assert "2 of 4 rows of validation.jsonl were trained on" in notes
    assert "1 of 4 rows of validation.jsonl were used to choose" in notes
    assert "train.jsonl" in notes


# thuml/Transferable-Query-Selection#4, johnsk95/PT4AL#1: what is evaluated holds both sides, and
# each row says which; the evaluation reads all of them.


def test_a_result_that_is_named_as_held_out_gives_only_its_held_out_rows(cycle: Path) -> None:
    """Rows that it marks as trained on are not believed to be held out."""
    marked = evaluation(
        cycle / "earlier.jsonl",
        {0: Partition.HELD_OUT, 1: Partition.TRAINED, 2: Partition.TRAINED, 3: Partition.CHOSE},
        found=True,
    )
    found = compare.compare(*evaluations(cycle), marked, ["drug"])
    assert (found["basis"], found["rows"]) == ("held-out", 2)  # row 4 is marked as nothing
    assert "2 of 5 rows of earlier.jsonl were trained on" in " ".join(found["notes"])


# hkchengrex/MMAudio#50, wujixiu/helmet-detection#29: what was trained on stands among the rows that
# judge under another name, or in another container.


def test_a_trained_recording_under_another_name_is_not_held_out(
    cycle: Path, lower_nemo: Path
) -> None:
    """A copy, a FLAC and a WAV with another header are the same recording."""
    model = tuned_model(cycle, lower_nemo, [0, 1, 2])
    shutil.copyfile(cycle / "audio/0.wav", cycle / "audio/patient-a.wav")
    samples, rate = soundfile.read(cycle / "audio/1.wav", dtype="int16")
    soundfile.write(cycle / "audio/patient-b.flac", samples, rate)
    soundfile.write(cycle / "audio/patient-c.wav", np.array(samples), rate, format="WAVEX")
    shutil.copyfile(cycle / "audio/2.wav", cycle / "audio/patient-d.wav")
    names = {
        0: "audio/patient-a.wav",
        1: "audio/patient-b.flac",
        2: "audio/patient-d.wav",
        3: "audio/patient-c.wav",
    }
    before, after = evaluations(cycle, names=names)
    found = compare.compare(before, after, after, ["drug"], model=model)
    assert (found["basis"], found["rows"]) == ("held-out", 1)


# vanvalenlab/kiosk-console#458: a new recording takes the name of an old one.


def test_another_recording_under_a_trained_name_may_judge(cycle: Path, lower_nemo: Path) -> None:
    """The list knows content, not names."""
    model = tuned_model(cycle, lower_nemo, [0, 1, 2])
    factories.write_wav(cycle / "audio/0.wav", seed=99)
    found = compare.compare(*evaluations(cycle), None, ["drug"], model=model)
    assert (found["basis"], found["rows"]) == ("held-out", 3)


def test_a_name_that_two_cycles_use_may_mean_the_trained_recording(
    cycle: Path, lower_nemo: Path
) -> None:
    """The later cycle has a recording of its own under the name of one that was trained on."""
    model = tuned_model(cycle, lower_nemo, [0, 1, 2])
    before, after = evaluations(cycle)
    later = cycle.parent / "cycle2"
    (later / "audio").mkdir(parents=True)
    factories.write_wav(later / "audio/0.wav", 0.5, seed=99)
    shutil.move(after, later / "offline_hyps.jsonl")
    (later / "run.json").write_text(
        json.dumps({"sft": {"model": f"/elsewhere/models/{model.parent.name}/x.nemo"}})
    )
    found = compare.compare(before, later, None, ["drug"])
    assert (found["basis"], found["rows"]) == ("held-out", 2)
    assert not any("two recordings" in note for note in found["notes"])


# everycure-org/matrix#1149, mahmoodlab/CLAM#269: models of different splits are compared, and one
# of them was trained on rows that the other holds out.


def test_rows_that_the_earlier_model_was_trained_on_do_not_judge_the_later_one(
    cycle: Path,
) -> None:
    """Held out from one side only is not held out; it is told."""
    before = evaluation(
        cycle / "before.jsonl",
        {0: Partition.TRAINED, 1: Partition.CHOSE, 2: Partition.HELD_OUT, 3: Partition.TRAINED},
        found=False,
    )
    after = evaluation(
        cycle / "after.jsonl",
        {n: Partition.TRAINED if n == 3 else Partition.HELD_OUT for n in range(5)},
        found=True,
    )
    found = compare.compare(before, after, None, ["drug"])
    assert (found["basis"], found["rows"]) == ("held-out", 2)
    notes = " ".join(found["notes"])
    assert "1 held-out rows of the later evaluation were trained on by the earlier model" in notes
    assert "1 held-out rows of the later evaluation were used to choose the earlier model" in notes


def test_two_models_without_a_common_held_out_row_are_not_compared(cycle: Path) -> None:
    """It says why, and what would help."""
    before = evaluation(
        cycle / "before.jsonl", dict.fromkeys(range(5), Partition.TRAINED), found=False
    )
    after = evaluation(
        cycle / "after.jsonl", dict.fromkeys(range(5), Partition.HELD_OUT), found=True
    )
    with pytest.raises(InputError, match=r"no row is held out from both models.*Fix: "):
        compare.compare(before, after, None, ["drug"])


# MontrealCorpusTools/Montreal-Forced-Aligner#491, kaldi-asr/kaldi#4213, and #2765 of
# speechbrain/speechbrain: speakers read the same prompts, each in a folder with the same names.


def two_speakers(cycle: Path) -> None:
    """Folders of two speakers who read the same five sentences, one of them more slowly."""
    for speaker, seconds in (("anna", 0.3), ("bela", 0.4)):
        (cycle / speaker).mkdir()
        for number in range(5):
            factories.write_wav(cycle / speaker / f"{number}.wav", seconds, seed=number)


def test_a_name_in_another_speakers_folder_is_another_recording(cycle: Path) -> None:
    """The rows that judge are those of the one speaker, although the prompts are the same."""
    two_speakers(cycle)
    held_out = manifest(cycle / "bela.jsonl", range(5))
    held_out.write_text(held_out.read_text().replace("audio/", "bela/"))
    names = {n: f"anna/{n}.wav" for n in range(5)}
    with pytest.raises(InputError, match=r"none of its rows .* 5 have the names and texts"):
        compare.compare(*evaluations(cycle, names=names), held_out, ["drug"])
    found = compare.compare(
        *evaluations(cycle, names={**names, 0: "bela/0.wav", 1: "bela/1.wav"}), held_out, ["drug"]
    )
    assert (found["basis"], found["rows"]) == ("held-out", 2)


def test_two_speakers_results_are_not_the_same_rows(cycle: Path) -> None:
    """Nor are they where two evaluations are paired."""
    two_speakers(cycle)
    before, _ = evaluations(cycle, names={n: f"anna/{n}.wav" for n in range(5)})
    names = {n: f"{'bela' if n else 'anna'}/{n}.wav" for n in range(5)}
    after = evaluation(cycle / "after.jsonl", {}, found=True, names=names)
    found = compare.compare(before, after, None, ["drug"])
    assert found["rows"] == 1
    assert "4 rows have one name and one text in both evaluations" in " ".join(found["notes"])
    names[0] = "bela/0.wav"
    after = evaluation(cycle / "after.jsonl", {}, found=True, names=names)
    with pytest.raises(InputError, match="but are other recordings"):
        compare.compare(before, after, None, ["drug"])


def test_a_resampled_copy_in_another_folder_is_the_same_recording(cycle: Path) -> None:
    """As long as the original: a file of held-out rows may name either."""
    (cycle / "original").mkdir()
    for number in range(5):
        factories.write_wav(cycle / f"original/{number}.wav", seed=number, rate=48000)
    held_out = manifest(cycle / "named.jsonl", [1, 2])
    held_out.write_text(held_out.read_text().replace("audio/", "original/"))
    found = compare.compare(*evaluations(cycle), held_out, ["drug"])
    assert (found["basis"], found["rows"]) == ("held-out", 2)


# felipebravom/EmoInt#2: the predictions are those of another competition's rows.


def test_results_of_another_manifest_are_not_compared(cycle: Path) -> None:
    """None of their rows is this manifest's, and it says so."""
    before, _ = evaluations(cycle)
    after = cycle / "after.jsonl"
    rows = [Hypothesis(f"audio/{n}.wav", f"sentence {n}", f"sentence {n}") for n in range(5)]
    write_hypotheses(after, rows)
    with pytest.raises(InputError, match="no row in common"):
        compare.compare(before, after, None, ["drug"])
