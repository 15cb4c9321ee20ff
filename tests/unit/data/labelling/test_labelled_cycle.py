"""A labelled cycle is a new folder; the source keeps every byte."""

from __future__ import annotations

import csv
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from tasks.common.errors import InputError
from tasks.data.audio_checks import AudioLimits
from tasks.data.cycle_folder import Cycle, open_cycle
from tasks.data.labelling.formulary import read_terms_table
from tasks.data.labelling.labelled_cycle import LabelSummary, label_cycle
from tasks.data.preflight import preflight
from tests.support import factories

if TYPE_CHECKING:
    from pathlib import Path

TERMS = "term,entity_category\naspirin,drug\nwarfarin,drug\nbiopsy,procedure\nangiogram,procedure\n"
ROWS: list[dict[str, Any]] = [
    {"text": "Aspirin and warfarin, both.", "ward": "B2"},
    {"text": "we often walk along the river"},
    {"text": "two biopsies were done", "voice_id": "anna"},
    {"text": "the knee of the patient", "term": "knee", "entity_category": "anatomy"},
    {"text": "stop aspirin", "term": "aspirin"},
]


def make(folder: Path) -> tuple[Cycle, Path]:
    """A cycle without most of its terms, and a formulary."""
    cycle = folder / "cycle1"
    (cycle / "audio").mkdir(parents=True)
    for number in range(len(ROWS)):
        factories.write_wav(cycle / f"audio/{number}.wav", 1.0, seed=number)
    rows = [
        {"audio_filepath": f"audio/{number}.wav", "duration": 1.0, **row}
        for number, row in enumerate(ROWS)
    ]
    factories.write_rows(cycle / "manifest.jsonl", rows)
    (cycle / "provenance.jsonl").write_text("{}\n")
    terms = folder / "terms.csv"
    terms.write_text(TERMS)
    return open_cycle(cycle), terms


def label(folder: Path, out: str = "labelled/cycle1") -> tuple[Path, LabelSummary]:
    """Label that cycle."""
    cycle, terms = make(folder)
    return folder / out, label_cycle(cycle, read_terms_table(terms), terms, folder / out)


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a manifest."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_get_their_terms_and_the_others_are_general_speech(tmp_path: Path) -> None:
    """Several as a list, one as the contract has it; a person's own terms stay, fields too."""
    out, summary = label(tmp_path)
    both, biopsies, knee, aspirin = rows_of(out / "manifest.jsonl")
    assert both["terms"] == [
        {"term": "Aspirin", "entity_category": "drug"},
        {"term": "warfarin", "entity_category": "drug"},
    ]
    assert (both["term"], both["entity_category"], both["ward"]) == ("Aspirin", "drug", "B2")
    assert (biopsies["term"], biopsies["entity_category"]) == ("biopsies", "procedure")
    assert "terms" not in biopsies
    assert (knee["term"], knee["entity_category"]) == ("knee", "anatomy")
    assert (aspirin["term"], aspirin["entity_category"]) == ("aspirin", "drug")
    (general,) = rows_of(out / "general.jsonl")
    assert general["text"] == "we often walk along the river"
    assert (summary.rows, summary.general, summary.several) == (4, 1, 1)
    assert summary.categories == {"anatomy": 1, "drug": 3, "procedure": 1}
    assert any("--general needs 20" in note for note in summary.notes)


def test_a_term_and_its_inflection_are_one_term_of_a_row(tmp_path: Path) -> None:
    """Within a text, and where a person had written another form of it."""
    cycle, terms = make(tmp_path)
    rows = rows_of(cycle.path / "manifest.jsonl")
    rows[0]["text"] = "warfarin, then warfarin's effect and two biopsies"
    rows[1] |= {"text": "a biopsy after two biopsies", "term": "biopsies"}
    rows[1] |= {"entity_category": "procedure"}
    factories.write_rows(cycle.path / "manifest.jsonl", rows)
    out = tmp_path / "labelled/cycle1"
    label_cycle(cycle, read_terms_table(terms), terms, out)
    first, second, *_ = rows_of(out / "manifest.jsonl")
    assert [item["term"] for item in first["terms"]] == ["warfarin", "biopsies"]
    assert (second["term"], "terms" in second) == ("biopsies", False)
    assert json.loads((out / "label.json").read_text())["rows_of_terms"]["biopsy"] == 3


def test_a_labelled_cycle_passes_preflight(tmp_path: Path) -> None:
    """Both manifests, with their recordings in the new folder."""
    out, _ = label(tmp_path)
    for name in ("manifest.jsonl", "general.jsonl"):
        preflight(out / name, AudioLimits(factories.RATE), None).raise_errors()


def test_terms_that_no_row_has_are_a_seed_for_the_build_stage(tmp_path: Path) -> None:
    """With the columns of its term_seed.csv; the record counts the rows of the others."""
    out, summary = label(tmp_path)
    with (out / "terms_without_rows.csv").open(newline="") as table:
        assert list(csv.reader(table)) == [["term", "entity_category"], ["angiogram", "procedure"]]
    assert summary.missing == 1
    record = json.loads((out / "label.json").read_text())
    assert record["rows_of_terms"] == {"aspirin": 2, "warfarin": 1, "biopsy": 1}


def test_the_source_keeps_every_byte_and_every_right(tmp_path: Path) -> None:
    """Recordings are links to the same content, whose rights stay what they were."""
    cycle, terms = make(tmp_path)
    (cycle.path / "audio/0.wav").chmod(0o600)
    before = factories.snapshot(cycle.path)
    out = tmp_path / "labelled/cycle1"
    summary = label_cycle(cycle, read_terms_table(terms), terms, out)
    assert factories.snapshot(cycle.path) == before
    assert (cycle.path / "audio/0.wav").stat().st_mode & 0o777 == 0o600
    assert summary.linked == len(ROWS)
    assert (out / "audio/0.wav").read_bytes() == (cycle.path / "audio/0.wav").read_bytes()
    assert (out / "provenance.jsonl").is_file()


def test_recordings_are_copied_where_there_are_no_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As between two file systems."""

    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    out, summary = label(tmp_path)
    assert summary.linked == 0
    assert (out / "audio/0.wav").read_bytes() == (tmp_path / "cycle1/audio/0.wav").read_bytes()


def test_nothing_is_left_where_labelling_fails(tmp_path: Path) -> None:
    """A recording is gone: the row is named, and neither the folder nor a part of it is there."""
    cycle, terms = make(tmp_path)
    (cycle.path / "audio/4.wav").unlink()
    with pytest.raises(InputError, match=r"row 5: there is no recording audio/4.wav"):
        label_cycle(cycle, read_terms_table(terms), terms, tmp_path / "new/cycle1")
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("cycle1/cycle2", "is inside the source"),
        ("cycle1", "is inside"),
        ("new/one", "is named"),
        ("new/cycle0", "is named"),
    ],
)
def test_a_place_that_cannot_be_is_refused(tmp_path: Path, out: str, said: str) -> None:
    """In the source, the source itself, a folder that is no cycle."""
    with pytest.raises(InputError, match=said):
        label(tmp_path, out)


def test_a_folder_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    """A second time another folder is needed."""
    cycle, terms = make(tmp_path)
    out = tmp_path / "labelled/cycle1"
    label_cycle(cycle, read_terms_table(terms), terms, out)
    with pytest.raises(InputError, match="is there already"):
        label_cycle(cycle, read_terms_table(terms), terms, out)


def test_the_evaluation_of_the_cycle_before_stays(tmp_path: Path) -> None:
    """A run on labelled/cycle1 has left labelled/cycle2 when the next month is labelled."""
    cycle, terms = make(tmp_path)
    out = tmp_path / "labelled/cycle2"
    out.mkdir(parents=True)
    (out / "run.json").write_text("the run")
    summary = label_cycle(cycle, read_terms_table(terms), terms, out)
    assert len(rows_of(out / "manifest.jsonl")) == summary.rows == 4
    assert (out / "run.json").read_text() == "the run"


def test_texts_without_any_term_are_refused(tmp_path: Path) -> None:
    """Another clinic's formulary is named."""
    cycle, terms = make(tmp_path)
    factories.write_rows(
        cycle.manifest, [{"audio_filepath": "audio/0.wav", "text": "nothing", "duration": 1.0}]
    )
    with pytest.raises(InputError, match=r"none of its 1 row holds one of the 4 terms"):
        label_cycle(cycle, read_terms_table(terms), terms, tmp_path / "labelled/cycle1")
