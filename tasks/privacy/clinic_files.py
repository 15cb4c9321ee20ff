"""The files of a clinic: which are looked at, which are recordings, which are rows.

Which folders are looked at is in tasks/privacy/purge_scope.py; there hidden files are too.
"""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.common.errors import InputError
from tasks.data.cycle_lock import LOCK_NAME
from tasks.data.purge_journal import JOURNAL_NAME
from tasks.privacy.keyed_hashes import KEY_NAME
from tasks.records import audit_log

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

AUDIO = frozenset(
    [
        ".wav",
        ".flac",
        ".ogg",
        ".oga",
        ".opus",
        ".mp3",
        ".m4a",
        ".aac",
        ".mp4",
        ".aiff",
        ".aif",
        ".au",
        ".caf",
        ".w64",
        ".sph",
        ".dss",
        ".ds2",
    ]
)
"""Suffixes of recordings."""
ROWS = frozenset((".json", ".jsonl"))
TABLES = frozenset((".csv", ".tsv"))
PAGES = frozenset((".html", ".htm"))
LINES = frozenset(
    [
        ".md",
        ".txt",
        ".log",
        ".out",
        ".err",
        ".yaml",
        ".yml",
        ".stm",
        ".ctm",
        ".vtt",
        ".srt",
        ".scp",
        ".sh",
        ".xml",
        ".eaf",
        ".textgrid",
    ]
)
KALDI = frozenset(("text", "wav.scp", "segments", "utt2spk", "spk2utt", "utt2dur"))
PACKED = frozenset([".xlsx", ".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz"])
OPAQUE = frozenset([".parquet", ".arrow", ".7z", ".rar", ".zst", ".db", ".sqlite", ".pdf", ".docx"])
"""What is packed in a way that is not looked into."""
_OWN = frozenset((LOCK_NAME, KEY_NAME, JOURNAL_NAME, audit_log.NAME, audit_log.HEAD_NAME))
_SERVER = "prefect.db"


def list_files(roots: Iterable[Path]) -> list[Path]:
    """List all files below folders, each once, without this tool's log, key and locks.

    A folder that holds a Prefect server's database is left out: its artifacts are asked for by the
    server's API.
    """
    listed: dict[str, Path] = {}
    for root in roots:
        if root.is_file():
            listed[str(root)] = root
        for folder, folders, files in os.walk(root):
            if _SERVER in files:
                folders.clear()
                continue
            folders.sort()
            for name in files:
                if name not in _OWN:
                    path = Path(folder) / name
                    listed[str(path)] = path
    return [listed[name] for name in sorted(listed)]


def is_own_record(path: Path) -> bool:
    """Return whether a file is this tool's log, key, lock or journal, or a server's database."""
    return path.name in _OWN or (path / _SERVER).is_file()


def is_audio(path: Path) -> bool:
    """Return whether a file is a recording, by its name."""
    return path.suffix.lower() in AUDIO


def is_lines(path: Path) -> bool:
    """Return whether a file is text that is read line by line."""
    return path.suffix.lower() in LINES or path.name in KALDI or path.name.startswith("utt2")


def read_documents(path: Path) -> Iterator[Any]:
    """Yield what a JSON file holds: its document, or the object of each line.

    Raises:
        ValueError: neither.
    """
    text = path.read_text(encoding="utf-8-sig")
    try:
        yield json.loads(text)
    except ValueError:
        documents = [json.loads(line) for line in text.split("\n") if line.strip()]
        yield from documents


def iterate_rows(value: object) -> Iterator[dict[str, Any]]:
    """Yield every object inside a JSON document, the outer ones first."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from iterate_rows(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from iterate_rows(inner)


def read_table(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a CSV or TSV by their columns.

    Raises:
        ValueError: it is no text.
    """
    text = path.read_text(encoding="utf-8-sig")
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    for row in csv.DictReader(text.splitlines(keepends=True), delimiter=delimiter):
        yield {name: value for name, value in row.items() if isinstance(value, str)}


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file of rows, of whatever kind; none of any other file."""
    suffix = path.suffix.lower()
    try:
        if suffix in ROWS:
            for document in read_documents(path):
                yield from iterate_rows(document)
        elif suffix in TABLES:
            yield from read_table(path)
    except (ValueError, csv.Error, RecursionError):
        return  # it is searched as text


def require_folders(folders: Iterable[Path]) -> tuple[Path, ...]:
    """Return folders by their absolute paths.

    Raises:
        InputError: one is not there.
    """
    found = []
    for folder in folders:
        path = folder.expanduser().absolute()
        if not path.is_dir():
            raise InputError(f"{folder}: there is no such folder. Fix: name one with --folder.")
        found.append(path)
    return tuple(found)
