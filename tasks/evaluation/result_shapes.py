"""The shapes of files that hold per-row results, and the records in them.

The contract's own are JSON lines and one JSON array. Other tools wrap the rows in an object, write
NeMo's prediction manifest (``text`` and ``pred_text``), or a table with a header.
"""

from __future__ import annotations

import csv
import io
import json
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tasks.common.errors import InputError
from tasks.evaluation.result_advice import advise_encoding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path
    from typing import BinaryIO

BOM = b"\xef\xbb\xbf"
_HEAD_BYTES = 65536
# Another tool's names of the fields; the first that a row has counts.
_NAMES = {
    "ref": ("ref", "text", "reference"),
    "hyp": ("hyp", "pred_text", "prediction", "hypothesis"),
}
_TABLE_MARKS = (b",", b"\t", b";")


class Shape(StrEnum):
    """How a file holds its rows."""

    LINES = "JSON lines"
    ARRAY = "a JSON array"
    WRAPPER = "an object that wraps the rows"
    TABLE = "a table with a header (CSV)"


def find_shape(path: Path, stream: BinaryIO) -> Shape:
    """Return the shape of an open file, by its beginning; the stream is back at its start."""
    head = stream.read(_HEAD_BYTES)
    stream.seek(0)
    start = head.removeprefix(BOM).lstrip()
    first_line = start.split(b"\n", 1)[0]
    if start.startswith(b"["):
        return Shape.ARRAY
    if start.startswith(b"{"):
        return Shape.WRAPPER if _is_wrapper(stream, first_line) else Shape.LINES
    if b"audio_filepath" in first_line and any(mark in first_line for mark in _TABLE_MARKS):
        return Shape.TABLE
    if first_line[:1] == b"<":
        raise InputError(
            f"{path}: holds a page of HTML or XML, not a result. Fix: a server or a share answered "
            "in the place of the file; fetch per_sample.json again."
        )
    return Shape.LINES


def _is_wrapper(stream: BinaryIO, first_line: bytes) -> bool:
    """Return whether an object holds the rows; the stream is back at its start."""
    try:
        record = json.loads(first_line)
    except ValueError:
        try:
            record = json.loads(stream.read().decode("utf-8-sig"))
        except (ValueError, RecursionError):
            return False
        finally:
            stream.seek(0)
    return isinstance(record, dict) and "audio_filepath" not in record and bool(_wrapped(record))


def _wrapped(record: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the lists of rows in an object, by their names."""
    return {
        name: value
        for name, value in record.items()
        if isinstance(value, list)
        and value
        and all(isinstance(row, dict) and "audio_filepath" in row for row in value)
    }


def whole_records(path: Path, data: bytes, shape: Shape) -> Iterator[tuple[int, Any]]:
    """Yield each row's number and record of a file that is read whole.

    Raises:
        InputError: it is not what its beginning promises, or holds two lists of rows.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as unreadable:
        raise InputError(
            f"{path}: cannot be read as UTF-8 text ({unreadable}). Fix: {advise_encoding(data)}."
        ) from unreadable
    if shape is Shape.TABLE:
        yield from _table(path, text)
        return
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as wrong:
        raise InputError(
            f"{path}: not a JSON array ({wrong}). Fix: correct the JSON at that place, or write "
            "one JSON object a line."
        ) from wrong
    if shape is Shape.WRAPPER:
        lists = _wrapped(content)
        if len(lists) > 1:
            names = ", ".join(lists)
            raise InputError(
                f"{path}: holds {len(lists)} lists of rows ({names}), and it cannot be known which "
                f"is the evaluation. Fix: keep one: jq .{next(iter(lists))} FILE > per_sample.json"
            )
        content = next(iter(lists.values()))
    yield from enumerate(content, start=1)


def _table(path: Path, text: str) -> Iterable[tuple[int, Any]]:
    """Yield the rows of a table; an empty cell is an empty text."""
    lines = io.StringIO(text, newline="")
    header = text.split("\n", 1)[0]
    delimiter = max(",\t;", key=header.count)
    reader = csv.DictReader(lines, delimiter=delimiter)
    for row, record in enumerate(reader, start=1):
        if None in record or None in record.values():
            raise InputError(
                f"{path}: row {row}: has not as many cells as the header ({header.strip()!r}). "
                f"Fix: put quotation marks around texts that hold {delimiter!r} or a line's end."
            )
        yield row, record


def rename_fields(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record with the contract's names of reference and hypothesis."""
    if "ref" in record and "hyp" in record:
        return record
    renamed = dict(record)
    for name, others in _NAMES.items():
        found = next((other for other in others if other in renamed), None)
        if found is not None and found != name:
            renamed[name] = renamed.pop(found)
    return renamed
