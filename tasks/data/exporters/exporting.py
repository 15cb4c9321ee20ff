"""Export a cycle: its rows and copies of its recordings, in a folder of another tool's format."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import soundfile

from tasks.common import atomic_files
from tasks.common.errors import InputError
from tasks.common.schemas import Schema
from tasks.data.exporters import csv_table, hf_audiofolder, kaldi_tables, lhotse_cuts
from tasks.data.exporters.exported_row import AUDIO, ExportedRow
from tasks.data.manifest import read_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tasks.data.cycle_folder import Cycle
    from tasks.data.manifest import Utterance


@dataclass(frozen=True, slots=True)
class TargetFormat:
    """A format that a cycle is written in.

    Attributes:
        name: as ``--format`` has it.
        write: writes what belongs beside the recordings.
        wav: recordings are copied as WAV, sample by sample, instead of byte by byte.
    """

    name: str
    write: Callable[[Path, Path, Sequence[ExportedRow]], None]
    wav: bool = False


FORMATS = (
    TargetFormat("kaldi", kaldi_tables.write, wav=True),
    TargetFormat("hf", hf_audiofolder.write),
    TargetFormat("lhotse", lhotse_cuts.write),
    TargetFormat("csv", csv_table.write),
)
ABOUT = ".asr-flywheel-export.json"
"""What names a folder as an export of a cycle, so that a purge of the cycle finds it."""
NAMES = tuple(target.name for target in FORMATS)


def export_cycle(cycle: Cycle, name: str, out: Path) -> int:
    """Write a cycle in another tool's format; return the number of rows.

    Args:
        cycle: which.
        name: of the format.
        out: a folder that is not there yet; it appears when it is whole.

    Raises:
        InputError: there is no such format, the manifest is broken, a recording cannot be read, or
            ``out`` is there.
    """
    target = next((found for found in FORMATS if found.name == name), None)
    if target is None:
        raise InputError(f"--format {name}: there is no such format. Fix: {', '.join(NAMES)}.")
    out = Path(os.path.abspath(out))  # noqa: PTH100 - links stay as they are named
    atomic_files.refuse_taken(out)
    utterances = read_manifest(cycle.manifest)
    with atomic_files.new_folder(out, 0o755) as work:
        (work / AUDIO).mkdir()
        rows = [
            _copy(cycle, utterance, place, work, wav=target.wav)
            for place, utterance in enumerate(utterances, start=1)
        ]
        target.write(work, out, rows)
        about = {"cycle": cycle.path.name, "format": name, "rows": len(rows)}
        atomic_files.write_json(work / ABOUT, Schema.EXPORT.mark(about))
    return len(utterances)


def _copy(cycle: Cycle, utterance: Utterance, place: int, work: Path, *, wav: bool) -> ExportedRow:
    source = cycle.path / utterance.audio_filepath
    name = f"{AUDIO}/{place:06d}{'.wav' if wav else source.suffix.lower()}"
    try:
        with soundfile.SoundFile(str(source)) as audio:
            frames, rate, subtype = int(audio.frames), int(audio.samplerate), str(audio.subtype)
            if wav and source.suffix.lower() != ".wav":
                is_whole = subtype in soundfile.available_subtypes("WAV")
                kind = subtype if is_whole and subtype.startswith("PCM") else "FLOAT"
                dtype = "int32" if kind.startswith("PCM") else "float32"
                with soundfile.SoundFile(
                    str(work / name), "w", rate, audio.channels, kind, format="WAV"
                ) as copy:
                    while len(block := audio.read(1 << 18, dtype=dtype)):
                        copy.write(block)
            else:
                shutil.copyfile(source, work / name)
    except (soundfile.SoundFileError, OSError) as wrong:
        raise InputError(
            f"{cycle.manifest}: row {utterance.row}: {source} cannot be read ({wrong}). "
            "Fix: `asr-flywheel preflight` names what is wrong with it."
        ) from wrong
    return ExportedRow(place, name, frames, rate, utterance)
