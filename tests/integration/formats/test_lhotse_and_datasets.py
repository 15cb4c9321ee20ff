"""Corpora that lhotse and datasets wrote are imported, and a cycle survives an export."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import datasets
import lhotse
import numpy as np
import pytest

from tasks.common.errors import InputError
from tasks.data.cycle_folder import open_cycle
from tasks.data.exporters.exporting import export_cycle
from tasks.data.importers.source_rows import ReadOptions
from tests.support import corpora, factories
from tests.support.corpora import run, samples, speech, write

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.corpora import Samples

TEXTS = ("take aspirin now", "hold the metformin, please", "no known allergies")
SPANS = ((0.25, 1.5), (1.75, 3.0), (3.5, 4.875))


def check(cycle: Path, expected: list[Samples]) -> None:
    """The rows are equal to the source in text and in samples."""
    assert tuple(row["text"] for row in corpora.rows(cycle)) == TEXTS
    for row, voice in enumerate(expected):
        assert np.array_equal(samples(cycle, row), voice), row


def lhotse_set(folder: Path) -> tuple[Any, Any, list[Samples]]:
    """A recording of 5.5 s with three supervisions, of which the first has a term."""
    whole = speech(5.5, seed=7)
    path = write(folder / "visit.wav", whole)
    recordings = lhotse.RecordingSet.from_recordings([lhotse.Recording.from_file(path)])
    supervisions = lhotse.SupervisionSet.from_segments(
        lhotse.SupervisionSegment(
            id=f"s{number}",
            recording_id="visit",
            start=start,
            duration=end - start,
            text=text,
            speaker="ann",
            custom=None if number else {"term": "aspirin", "entity_category": "drug"},
        )
        for number, ((start, end), text) in enumerate(zip(SPANS, TEXTS, strict=True))
    )
    cut = [whole[round(start * 16000) : round(end * 16000)] for start, end in SPANS]
    return recordings, supervisions, cut


@pytest.mark.parametrize("trimmed", [True, False])
def test_lhotse_cuts(tmp_path: Path, *, trimmed: bool) -> None:
    """One row for each supervision, whether cuts are as long as they or longer."""
    recordings, supervisions, expected = lhotse_set(tmp_path / "source")
    cuts = lhotse.CutSet.from_manifests(recordings=recordings, supervisions=supervisions)
    if trimmed:
        cuts = cuts.trim_to_supervisions(keep_overlapping=False).to_eager()
        expected = [cut.load_audio()[0] * 32768 for cut in cuts]
    cuts.to_file(tmp_path / "source" / "cuts.jsonl.gz")
    summary = run(tmp_path / "source" / "cuts.jsonl.gz", tmp_path / "cycle1")
    assert summary.format == "lhotse"
    check(tmp_path / "cycle1", expected)
    first, second, _ = corpora.rows(tmp_path / "cycle1")
    assert (first["term"], first["voice_id"]) == ("aspirin", "ann")
    assert "term" not in second


def test_lhotse_recordings_and_supervisions(tmp_path: Path) -> None:
    """A folder with both manifests; one without recordings is refused."""
    recordings, supervisions, expected = lhotse_set(tmp_path / "source")
    supervisions.to_file(tmp_path / "source" / "supervisions.jsonl.gz")
    with pytest.raises(InputError, match=r"no recordings manifest"):
        run(tmp_path / "source", tmp_path / "cycle1")
    recordings.to_file(tmp_path / "source" / "recordings.jsonl.gz")
    run(tmp_path / "source", tmp_path / "cycle1")
    check(tmp_path / "cycle1", expected)


def test_a_mixed_cut_is_refused(tmp_path: Path) -> None:
    """Its sound exists only as it is read."""
    recordings, supervisions, _ = lhotse_set(tmp_path / "source")
    cuts = lhotse.CutSet.from_manifests(recordings=recordings, supervisions=supervisions)
    mixed = lhotse.CutSet.from_cuts([cut.pad(7) for cut in cuts])
    mixed.to_file(tmp_path / "source" / "cuts.jsonl.gz")
    with pytest.raises(InputError, match=r"cut 1 .*MixedCut.*save_audio"):
        run(tmp_path / "source", tmp_path / "cycle1")
    assert not (tmp_path / "cycle1").exists()


def voices(folder: Path) -> list[Samples]:
    """Three recordings, 0 to 2, and their samples."""
    made = [speech(0.6 + 0.1 * number, seed=number) for number in range(3)]
    for number, voice in enumerate(made):
        write(folder / f"{number}.wav", voice)
    return made


@pytest.mark.parametrize("embedded", [True, False])
def test_a_data_set_on_disk(tmp_path: Path, *, embedded: bool) -> None:
    """With the recordings in the table, or beside it; a label is its name."""
    made = voices(tmp_path / "audio")
    paths = [tmp_path / "audio" / f"{number}.wav" for number in range(3)]
    sounds: list[Any] = [
        {"path": path.name, "bytes": path.read_bytes()} if embedded else str(path) for path in paths
    ]
    table = {"audio": sounds, "sentence": list(TEXTS), "speaker": [0, 1, 0]}
    found = datasets.Dataset.from_dict(table)
    found = found.cast_column("audio", datasets.Audio())
    found = found.cast_column("speaker", datasets.ClassLabel(names=["ann", "bob"]))
    datasets.DatasetDict({"train": found}).save_to_disk(tmp_path / "source")
    assert run(tmp_path / "source", tmp_path / "cycle1").format == "hf-disk"
    check(tmp_path / "cycle1", made)
    assert [row["voice_id"] for row in corpora.rows(tmp_path / "cycle1")] == ["ann", "bob", "ann"]


def test_a_split_has_to_be_named(tmp_path: Path) -> None:
    """Where there are several; a broken table is refused."""
    voices(tmp_path / "audio")
    table = {"audio": [str(tmp_path / "audio" / "0.wav")], "text": ["a"]}
    one = datasets.Dataset.from_dict(table).cast_column("audio", datasets.Audio(decode=False))
    datasets.DatasetDict({"train": one, "test": one}).save_to_disk(tmp_path / "source")
    with pytest.raises(InputError, match=r"splits train, test.*--part train"):
        run(tmp_path / "source", tmp_path / "cycle1")
    assert run(tmp_path / "source", tmp_path / "cycle1", reading=ReadOptions(part="test")).rows == 1
    for path in (tmp_path / "source").rglob("*.arrow"):
        path.write_bytes(b"broken")
    with pytest.raises(InputError, match=r"datasets cannot read it"):
        run(tmp_path / "source", tmp_path / "cycle2", reading=ReadOptions(part="test"))


def a_cycle(tmp_path: Path) -> Path:
    """A cycle with clinical fields, of which the last row has none."""
    made = voices(tmp_path / "clinic" / "cycle1" / "audio")
    fields = {"term": "aspirin", "entity_category": "drug", "voice_id": "Dr. Ann"}
    rows = [
        {"audio_filepath": f"audio/{number}.wav", "text": text, "duration": len(voice) / 16000}
        for number, (text, voice) in enumerate(zip(TEXTS, made, strict=True))
    ]
    rows = [{**rows[0], **fields}, {**rows[1], "bandwidth": "narrow", "group": "icu"}, rows[2]]
    rows[2]["terms"] = [
        {"term": "allergies", "entity_category": "condition"},
        {"term": "known allergies", "entity_category": None},
    ]
    factories.write_rows(tmp_path / "clinic" / "cycle1" / "manifest.jsonl", rows)
    return tmp_path / "clinic" / "cycle1"


@pytest.mark.parametrize("name", ["kaldi", "hf", "lhotse", "csv"])
def test_a_cycle_survives_export_and_import(tmp_path: Path, name: str) -> None:
    """Texts, samples and fields are the same, and the audio's hash is the split's."""
    cycle = a_cycle(tmp_path)
    before = corpora.tree(cycle)
    assert export_cycle(open_cycle(cycle), name, tmp_path / "out") == 3
    assert corpora.tree(cycle) == before
    source = tmp_path / "out" / "manifest.csv" if name == "csv" else tmp_path / "out"
    run(source, tmp_path / "cycle2")
    ours, theirs = corpora.rows(cycle), corpora.rows(tmp_path / "cycle2")
    ignored = {"audio_filepath"}
    key = "text"
    assert sorted(
        ({name: row[name] for name in row.keys() - ignored} for row in theirs),
        key=lambda row: str(row[key]),
    ) == sorted(
        ({name: row[name] for name in row.keys() - ignored} for row in ours),
        key=lambda row: str(row[key]),
    )
    for number, row in enumerate(theirs):
        place = TEXTS.index(row["text"])
        expected = speech(0.6 + 0.1 * place, seed=place)
        assert np.array_equal(samples(tmp_path / "cycle2", number), expected)


def test_an_export_is_whole_or_not_there(tmp_path: Path) -> None:
    """And another tool reads it: datasets and lhotse open theirs."""
    cycle = open_cycle(a_cycle(tmp_path))
    export_cycle(cycle, "lhotse", tmp_path / "lhotse")
    cuts = lhotse.CutSet.from_file(tmp_path / "lhotse" / "cuts.jsonl.gz")
    assert [cut.supervisions[0].text for cut in cuts] == list(TEXTS)
    export_cycle(cycle, "hf", tmp_path / "hf")
    loaded = datasets.Dataset.from_json(
        str(tmp_path / "hf" / "metadata.jsonl"), cache_dir=str(tmp_path / "cache")
    )
    assert loaded["text"][:] == list(TEXTS)
    assert all((tmp_path / "hf" / name).is_file() for name in loaded["file_name"])
    with pytest.raises(InputError, match="is there already"):
        export_cycle(cycle, "hf", tmp_path / "hf")
    (cycle.path / "audio" / "1.wav").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"row 2: .*cannot be read"):
        export_cycle(cycle, "csv", tmp_path / "csv")
    assert not [path for path in tmp_path.iterdir() if "csv" in path.name]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_an_audio_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Its metadata is what datasets writes; a split is a folder; no server is asked."""
    asked: list[object] = []

    def look_up(*place: Any, **more: Any) -> Any:
        asked.append(place)
        raise OSError("no network here")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(datasets.config, "HF_UPDATE_DOWNLOAD_COUNTS", True)
    made = voices(tmp_path / "source" / "train")
    table = {"file_name": ["0.wav", "1.wav", "2.wav"], "transcription": list(TEXTS)}
    found = datasets.Dataset.from_dict(table)
    path = str(tmp_path / "source" / "train" / f"metadata.{kind}")
    {"csv": found.to_csv, "jsonl": found.to_json, "parquet": found.to_parquet}[kind](path)
    assert run(tmp_path / "source", tmp_path / "cycle1").format == "hf-audiofolder"
    check(tmp_path / "cycle1", made)
    assert asked == []
    with pytest.raises(InputError, match=r"has 0 tables of metadata"):
        run(tmp_path / "source", tmp_path / "cycle2", reading=ReadOptions(part="test"))
