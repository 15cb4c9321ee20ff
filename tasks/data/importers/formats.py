"""The formats that an import reads, and which of them a source is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.common.errors import InputError
from tasks.data.importers import (
    common_voice,
    elan,
    huggingface,
    kaldi_folder,
    label_studio,
    labelling_sheet,
    lhotse_manifest,
    nemo_manifest,
    plain_text,
    subtitles,
    table,
    textgrid,
    time_marked,
)
from tasks.data.importers.beside_audio import tell_untranscribed
from tasks.data.importers.source_rows import read_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tasks.data.importers.source_rows import Found, ReadOptions


@dataclass(frozen=True, slots=True)
class SourceFormat:
    """A format of a corpus.

    Attributes:
        name: as ``--format`` has it.
        title: what it is.
        detect: says whether a file or folder is one.
        read: yields its rows and what is wrong with rows.
        asks: the fields of ReadOptions that it reads.
        without_rows: what the user does about a source of it in which no row was found.
    """

    name: str
    title: str
    detect: Callable[[Path], bool]
    read: Callable[[Path, ReadOptions], Iterator[Found]]
    asks: frozenset[str] = frozenset()
    without_rows: str = "name the right file or folder, or another --format"


_OF_TABLES = frozenset({"columns", "part"})
_TYPED = {
    "columns": "--column",
    "part": "--part",
    "tiers": "--tier",
    "pause": "--pause",
    "voice_of_file": "--voice-id",
}
# The first that detects a source reads it: the more special come first.
FORMATS = (
    SourceFormat("kaldi", "a Kaldi data folder", kaldi_folder.detect, kaldi_folder.read),
    SourceFormat(
        "hf-disk", "a data set on disk", huggingface.detect_disk, huggingface.read_disk, _OF_TABLES
    ),
    SourceFormat(
        "hf-audiofolder",
        "a Hugging Face audio folder",
        huggingface.detect_folder,
        huggingface.read_folder,
        _OF_TABLES,
    ),
    SourceFormat(
        "common-voice",
        "a Common Voice table",
        common_voice.detect,
        common_voice.read,
        frozenset({"part"}),
    ),
    SourceFormat(
        "lhotse", "Lhotse cuts or supervisions", lhotse_manifest.detect, lhotse_manifest.read
    ),
    SourceFormat("nemo", "a NeMo manifest", nemo_manifest.detect, nemo_manifest.read),
    SourceFormat(
        "textgrid",
        "Praat TextGrids beside audio",
        textgrid.detect,
        tell_untranscribed(textgrid.read),
        frozenset({"tiers", "voice_of_file"}),
    ),
    SourceFormat(
        "eaf",
        "ELAN annotations beside audio",
        elan.detect,
        tell_untranscribed(elan.read),
        frozenset({"tiers"}),
    ),
    SourceFormat(
        "stm", "an STM file", time_marked.detect_stm, tell_untranscribed(time_marked.read_stm)
    ),
    SourceFormat(
        "ctm",
        "a CTM file",
        time_marked.detect_ctm,
        tell_untranscribed(time_marked.read_ctm),
        frozenset({"pause"}),
    ),
    SourceFormat(
        "subtitles",
        "WebVTT or SRT beside audio",
        subtitles.detect,
        tell_untranscribed(subtitles.read),
    ),
    SourceFormat(
        "label-studio",
        "tasks of Label Studio",
        label_studio.detect,
        label_studio.read,
        without_rows="hear the recordings in Label Studio, submit an annotation for each whose "
        "text is right, and export again",
    ),
    SourceFormat(
        "sheet",
        "a labelling sheet",
        labelling_sheet.detect,
        labelling_sheet.read,
        frozenset({"part"}),
        "hear the recordings, correct text, and write x under checked where it is right",
    ),
    SourceFormat("table", "a CSV, TSV or XLSX table", table.detect, table.read, _OF_TABLES),
    SourceFormat(
        "text", "plain texts beside audio", plain_text.detect, tell_untranscribed(plain_text.read)
    ),
)
NAMES = tuple(source_format.name for source_format in FORMATS)


def choose(source: Path, name: str | None) -> SourceFormat:
    """Return the format of a source, by its name or by its content.

    Raises:
        InputError: there is no such format, or none fits.
    """
    for source_format in FORMATS:
        if source_format.name == name or (name is None and source_format.detect(source)):
            return source_format
    if name is not None:
        raise InputError(f"--format {name}: there is no such format. Fix: {', '.join(NAMES)}.")
    _refuse_broken_json(source)
    raise InputError(
        f"{source}: looks like none of the formats that can be imported. "
        f"Fix: name the file itself, or say what it is with --format: {', '.join(NAMES)}."
    )


def refuse_unread(source: Path, source_format: SourceFormat, options: ReadOptions) -> None:
    """Refuse options that the format of a source does not read: its rows would be others.

    Raises:
        InputError: names the first such option, and the formats that read it.
    """
    plain = type(options)()
    for name, typed in _TYPED.items():
        if getattr(options, name) == getattr(plain, name) or name in source_format.asks:
            continue
        readers = ", ".join(one.name for one in FORMATS if name in one.asks)
        raise InputError(
            f"{typed}: has no effect, since {source} is read as {source_format.name}. Fix: leave "
            f"{typed} out; it is for {readers}."
        )


def _refuse_broken_json(source: Path) -> None:
    """Name the line by which a file of JSON is none, since no format knows it for its own.

    Raises:
        InputError: its first line, or the whole of a .json, is not JSON.
    """
    if not source.is_file() or source.suffix not in {".json", ".jsonl"}:
        return
    number = 1
    try:
        if source.suffix == ".json":
            json.loads(source.read_text(encoding="utf-8-sig"))
        else:
            number, line = next(read_lines(source), (1, ""))
            json.loads(line)
    except ValueError as wrong:
        number = getattr(wrong, "lineno", 1) if source.suffix == ".json" else number
        raise InputError(
            f"{source}:{number}: is not JSON ({wrong}). Fix: correct it, or export it again."
        ) from wrong
