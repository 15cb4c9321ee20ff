"""An evaluation is believed only as far as it agrees with what is known better.

What a list of trained recordings, an evaluation's mark or a recording's content says outranks the
file that names the rows which judge. Each input is one that a public thread tells of; the thread
stands at the test.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from tasks.common.errors import InputError
from tasks.evaluation.hypotheses import Hypothesis, Partition, write_hypotheses
from tasks.stages import compare
from tests.support import factories
from tests.support.tuned_base_cases import evaluation, evaluations, manifest, tuned_model

if TYPE_CHECKING:
    from pathlib import Path


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
    assert "1 held-out row of the later evaluation was trained on by the earlier model" in notes
    assert "1 held-out row of the later evaluation was used to choose the earlier model" in notes


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
