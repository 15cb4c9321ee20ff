"""Recordings and corpora to import, and what an import made of them."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from tasks.data.importers.import_settings import ImportSettings
from tasks.data.importers.importing import import_source
from tasks.data.importers.source_rows import ReadOptions
from tests.support import factories

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from tasks.data.importers.import_summary import ImportSummary

    Samples = npt.NDArray[np.int16]

RATE = 16000


def speech(seconds: float, *, seed: int = 0, rate: int = RATE) -> Samples:
    """Noise that is loud and quiet as speech is, at 16 bits."""
    samples = np.random.default_rng(seed).uniform(-0.4, 0.4, round(seconds * rate))
    samples *= np.clip(np.abs(np.sin(np.arange(len(samples)) * 12 / rate)), 0.01, 1)
    return np.rint(samples * 32767).astype(np.int16)


def write(path: Path, samples: npt.NDArray[Any], rate: int = RATE, subtype: str = "PCM_16") -> Path:
    """A recording of these samples, in the format of the path's ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def run(
    source: Path,
    cycle: Path,
    *,
    columns: dict[str, str] | None = None,
    reading: ReadOptions | None = None,
    **settings: Any,
) -> ImportSummary:
    """Import with one worker, so that a test knows the order."""
    options = reading or ReadOptions(columns=columns or {})
    return import_source(source, cycle, ImportSettings(reading=options, workers=1, **settings))


def rows(cycle: Path) -> list[dict[str, Any]]:
    """The manifest's rows."""
    lines = (cycle / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def provenance(cycle: Path) -> list[dict[str, Any]]:
    """Where each row is from."""
    lines = (cycle / "provenance.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def samples(cycle: Path, row: int) -> Samples:
    """The samples of a row, counted from 0; they are 16 kHz mono 16-bit FLAC."""
    path = cycle / rows(cycle)[row]["audio_filepath"]
    with soundfile.SoundFile(path) as audio:
        assert (audio.format, audio.subtype) == ("FLAC", "PCM_16")
        assert (audio.samplerate, audio.channels) == (RATE, 1)
        found: Samples = audio.read(dtype="int16")
    return found


def tree(folder: Path) -> dict[str, tuple[str, int]]:
    """Every file of a folder, its hash and its time of change."""
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_mtime_ns,
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def manifest(folder: Path, *rows: dict[str, Any]) -> Path:
    """A NeMo manifest beside the recordings."""
    folder.mkdir(exist_ok=True)
    return factories.write_rows(folder / "manifest.jsonl", rows)


def one(folder: Path, name: str, text: str = "the patient sleeps well", **more: Any) -> Path:
    """A manifest with one row."""
    return manifest(folder, {"audio_filepath": name, "text": text, **more})


def corpus(folder: Path, count: int = 6) -> Path:
    """A corpus of rows with clinical fields."""
    for number in range(count):
        write(folder / f"{number}.wav", speech(0.6, seed=number))
    return manifest(
        folder,
        *(
            {
                "audio_filepath": f"{number}.wav",
                "text": f"take aspirin number {number}",
                "term": "aspirin",
                "entity_category": "drug",
                "ward": "icu",
            }
            for number in range(count)
        ),
    )
