"""Take a recording out of JSON, JSON lines and tables; what is not about it stays as it was."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

from tasks.privacy.traces import GONE, RecordingTraces
from tasks.training import recording_roles

if TYPE_CHECKING:
    from pathlib import Path

_DROPPED: Any = object()
_SNIPPETS = frozenset(("near_misses", "unread"))
"""Objects whose keys are words of rows, in a leaderboard's JSON."""


def scrub_json(text: str, file: Path, traces: RecordingTraces) -> str | None:
    """Return a JSON document, or JSON lines, without a recording; None where nothing is changed.

    Rows of lists and lines that are about it are left out. A value that holds its path, hash or
    text elsewhere becomes "[purged]", or the keyed hash.

    Raises:
        ValueError: it is neither JSON nor JSON lines.
    """
    content = text.removeprefix("\ufeff")
    try:
        document = json.loads(content)
    except ValueError:
        return _scrub_lines(content, file, traces)
    if content.count("\n") <= 1 and file.suffix == ".jsonl":
        return _scrub_lines(content, file, traces)
    kept = JsonScrubber(file, traces).scrub(document)
    if kept == document:
        return None
    return json.dumps(kept, ensure_ascii=False, indent=2) + "\n"


def _scrub_lines(text: str, file: Path, traces: RecordingTraces) -> str | None:
    scrubber = JsonScrubber(file, traces)
    is_roles = file.name == recording_roles.NAME
    lines: list[str] = []
    for line in text.split("\n"):
        if not line.strip() or not traces.may_tell(line):
            lines.append(line)
            continue
        row = json.loads(line)
        kept = _role(row, traces) if is_roles else scrubber.scrub_row(row)
        if kept is not _DROPPED:
            same = kept == row
            lines.append(line if same else json.dumps(kept, ensure_ascii=False))
    changed = "\n".join(lines)
    return None if changed == text else changed


def _role(row: dict[str, Any], traces: RecordingTraces) -> dict[str, Any]:
    """Return a line of a model's list, with the keyed hash in the place of a purged one."""
    keyed = traces.hashes.get(str(row.get("audio_sha256")))
    if keyed is None:
        return row
    rest = {name: value for name, value in row.items() if name != "audio_sha256"}
    return {recording_roles.KEYED: keyed, **rest}


class JsonScrubber:
    """Takes a recording out of the values of one file."""

    def __init__(self, file: Path, traces: RecordingTraces) -> None:
        self._file, self._traces = file, traces

    def scrub_row(self, row: object) -> object:
        """Return a line's value, or a mark that it is to be dropped."""
        if isinstance(row, dict) and self._traces.is_row(row, self._file):
            return _DROPPED
        return self.scrub(row)

    def scrub(self, value: object, *, snippets: bool = False) -> object:
        """Return a value without what is about the recording."""
        if isinstance(value, dict):
            return self._scrub_object(value, snippets=snippets)
        if isinstance(value, list):
            items = [self.scrub_row(item) for item in value if not self._is_told(item)]
            return [item for item in items if item is not _DROPPED]
        return self._scrub_text(value) if isinstance(value, str) else value

    def _is_told(self, item: object) -> bool:
        """Return whether an item of a list is a path, a hash or a text of the recording alone."""
        return isinstance(item, str) and (
            item in self._traces.hashes
            or self._traces.is_path(item, self._file)
            or self._traces.phrases.is_whole(item)
        )

    def _scrub_object(self, value: dict[str, Any], *, snippets: bool) -> dict[str, Any]:
        traces = self._traces
        kept: dict[str, Any] = {}
        for name, inner in value.items():
            if snippets and not isinstance(inner, dict) and traces.phrases.is_part(name):
                continue
            if self._is_told(name):
                continue
            if isinstance(inner, dict) and traces.is_row(inner, self._file):
                kept[name] = None
                continue
            holds_snippets = name in _SNIPPETS or (snippets and isinstance(inner, dict))
            new_name = traces.voices.get(name, name)
            kept[new_name] = self.scrub(inner, snippets=holds_snippets)
        return kept

    def _scrub_text(self, text: str) -> str:
        traces = self._traces
        if text in traces.hashes:
            return traces.hashes[text]
        if traces.is_path(text, self._file) or traces.phrases.is_whole(text) or traces.tells(text):
            return GONE
        return traces.voices.get(text) or traces.without_voices(text)


def scrub_table(text: str, file: Path, traces: RecordingTraces) -> str | None:
    """Return a CSV or TSV without rows of a recording; None where nothing is changed."""
    delimiter = "\t" if file.suffix.lower() == ".tsv" else ","
    lines = text.splitlines(keepends=True)
    reader = csv.reader(lines, delimiter=delimiter)
    kept: list[str] = []
    begins = 0
    for row in reader:
        raw = "".join(lines[begins : reader.line_num])
        begins = reader.line_num
        cells = [cell for cell in row if cell]
        about = any(
            cell in traces.hashes
            or traces.phrases.is_whole(cell)
            or traces.is_path(cell, file)
            or traces.tells(cell)
            for cell in cells
        )
        if not about:
            kept.append(traces.without_voices(raw))
    changed = "".join(kept)
    return None if changed == text else changed
