"""Rows that a model was trained on are never called held out, whatever file says so.

The inputs are those of open-edge-platform/anomalib#404, mahmoodlab/CLAM#269, tflearn/tflearn#199,
aiqm/torchani#443 and talmolab/sleap-nn#602: a split that is made again while a model of the first
one is being judged.
"""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from asr_flywheel import cli
from tasks.common.errors import InputError
from tasks.data import audio_probe
from tasks.data.audio_probe import AudioFacts
from tasks.data.cycle_folder import open_cycle
from tasks.data.cycle_lock import lock_cycle
from tasks.evaluation.hypotheses import Hypothesis, Partition, write_hypotheses
from tasks.stages import compare, prepare
from tasks.training.recipes import recipe
from tasks.training.recording_roles import RecordingRoles
from tests.support import factories

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def split(
    cycle: Path, nemo: Path, monkeypatch: pytest.MonkeyPatch, *more: str, code: int = 0
) -> None:
    """Run ``asr-flywheel split``; it ends with this exit code."""
    monkeypatch.setattr(
        sys, "argv", ["asr-flywheel", "split", str(cycle), "--base", str(nemo), *more]
    )
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == code


def finish_run(cycle: Path, name: str = "run") -> Path:
    """Leave what a finished training leaves; return its folder."""
    folder = cycle / "models" / name
    folder.mkdir(parents=True)
    (folder / "training_run_info.json").write_text("{}")
    return folder


def rows_of(path: Path) -> list[str]:
    """The names of a manifest's recordings."""
    return [json.loads(line)["audio_filepath"] for line in path.read_text().splitlines()]


def write_evaluations(
    cycle: Path, parts: Mapping[int, Partition], *, seen_found: bool = True
) -> tuple[Path, Path]:
    """The base misses every drug; the tuned model finds the drugs of the rows it has seen."""
    rows = [row for row in factories.cycle_rows() if row["entity_category"] == "drug"]

    def hyps(*, found: bool) -> list[Hypothesis]:
        return [
            Hypothesis(
                row["audio_filepath"],
                row["text"],
                row["text"] if found and parts.get(n) is not Partition.HELD_OUT else "",
                row["term"],
                row["entity_category"],
                part=parts.get(n),
            )
            for n, row in enumerate(rows)
        ]

    before, after = cycle.parent / "before.jsonl", cycle / "after.jsonl"
    write_hypotheses(before, hyps(found=False))
    write_hypotheses(after, hyps(found=seen_found))
    return before, after


def test_another_split_does_not_overwrite_the_one_that_a_run_used(
    cycle: Path,
    lower_nemo: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It ends in 2 and names the run; what it advises keeps both splits apart."""
    split(cycle, lower_nemo, monkeypatch)
    first = rows_of(cycle / "validation.jsonl")
    split(cycle, lower_nemo, monkeypatch, "--seed", "8")
    assert rows_of(cycle / "validation.jsonl") != first, "nothing rests on it yet"
    split(cycle, lower_nemo, monkeypatch)
    finish_run(cycle, "base-verified-1234")
    before = factories.snapshot(cycle)
    split(cycle, lower_nemo, monkeypatch, "--seed", "8", code=2)
    assert factories.snapshot(cycle) == before
    told = capsys.readouterr().err
    assert "base-verified-1234" in told
    assert "--again" in told
    split(cycle, lower_nemo, monkeypatch, "--seed", "8", "--again")
    split(cycle, lower_nemo, monkeypatch, "--seed", "8", "--again")
    split(cycle, lower_nemo, monkeypatch, "--seed", "9", "--again")
    assert rows_of(cycle / "validation.jsonl") == first
    assert rows_of(cycle / "splits/1/validation.jsonl") != first
    assert sorted(path.name for path in (cycle / "splits").iterdir()) == ["1", "2"]


def test_the_same_split_may_be_written_again_also_in_a_copied_folder(
    cycle: Path, lower_nemo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The files hold absolute paths of the folder that they were made in."""
    split(cycle, lower_nemo, monkeypatch)
    finish_run(cycle)
    copied = tmp_path / "elsewhere" / "cycle1"
    shutil.copytree(cycle, copied)
    split(copied, lower_nemo, monkeypatch)
    assert rows_of(copied / "validation.jsonl")[0].startswith(str(copied))


def test_a_run_under_way_keeps_its_split(
    cycle: Path, lower_nemo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its work folder says so, also after a crash; and so does its lock."""
    split(cycle, lower_nemo, monkeypatch)
    (cycle / "models" / ".base-verified-1234.work").mkdir(parents=True)
    split(cycle, lower_nemo, monkeypatch, "--seed", "8", code=2)
    (cycle / "models" / ".base-verified-1234.work").rmdir()
    with lock_cycle(open_cycle(cycle)):
        split(cycle, lower_nemo, monkeypatch, "--seed", "8", code=2)
    split(cycle, lower_nemo, monkeypatch, "--seed", "8")


def test_the_evaluations_marks_outrank_a_file(cycle: Path) -> None:
    """Three trained rows that a file calls held out do not turn the verdict."""
    parts = {0: Partition.HELD_OUT, 1: Partition.HELD_OUT, 2: Partition.TRAINED}
    parts |= {3: Partition.TRAINED, 4: Partition.CHOSE}
    before, after = write_evaluations(cycle, parts)
    other = factories.write_rows(
        cycle / "other.jsonl", [{"audio_filepath": f"audio/{n}.wav"} for n in (1, 2, 3, 4)]
    )
    honest = compare.compare(before, after, None, ["drug"])
    found = compare.compare(before, after, other, ["drug"])
    assert found["by"] == honest["by"]
    assert (found["basis"], found["rows"]) == ("held-out", 2)
    notes = " ".join(found["notes"])
    assert "2 of 4 rows of other.jsonl were trained on" in notes
    assert "1 of 4 rows of other.jsonl were used to choose" in notes
    assert "1 held-out row of the evaluation is not in other.jsonl" in notes


def test_a_file_of_trained_rows_alone_is_refused(cycle: Path) -> None:
    """None of its rows may judge, and it says so."""
    before, after = write_evaluations(cycle, dict.fromkeys(range(5), Partition.TRAINED))
    other = factories.write_rows(cycle / "other.jsonl", [{"audio_filepath": "audio/2.wav"}])
    with pytest.raises(InputError, match=r"all of its rows were trained on .* none may judge"):
        compare.compare(before, after, other, ["drug"])


def recording(cycle: Path, number: int) -> str:
    """The content hash of a recording."""
    fact = audio_probe.probe(cycle / f"audio/{number}.wav")
    assert isinstance(fact, AudioFacts)
    return fact.sha256


def test_the_models_own_list_outranks_a_file(cycle: Path) -> None:
    """Where no row is marked, the recordings that the model was trained on are known by content."""
    before, after = write_evaluations(cycle, {})
    folder = finish_run(cycle)
    roles = RecordingRoles(
        frozenset(recording(cycle, number) for number in (0, 1, 2)),
        frozenset([recording(cycle, 3)]),
    )
    roles.write(folder)
    other = factories.write_rows(
        cycle / "other.jsonl", [{"audio_filepath": f"audio/{n}.wav"} for n in range(5)]
    )
    untold = compare.compare(before, after, other, ["drug"])
    assert untold["rows"] == 5
    model = folder / "adapted_model.nemo"
    found = compare.compare(before, after, other, ["drug"], model=model)
    assert (found["basis"], found["rows"]) == ("held-out", 1)
    assert "3 of 5 rows of other.jsonl were trained on" in " ".join(found["notes"])
    assert compare.compare(before, after, None, ["drug"], model=model)["rows"] == 1


def test_a_cycles_run_record_names_the_model_whose_list_counts(cycle: Path) -> None:
    """The later cycle's folder is enough; its recordings are those of the cycle before."""
    before, after = write_evaluations(cycle, {})
    later = cycle.parent / "cycle2"
    later.mkdir()
    shutil.move(after, later / "offline_hyps.jsonl")
    folder = finish_run(cycle)
    RecordingRoles(frozenset(recording(cycle, n) for n in (0, 1, 2))).write(folder)
    named = {"sft": {"model": "/elsewhere/cycle1/models/run/adapted_model.nemo"}}
    (later / "run.json").write_text(json.dumps(named))
    found = compare.compare(before, later, None, ["drug"])
    assert (found["basis"], found["rows"]) == ("held-out", 2)


def test_a_model_without_a_list_or_without_its_recordings_is_refused(cycle: Path) -> None:
    """Who names a model wants its list to count."""
    before, after = write_evaluations(cycle, {})
    folder = finish_run(cycle)
    model = folder / "adapted_model.nemo"
    with pytest.raises(InputError, match="no list of the recordings"):
        compare.compare(before, after, None, ["drug"], model=model)
    RecordingRoles(frozenset(["a"])).write(folder)
    shutil.rmtree(cycle / "audio")
    with pytest.raises(InputError, match="no recording of its rows is on this host"):
        compare.compare(before, after, None, ["drug"], model=model)


def test_a_run_with_another_split_keeps_the_one_that_was_used(
    cycle: Path, lower_nemo: Path
) -> None:
    """It is not overwritten in silence; the same split again leaves no copy."""
    folder = open_cycle(cycle)
    checked = prepare.check(folder, lower_nemo, recipe("verified"))
    assert prepare.split(folder, checked, 0.2, 42).split.warnings == ()
    finish_run(cycle)
    used = (cycle / "validation.jsonl").read_bytes()
    assert prepare.split(folder, checked, 0.2, 42).split.warnings == ()
    assert not (cycle / "splits").exists()
    for seed in (8, 42, 8):
        (note,) = prepare.split(folder, checked, 0.2, seed).split.warnings
        assert "the finished run run used another split" in note
    assert (cycle / "splits/1/validation.jsonl").read_bytes() == used
    assert sorted(path.name for path in (cycle / "splits").iterdir()) == ["1", "2"]
