"""Write a Kaldi data folder: wav.scp, text, utt2spk, spk2utt, and utt2<field> for other fields."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from tasks.common.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tasks.data.exporters.exported_row import ExportedRow

_NO_ID = re.compile(r"[^A-Za-z0-9]+")


def write(folder: Path, out: Path, rows: Sequence[ExportedRow]) -> None:
    """Write the tables; an utterance's id begins with its speaker's, as Kaldi's sorting needs it.

    Kaldi ends a row at a line break and a name at a blank, so that neither may be in it.

    Raises:
        InputError: a text holds a line break.
    """
    tables: dict[str, dict[str, str]] = {"wav.scp": {}, "text": {}, "utt2spk": {}, "utt2dur": {}}
    speakers = _speaker_ids(rows)
    for row in rows:
        voice = row.utterance.voice_id
        name = f"{'unknown' if voice is None else speakers[voice]}-{row.number:06d}"
        # An utterance whose speaker is not known is its own, by Kaldi's convention.
        speaker = name if voice is None else speakers[voice]
        if len(row.utterance.text.splitlines()) > 1:
            raise InputError(
                f"row {row.utterance.row}: the text holds a line break, which Kaldi's tables "
                "cannot have. Fix: write it on one line, or export another format."
            )
        tables["wav.scp"][name] = str(out / row.audio)
        tables["text"][name] = row.utterance.text.strip()
        tables["utt2spk"][name] = speaker
        tables["utt2dur"][name] = f"{row.seconds:.6f}"
        for field, value in row.fields().items():
            written = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            tables.setdefault(f"utt2{field}", {})[name] = " ".join(written.split())
    members: dict[str, list[str]] = {}
    for name, speaker in sorted(tables["utt2spk"].items()):
        members.setdefault(speaker, []).append(name)
    tables["spk2utt"] = {speaker: " ".join(names) for speaker, names in members.items()}
    for table, values in tables.items():
        _write(folder / table, values)


def _write(path: Path, values: Mapping[str, str]) -> None:
    # By bytes, as LC_ALL=C sorts and Kaldi expects.
    lines = sorted(f"{name} {value}\n".encode() for name, value in values.items() if value)
    path.write_bytes(b"".join(lines))


def _speaker_ids(rows: Sequence[ExportedRow]) -> dict[str, str]:
    """Return an id without blanks for each voice; no two voices share one."""
    voices = sorted({row.utterance.voice_id for row in rows if row.utterance.voice_id is not None})
    ids: dict[str, str] = {}
    for voice in voices:
        bare = _NO_ID.sub("", voice) or "voice"
        name, number = bare, 1
        while name in ids.values():
            number += 1
            name = f"{bare}x{number}"
        ids[voice] = name
    return ids
