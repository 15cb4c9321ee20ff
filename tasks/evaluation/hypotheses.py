"""Per-row evaluation results, per_sample.json and offline_hyps.jsonl (contracts).

Both have the same fields, so that either can be scored. The eval stage writes the first from a
hosted or self-hosted endpoint; this tool writes the second.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, BinaryIO

from tasks.common import atomic_files
from tasks.common.errors import InputError
from tasks.data.manifest import CLINICAL_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from tasks.data.manifest import Utterance

_REQUIRED = ("audio_filepath", "ref", "hyp")
_BOM = b"\xef\xbb\xbf"
_HEAD_BYTES = 4096
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

    @property
    def judges(self) -> bool:
        """Whether the row may judge the model: it was not trained on, and chose nothing.

        True where it is not known what the row was.
        """
        return self.part in {Partition.HELD_OUT, None}

    def as_dict(self) -> dict[str, Any]:
        """Return the row as the file holds it: every field, None as null."""
        return {
            "audio_filepath": self.audio_filepath,
            "ref": self.ref,
            "hyp": self.hyp,
            **{name: getattr(self, name) for name in CLINICAL_FIELDS},
            "part": None if self.part is None else self.part.value,
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
    )


def write_hypotheses(path: Path, rows: Iterable[Hypothesis]) -> None:
    """Write per-row results as JSONL, atomically."""
    atomic_files.write_jsonl(path, (row.as_dict() for row in rows))


def read_hypotheses(path: Path) -> tuple[Hypothesis, ...]:
    """Read per-row results: JSONL, or one JSON array.

    Raises:
        InputError: no such file, not JSON, no rows, or a row without ref or hyp; names the row.
    """
    return tuple(iterate_hypotheses(path))


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a file of JSON lines, from one line's first byte to another's last."""

    path: Path
    start: int
    end: int


def stretches(path: Path, count: int) -> list[Stretch]:
    """Cut a file of JSON lines into about equal stretches; a JSON array cannot be cut.

    Raises:
        InputError: there is no such file.
    """
    with _open(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if stream.read(_HEAD_BYTES).removeprefix(_BOM).lstrip().startswith(b"["):
            count = 1
        bounds = [0]
        for number in range(1, count):
            stream.seek(max(bounds[-1], size * number // count))
            stream.readline()
            bounds.append(stream.tell())
    bounds.append(size)
    parts = [Stretch(path, start, end) for start, end in itertools.pairwise(bounds) if start < end]
    return parts or [Stretch(path, 0, size)]


def iterate_hypotheses(path: Path, part: Stretch | None = None) -> Iterator[Hypothesis]:
    """Read per-row results one by one: JSONL, or one JSON array, which is read whole.

    Args:
        path: the file.
        part: a stretch of it; rows are then numbered from the stretch's first.

    Raises:
        InputError: no such file, not JSON, no rows, or a row without ref or hyp; names the row.
    """
    row = 0
    with _open(path) as stream:
        for row, record in _records(path, stream, part):
            yield _hypothesis(path, row, record)
    if not row and part is None:
        raise InputError(f"{path}: no rows. Fix: run the evaluation again; it wrote nothing.")


def terms(part: Stretch) -> set[str]:
    """Return the terms that a stretch's rows name, without parsing the rows."""
    quoted_terms: set[bytes] = set()
    with _open(part.path) as stream:
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
    path: Path, stream: BinaryIO, part: Stretch | None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each row's number and its JSON object."""
    if part is None or part.start == 0:
        if stream.read(_HEAD_BYTES).removeprefix(_BOM).lstrip().startswith(b"["):
            stream.seek(0)
            yield from _array(path, stream.read())
            return
        stream.seek(0)
    else:
        stream.seek(part.start)
    place = stream.tell()
    for row, line in enumerate(stream, start=1):
        if part is not None and place >= part.end:
            return
        place += len(line)
        content = line.removeprefix(_BOM) if place == len(line) else line
        if content.strip():
            yield row, _record(path, row, content)


def _array(path: Path, data: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        rows = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as unreadable:
        raise InputError(f"{path}: cannot be read as UTF-8 text ({unreadable}).") from unreadable
    except (ValueError, RecursionError) as wrong:
        raise InputError(f"{path}: not a JSON array ({wrong}).") from wrong
    for row, record in enumerate(rows, start=1):
        yield row, _object(path, row, record, has_escapes=True)


def _record(path: Path, row: int, line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line.decode())
    except UnicodeDecodeError as unreadable:
        raise InputError(
            f"{path}: row {row}: cannot be read as UTF-8 text ({unreadable})."
        ) from unreadable
    except (ValueError, RecursionError) as wrong:
        raise InputError(f"{path}: row {row}: not JSON ({wrong}).") from wrong
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
    return record


def _hypothesis(path: Path, row: int, record: Mapping[str, Any]) -> Hypothesis:
    for name in _REQUIRED:
        if not isinstance(record.get(name), str):
            raise InputError(
                f"{path}: row {row}: {name} must be text, not {record.get(name)!r}. "
                'Fix: write audio_filepath, ref and hyp in every row; an empty hypothesis is "".'
            )
    return Hypothesis(
        record["audio_filepath"],
        record["ref"],
        record["hyp"],
        **{name: _optional_text(path, row, record, name) for name in CLINICAL_FIELDS},
        part=_part(path, row, record.get("part")),
    )


def _optional_text(path: Path, row: int, record: Mapping[str, Any], name: str) -> str | None:
    value = record.get(name)
    if value is None or isinstance(value, str):
        return value or None
    raise InputError(
        f"{path}: row {row}: {name} must be text or null, not {value!r}. "
        f'Fix: write it as "{value}".'
    )


def _part(path: Path, row: int, value: object) -> Partition | None:
    if value is None:
        return None
    try:
        return Partition(str(value))
    except ValueError as wrong:
        raise InputError(
            f"{path}: row {row}: part must be 'held-out', 'chose', 'trained' or null, "
            f"not {value!r}."
        ) from wrong
