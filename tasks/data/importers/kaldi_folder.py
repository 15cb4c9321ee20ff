"""Read a Kaldi data folder: wav.scp, text, and where they are there segments, utt2spk and more.

Lhotse's reader of these folders opens every recording, drops the unreadable ones, cuts times to
milliseconds and names no line. So the tables are read here, which are a key and a value a line.
"""

from __future__ import annotations

import io
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.common.errors import InputError
from tasks.data.importers.source_rows import (
    SKIP_FIX,
    Recording,
    RowFault,
    SourceRow,
    needs_package,
    note_untranscribed,
    number,
    read_lines,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tasks.data.importers.source_rows import Found, ReadOptions

_ARK = re.compile(r"(.+\.ark):(\d+)")
_SPEAKERS, _VOICES = "utt2spk", "utt2voice_id"
# Kaldi's own tables, which hold no field of a row.
_NO_FIELDS = frozenset(("spk", "dur", "num_frames", "uniq", "warp"))


def detect(source: Path) -> bool:
    """Return whether a folder holds wav.scp."""
    return source.is_dir() and (source / "wav.scp").is_file()


def read(source: Path, options: ReadOptions) -> Iterator[Found]:
    """Yield the utterances of a data folder, in the order of text.

    Raises:
        InputError: a table is missing or broken, or wav.scp names a command.
    """
    recordings = {
        key: _recording(source, place, value)
        for key, (place, value) in _table(source / "wav.scp").items()
    }
    if not (source / "text").is_file():
        raise InputError(
            f"{source / 'text'}: there is no such table, and rows need a transcript. "
            "Fix: name the folder that has it."
        )
    segments = _table(source / "segments") if (source / "segments").is_file() else None
    fields = {
        path.name.removeprefix("utt2"): _table(path)
        for path in sorted(source.glob("utt2*"))
        if path.name.removeprefix("utt2") not in _NO_FIELDS and path.is_file()
    }
    if not (source / _VOICES).is_file() and (source / _SPEAKERS).is_file():
        # An utterance that is its own speaker has none, by Kaldi's convention.
        speakers = _table(source / _SPEAKERS)
        fields["voice_id"] = {name: found for name, found in speakers.items() if found[1] != name}
    texts = _table(source / "text", may_be_empty=True)
    for utterance, (line, text) in texts.items():
        place = line
        values = {name: table[utterance][1] for name, table in fields.items() if utterance in table}
        if segments is not None and utterance in segments:
            place = segments[utterance][0]
        try:
            yield _row(place, utterance, text, segments, recordings, values)
        except ValueError as wrong:
            yield RowFault(
                place, str(wrong), f"correct it (utils/fix_data_dir.sh drops such), {SKIP_FIX}"
            )
    note_untranscribed((one for one in segments or recordings if one not in texts), options)


def _row(
    place: str,
    utterance: str,
    text: str,
    segments: Mapping[str, tuple[str, str]] | None,
    recordings: Mapping[str, Recording],
    fields: Mapping[str, str],
) -> SourceRow:
    start, end, name = 0.0, None, utterance
    if segments is not None:
        if utterance not in segments:
            raise ValueError(f"{utterance} is not in segments")
        name, start, end = _segment(segments[utterance][1])
    if name not in recordings:
        raise ValueError(f"{name} is not in wav.scp")
    return SourceRow(place, recordings[name], text, start=start, end=end, fields=fields)


def _segment(value: str) -> tuple[str, float, float | None]:
    parts = value.split()
    if len(parts) != 3:  # noqa: PLR2004 - recording, start, end
        raise ValueError(f"segments needs recording, start and end, not {value!r}")
    start, end = number(parts[1]), number(parts[2])
    if start is None or end is None or start < 0:
        raise ValueError(f"{value!r} has no start and end")
    return parts[0], start, None if end == -1 else end


def _recording(source: Path, place: str, value: str) -> Recording:
    if value.endswith("|"):
        raise InputError(
            f"{place}: names a command ({value[:80]}), and commands of a source are not run. "
            "Fix: write the recordings into files (wav-copy scp:wav.scp ark,scp:wavs.ark,wavs.scp) "
            "and put wavs.scp in its place."
        )
    path = Path(value)
    if match := _ARK.fullmatch(value):
        path = Path(match.group(1))
    if not path.is_absolute() and not path.is_file():
        path = source / path  # Kaldi's recipes count from where they are run, others from here
    if match:
        return Recording(path, match.group(2), partial(_read_ark, f"{path}:{match.group(2)}"))
    return Recording(path)


def _read_ark(place: str) -> bytes:
    """Return a recording of an archive as a WAV."""
    try:
        import kaldiio  # noqa: PLC0415 - an optional package
    except ImportError as absent:
        raise needs_package("kaldiio", "Reading recordings in a Kaldi archive") from absent
    import soundfile  # noqa: PLC0415 - only here

    rate, samples = kaldiio.load_mat(place)
    out = io.BytesIO()
    soundfile.write(out, samples, rate, subtype="PCM_16", format="WAV")
    return out.getvalue()


def _table(path: Path, *, may_be_empty: bool = False) -> dict[str, tuple[str, str]]:
    """Return a table's values by their keys, each with its file and line."""
    table: dict[str, tuple[str, str]] = {}
    for line_number, line in read_lines(path):
        key, *rest = line.split(maxsplit=1)
        place = f"{path}:{line_number}"
        if not rest and not may_be_empty:
            raise InputError(f"{place}: {key!r} has no value. Fix: give it, or delete the line.")
        if key in table:
            raise InputError(
                f"{place}: {key!r} is already in {table[key][0]}. Fix: keep one of the two lines."
            )
        table[key] = (place, rest[0].strip() if rest else "")
    return table
