"""Read per-row evaluation results, whole or a stretch at a time, in any of their shapes."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from sys import intern
from typing import TYPE_CHECKING, Any, BinaryIO

from tasks.common.counted import counted
from tasks.common.errors import InputError
from tasks.data import findings
from tasks.data.manifest import bandwidth_of, group_of
from tasks.data.row_schema import CLINICAL_FIELDS
from tasks.data.row_terms import TERMS, sound_terms
from tasks.data.term_checks import read_terms
from tasks.data.transcript_tags import find_tags
from tasks.data.vocabularies import find_spelling
from tasks.evaluation.hypotheses import AUDIO_SHA256, MODEL_SHA256, Hypothesis, Partition
from tasks.evaluation.result_advice import advise_encoding, advise_line
from tasks.evaluation.result_checks import (
    CATEGORY_VALUES,
    check_record,
    is_plain,
    refuse_duplicates,
)
from tasks.evaluation.result_shapes import BOM, Shape, find_shape, rename_fields, whole_records

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tasks.data.findings import ManifestFinding

_MOST_PROBLEMS = 1000
# A quotation mark inside a text is escaped, so that this finds the field and no text.
_TERM = re.compile(rb'"term"\s*:\s*("(?:[^"\\]|\\.)*")')


@dataclass
class ReadingNotes:
    """What was brought together while rows were read; a user is told.

    Attributes:
        shape: how the file holds its rows.
        renamed: categories in another case or in the plural, with their word in the vocabulary.
        tagged: rows whose reference holds a tag such as [noise].
        wordless: rows whose reference holds no word.
    """

    shape: Shape = Shape.LINES
    renamed: Counter[tuple[str, str]] = field(default_factory=Counter)
    tagged: int = 0
    wordless: int = 0

    def merge(self, other: ReadingNotes) -> None:
        """Add the notes of another stretch."""
        self.renamed.update(other.renamed)
        self.tagged += other.tagged
        self.wordless += other.wordless

    def lines(self) -> tuple[str, ...]:
        """Return a sentence for each thing that a user should know."""
        shapes = (Shape.WRAPPER, Shape.TABLE)
        told = (
            f"{counted(self.tagged, 'reference')} with tags that nobody said, such as [noise], "
            "which count as words. `asr-flywheel tags` makes a manifest without them."
        )
        tagged = [told] if self.tagged else []
        told = (
            f"{counted(self.wordless, 'row')} with an empty reference: each word of the hypothesis "
            "adds 1 to the row's WER, as the contract has it, and so to the mean. Fix: write what "
            "is said there, or leave such rows out."
        )
        wordless = [told] if self.wordless else []
        read_as = [f"The file was read as {self.shape}."] if self.shape in shapes else []
        return (
            *read_as,
            *tagged,
            *wordless,
            *(
                f"The category {written!r} of {counted(rows, 'row')} was read as {category!r}."
                for (written, category), rows in sorted(self.renamed.items())
            ),
        )


def read_hypotheses(path: Path) -> tuple[Hypothesis, ...]:
    """Read per-row results: JSONL, one JSON array, or a shape of another tool.

    Raises:
        InputError: no such file, not JSON, no rows, a row that is not sound, or a row that stands
            twice; names every row.
    """
    return read_results(path)[0]


def read_results(path: Path) -> tuple[tuple[Hypothesis, ...], ReadingNotes]:
    """Read per-row results, with what a user should know of the file.

    Raises:
        InputError: as ``read_hypotheses``.
    """
    notes = ReadingNotes()
    rows = tuple(iterate_hypotheses(path, notes=notes))
    refuse_duplicates(path, rows)
    return rows, notes


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a file of JSON lines, from one line's first byte to another's last."""

    path: Path
    start: int
    end: int


def cut_stretches(path: Path, count: int) -> list[Stretch]:
    """Cut a file of JSON lines into about equal stretches; another shape cannot be cut.

    Raises:
        InputError: there is no such file.
    """
    with _open(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if find_shape(path, stream) is not Shape.LINES:
            count = 1
        bounds = [0]
        for number in range(1, count):
            stream.seek(max(bounds[-1], size * number // count))
            stream.readline()
            bounds.append(stream.tell())
    bounds.append(size)
    parts = [Stretch(path, start, end) for start, end in itertools.pairwise(bounds) if start < end]
    return parts or [Stretch(path, 0, size)]


def iterate_hypotheses(
    path: Path, part: Stretch | None = None, notes: ReadingNotes | None = None
) -> Iterator[Hypothesis]:
    """Read per-row results one by one; what is not JSON lines is read whole.

    Args:
        path: the file.
        part: a stretch of it; rows are then numbered from the stretch's first.
        notes: takes what a user should know.

    Raises:
        InputError: no such file, not JSON, no rows, or rows that are not sound; names every row.
    """
    row = 0
    notes = ReadingNotes() if notes is None else notes
    problems: list[ManifestFinding] = []
    with _open(path) as stream:
        for row, record in _records(path, stream, part, notes):
            _unify_categories(record, notes)
            if not is_plain(record):
                problems += check_record(row, record)
            if len(problems) >= _MOST_PROBLEMS:
                break
            if not problems:
                yield _hypothesis(record)
    findings.raise_errors(path, problems)
    if not row and part is None:
        raise InputError(f"{path}: no rows. Fix: run the evaluation again; it wrote nothing.")


def stretch_terms(part: Stretch) -> set[str]:
    """Return the terms that a stretch's rows name, without parsing the rows."""
    quoted_terms: set[bytes] = set()
    with _open(part.path) as stream:
        if find_shape(part.path, stream) is Shape.TABLE:
            return {item.term for row in iterate_hypotheses(part.path) for item in row.flagged}
        stream.seek(part.start)
        place = part.start
        for line in stream:
            if place >= part.end:
                break
            place += len(line)
            quoted_terms.update(_TERM.findall(line))
    return {term for term in map(_unquote, quoted_terms) if term}


def _unquote(text: bytes) -> str:
    try:
        return str(json.loads(text))
    except ValueError:
        return ""  # reading the row will say what is wrong


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError as missing:
        raise InputError(
            f"{path}: there is no evaluation result. Fix: score the cycle with "
            "/digital-health-clinical-asr-eval or `asr-flywheel transcribe`."
        ) from missing
    except OSError as unreadable:
        raise InputError(f"{path}: cannot be read ({unreadable}).") from unreadable


def _records(
    path: Path, stream: BinaryIO, part: Stretch | None, notes: ReadingNotes
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each row's number and its JSON object."""
    if part is None or part.start == 0:
        notes.shape = find_shape(path, stream)
        if notes.shape is not Shape.LINES:
            for row, record in whole_records(path, stream.read(), notes.shape):
                yield row, _object(path, row, record, has_escapes=True)
            return
    else:
        stream.seek(part.start)
    place = stream.tell()
    for row, line in enumerate(stream, start=1):
        if part is not None and place >= part.end:
            return
        place += len(line)
        content = line.removeprefix(BOM) if place == len(line) else line
        if content.strip():
            yield row, _record(path, row, content)


def _record(path: Path, row: int, line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line.decode())
    except UnicodeDecodeError as unreadable:
        raise InputError(
            f"{path}: row {row}: cannot be read as UTF-8 text ({unreadable}). "
            f"Fix: {advise_encoding(line)}."
        ) from unreadable
    except (ValueError, RecursionError) as wrong:
        raise InputError(
            f"{path}: row {row}: not JSON ({wrong}). Fix: {advise_line(line)}."
        ) from wrong
    return _object(path, row, record, has_escapes=b"\\u" in line)


def _object(path: Path, row: int, record: object, *, has_escapes: bool) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise InputError(f"{path}: row {row}: not a JSON object ({str(record)[:80]!r}).")
    try:
        # Only an escape can hide half of a surrogate pair, which cannot be written again.
        if has_escapes:
            json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError as surrogate:
        raise InputError(
            f"{path}: row {row}: holds half of a surrogate pair ({surrogate})."
        ) from surrogate
    return rename_fields(record)


def _unify_categories(record: dict[str, Any], notes: ReadingNotes) -> None:
    """Write a category in another case or in the plural as the vocabulary does, and note it."""
    if isinstance(ref := record.get("ref"), str):
        if find_tags(ref):
            notes.tagged += 1
        if not any(map(str.isalnum, ref)):
            notes.wordless += 1
    holders = [record]
    if TERMS in record:
        read_terms(record)
        if isinstance(items := record.get(TERMS), list):
            holders += [item for item in items if isinstance(item, dict)]
    for holder in holders:
        written = holder.get("entity_category")
        if isinstance(written, str) and written not in CATEGORY_VALUES:
            category = find_spelling("entity_category", written)
            if category is not None:
                holder["entity_category"] = category
                notes.renamed[written, category] += 1


def _hypothesis(record: Mapping[str, Any]) -> Hypothesis:
    return Hypothesis(
        record["audio_filepath"],
        record["ref"],
        record["hyp"],
        **{name: record.get(name) or None for name in CLINICAL_FIELDS},
        part=None if (part := record.get("part")) is None else Partition(part),
        group=group_of(record),
        terms=sound_terms(record[TERMS]) if TERMS in record else (),
        bandwidth=bandwidth_of(record),
        audio_sha256=sha256 if isinstance(sha256 := record.get(AUDIO_SHA256), str) else None,
        model_sha256=intern(model) if isinstance(model := record.get(MODEL_SHA256), str) else None,
    )
