"""Per-row evaluation results, per_sample.json and offline_hyps.jsonl (contracts).

Both have the same fields, so that either can be scored. The eval stage writes the first from a
hosted or self-hosted endpoint; this tool writes the second.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, BinaryIO

from tasks.common import atomic_files
from tasks.common.errors import InputError
from tasks.data import canonical_terms, findings
from tasks.data.field_advice import advise_term, advise_value
from tasks.data.manifest import BANDWIDTH, GROUP, bandwidth_of, group_of
from tasks.data.row_schema import CLINICAL_FIELDS
from tasks.data.row_terms import (
    TERMS,
    RowTerm,
    categories_of,
    flagged_terms,
    sound_terms,
    write_terms,
    written_terms,
)
from tasks.data.term_checks import (
    advise_terms,
    check_terms,
    merge_terms,
    read_terms,
    several_terms,
)
from tasks.data.text_normalizer import contains_words, normalise, normalise_term
from tasks.data.transcript_tags import find_tags
from tasks.data.vocabularies import CATEGORIES, advise, find_spelling
from tasks.evaluation.result_advice import (
    advise_encoding,
    advise_line,
    advise_part,
    advise_rows,
    advise_text,
)
from tasks.evaluation.result_shapes import BOM, Shape, find_shape, rename_fields, whole_records
from tasks.evaluation.row_matching import first_duplicates

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tasks.data.findings import ManifestFinding
    from tasks.data.manifest import Utterance

_REQUIRED = ("audio_filepath", "ref", "hyp")
_MOST_PROBLEMS = 1000
# A quotation mark inside a text is escaped, so that this finds the field and no text.
_TERM = re.compile(rb'"term"\s*:\s*("(?:[^"\\]|\\.)*")')


class Partition(StrEnum):
    """What a row was to the tuned model. Figures on rows that do not judge are always labelled."""

    HELD_OUT = "held-out"
    CHOSE = "chose"
    TRAINED = "trained"


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One row of an evaluation: reference (``ref``) and hypothesis (``hyp``)."""

    audio_filepath: str
    ref: str
    hyp: str
    term: str | None = None
    entity_category: str | None = None
    ipa_source: str | None = None
    voice_id: str | None = None
    noise_level: str | None = None
    context_type: str | None = None
    part: Partition | None = None
    group: str | None = None
    terms: tuple[RowTerm, ...] = ()
    bandwidth: str | None = None

    @property
    def flagged(self) -> tuple[RowTerm, ...]:
        """All clinical terms of the row: its list, or its single term."""
        return flagged_terms(self.terms, self.term, self.entity_category)

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories that the row counts for, each once."""
        return categories_of(self.terms, self.entity_category)

    @property
    def first_term(self) -> str | None:
        """The term whose block the row belongs to where rows are drawn: its first."""
        return self.terms[0].term if self.terms else self.term

    @property
    def judges(self) -> bool:
        """Whether the row may judge the model: it was not trained on, and chose nothing.

        True where it is not known what the row was.
        """
        return self.part in {Partition.HELD_OUT, None}

    def as_dict(self) -> dict[str, Any]:
        """Return the row as the file holds it: every field, None as null.

        ``group``, ``terms`` and ``bandwidth``, which no contract has, are there only where the row
        has them.
        """
        return {
            "audio_filepath": self.audio_filepath,
            "ref": self.ref,
            "hyp": self.hyp,
            **{name: getattr(self, name) for name in CLINICAL_FIELDS},
            **({TERMS: [item.as_dict() for item in self.terms]} if self.terms else {}),
            "part": None if self.part is None else self.part.value,
            **({} if self.group is None else {GROUP: self.group}),
            **({} if self.bandwidth is None else {BANDWIDTH: self.bandwidth}),
        }


def hypothesis_for(utterance: Utterance, hyp: str, part: Partition | None = None) -> Hypothesis:
    """Return the evaluation row of an utterance that was recognised as ``hyp``."""
    return Hypothesis(
        audio_filepath=utterance.audio_filepath,
        ref=utterance.text,
        hyp=hyp,
        term=utterance.term,
        entity_category=utterance.entity_category,
        ipa_source=utterance.ipa_source,
        voice_id=utterance.voice_id,
        noise_level=utterance.noise_level,
        context_type=utterance.context_type,
        part=part,
        group=utterance.group,
        terms=utterance.terms,
        bandwidth=utterance.bandwidth,
    )


def write_hypotheses(path: Path, rows: Iterable[Hypothesis]) -> None:
    """Write per-row results as JSONL, atomically."""
    atomic_files.write_jsonl(path, (row.as_dict() for row in rows))


@dataclass
class ReadingNotes:
    """What was brought together while rows were read; a user is told.

    Attributes:
        shape: how the file holds its rows.
        renamed: categories in another case or in the plural, with their word in the vocabulary.
        tagged: rows whose reference holds a tag such as [noise].
    """

    shape: Shape = Shape.LINES
    renamed: Counter[tuple[str, str]] = field(default_factory=Counter)
    tagged: int = 0

    def merge(self, other: ReadingNotes) -> None:
        """Add the notes of another stretch."""
        self.renamed.update(other.renamed)
        self.tagged += other.tagged

    def lines(self) -> tuple[str, ...]:
        """Return a sentence for each thing that a user should know."""
        shapes = (Shape.WRAPPER, Shape.TABLE)
        told = (
            f"{self.tagged} references hold tags that nobody said, such as [noise]; they count as "
            "words. `asr-flywheel tags` makes a manifest without them."
        )
        tagged = [told] if self.tagged else []
        read_as = [f"The file was read as {self.shape}."] if self.shape in shapes else []
        return (
            *read_as,
            *tagged,
            *(
                f"The category {written!r} of {rows} rows was read as {category!r}."
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


def refuse_duplicates(path: Path, rows: Iterable[Hypothesis]) -> None:
    """Refuse an evaluation in which a row stands twice: it would count twice.

    Raises:
        InputError: names both places of every such row.
    """
    listed = list(rows)
    duplicates = list(first_duplicates((row.audio_filepath, row.ref) for row in listed))
    same_recording: defaultdict[int, list[Hypothesis]] = defaultdict(list)
    for first, row, _ in duplicates:
        same_recording[first] += [listed[row - 1]]
    problems = [
        findings.error(
            "duplicate-row",
            row,
            audio,
            f"stands already as row {first}, with the same reference; every figure would count it "
            "twice",
            _advise_duplicate([listed[first - 1], *same_recording[first]])
            or "keep one of the two; where an evaluation was resumed into the same file, the later",
        )
        for first, row, audio in duplicates
    ]
    findings.raise_errors(path, problems)


def _advise_duplicate(rows: Sequence[Hypothesis]) -> str | None:
    """Return how rows of one recording and several terms become one row; None for other rows."""
    terms = merge_terms([row.flagged for row in rows])
    if len({row.hyp for row in rows}) > 1 or len(terms) <= len(rows[0].flagged):
        return None
    return (
        "keep one of them alone; in the place of its term and entity_category, write "
        f"{write_terms(terms)}"
    )


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a file of JSON lines, from one line's first byte to another's last."""

    path: Path
    start: int
    end: int


def stretches(path: Path, count: int) -> list[Stretch]:
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
            _bring_together(record, notes)
            if not _is_plain(record):
                problems += _check(row, record)
            if len(problems) >= _MOST_PROBLEMS:
                break
            if not problems:
                yield _hypothesis(record)
    findings.raise_errors(path, problems)
    if not row and part is None:
        raise InputError(f"{path}: no rows. Fix: run the evaluation again; it wrote nothing.")


def terms(part: Stretch) -> set[str]:
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


def _is_plain(record: Mapping[str, Any]) -> bool:
    """Return whether a record is sound at a glance, as all but a few are; else ``_check`` tells."""
    get = record.get
    for name in _REQUIRED:
        if type(get(name)) is not str:
            return False
    for name in CLINICAL_FIELDS:
        value = get(name)
        if value is not None and type(value) is not str:
            return False
    category, term = get("entity_category"), get("term")
    # What stands in a text as it is written also stands there once both are normalised.
    is_said = not term or f" {term} " in f" {record['ref']} "
    is_single = TERMS not in record
    return (
        is_said
        and is_single
        and (category is None or category in _CATEGORIES)
        and get("part") in _PARTS
    )


def _check(row: int, record: Mapping[str, Any]) -> Iterator[ManifestFinding]:
    """Yield what is wrong with a record, by the manifest's rules where both have the field."""
    if isinstance(record.get("ref"), str) and "hyp" not in record and "pred_text" not in record:
        fix = (
            "write hyp in every row; where the file is a manifest, decode it first: asr-flywheel "
            "transcribe CYCLE --model MODEL"
        )
        yield _problem("bad-hyp", row, "hyp must be text, not None", fix)
    elif (fix_of_rows := advise_rows(record)) is not None:
        yield _problem("rows-in-an-object", row, "the object is no row but holds rows", fix_of_rows)
    else:
        for name in _REQUIRED:
            if not isinstance(value := record.get(name), str):
                told = f"{name} must be text, not {value!r}"
                yield _problem(f"bad-{name}", row, told, advise_text(name, value, record))
    for name in CLINICAL_FIELDS:
        value = record.get(name)
        if value is not None and not isinstance(value, str):
            told = f"{name} must be text or null, not {value!r}"
            fix = advise_value(name, value)
            if name in {"term", "entity_category"} and isinstance(record.get("term"), list):
                fix = advise_terms(record, record["term"], record.get("ref"))
            yield _problem(f"bad-{name}", row, told, fix)
    yield from _check_terms(row, record)
    if (part := record.get("part")) not in _PARTS:
        told = f"part must be 'held-out', 'chose', 'trained' or null, not {part!r}"
        yield _problem("bad-part", row, told, advise_part(part))


def _check_terms(row: int, record: Mapping[str, Any]) -> Iterator[ManifestFinding]:
    """Yield what is wrong with a record's terms and their categories."""
    for problem in check_terms(record, record.get("ref")):
        yield _problem(problem.code, row, f"{problem.told} ({problem.value!r})", problem.fix)
    category, ref = record.get("entity_category"), record.get("ref")
    if isinstance(category, str) and category not in _CATEGORIES:
        told = f"entity_category is not in the fixed vocabulary ({category!r})"
        yield _problem("unknown-entity_category", row, told, advise("entity_category", category))
    if not isinstance(ref, str):
        return  # reported as a missing reference
    for term in written_terms(record):
        words = normalise_term(term)
        if words and not contains_words(normalise(ref), words):
            told = f"the term does not stand in ref, so that its KER could never be 0 ({term!r})"
            found = canonical_terms.contains_term(ref, term)
            spelling = canonical_terms.find_spelling(ref, term) if found else None
            fix = (
                f"write the term as the reference does: {spelling!r}"
                if spelling
                else several_terms(record, term, ref) or advise_term(term, listed=TERMS in record)
            )
            yield _problem("term-not-in-ref", row, told, fix)


def _bring_together(record: dict[str, Any], notes: ReadingNotes) -> None:
    """Write a category in another case or in the plural as the vocabulary does, and note it."""
    if isinstance(ref := record.get("ref"), str) and find_tags(ref):
        notes.tagged += 1
    holders = [record]
    if TERMS in record:
        read_terms(record)
        if isinstance(items := record.get(TERMS), list):
            holders += [item for item in items if isinstance(item, dict)]
    for holder in holders:
        written = holder.get("entity_category")
        if isinstance(written, str) and written not in _CATEGORIES:
            category = find_spelling("entity_category", written)
            if category is not None:
                holder["entity_category"] = category
                notes.renamed[written, category] += 1


def _problem(code: str, row: int, told: str, fix: str) -> ManifestFinding:
    return findings.error(code, row, "", told, fix)


_CATEGORIES = frozenset((*CATEGORIES, ""))
_PARTS = frozenset((None, *(part.value for part in Partition)))


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
    )
