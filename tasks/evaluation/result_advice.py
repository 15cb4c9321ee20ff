"""The fix for a file or a value that is no evaluation result: made from what is there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_GZIP = b"\x1f\x8b"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_LINES_OF_PANDAS = 'write it by df.to_json(FILE, orient="records", lines=True)'
# Other tools' names of the fields; those that cannot be told apart are not here.
_OTHER_NAMES = {
    "audio_filepath": ("audio", "audio_path", "path", "file", "filename", "wav", "audio_file"),
    "ref": ("sentence", "target", "label", "ground_truth", "gt", "reference_text"),
    "hyp": ("predicted", "pred", "output", "transcription", "hypothesis_text", "asr"),
}
_OTHER_PARTS = {
    "test": "held-out", "eval": "held-out", "train": "trained", "training": "trained",
    "dev": "chose", "selection": "chose",
}  # fmt: skip
_PARTS = ("held-out", "chose", "chose-nothing", "trained")


def advise_encoding(data: bytes) -> str:
    """Return the fix for a file that is not text in UTF-8, by its first bytes."""
    if data.startswith(_GZIP):
        return "it is compressed: gunzip -c FILE > per_sample.json"
    if data.startswith(_UTF_16):
        return "it is UTF-16: iconv -f UTF-16 -t UTF-8 FILE > per_sample.json"
    return "save it as UTF-8; where it is Latin-1: iconv -f LATIN1 -t UTF-8 FILE > per_sample.json"


def advise_line(line: bytes) -> str:
    """Return the fix for a line that is no JSON."""
    if line.lstrip()[:1] == b"{":
        return (
            "write one JSON object a line, with nothing behind it; where an object stands on "
            "several lines, or several on one: jq -c . FILE > per_sample.json"
        )
    return (
        "write one JSON object a line, with audio_filepath, ref and hyp, or a table whose first "
        "line names these columns, in small letters"
    )


def advise_rows(record: Mapping[str, Any]) -> str | None:
    """Return the fix for an object that holds the rows in a way of its own; None for a row."""
    values = list(record.values())
    if not values or ("audio_filepath" in record and isinstance(record["audio_filepath"], str)):
        return None
    if isinstance(record.get("data"), list) and isinstance(record.get("columns"), list):
        return _LINES_OF_PANDAS
    if all(isinstance(value, dict) for value in values):
        if "audio_filepath" in values[0]:
            return "jq -c '.[]' FILE > per_sample.json"
        return "jq -c 'to_entries[] | {audio_filepath: .key} + .value' FILE > per_sample.json"
    if isinstance(record.get("audio_filepath"), list | dict):
        return _LINES_OF_PANDAS
    return None


def advise_text(name: str, value: object, record: Mapping[str, Any]) -> str:
    """Return the fix for a field that must be text.

    Args:
        name: audio_filepath, ref or hyp.
        value: what it holds; None also where it is not there.
        record: its row.
    """
    others = [other for other in _OTHER_NAMES[name] if isinstance(record.get(other), str)]
    if name not in record and others:
        return f'rename "{others[0]}" to "{name}"'
    if isinstance(value, list) and value and isinstance(value[0], str):
        return f"write one of them as text, such as the first: {json.dumps(value[0])}"
    if isinstance(value, dict) and isinstance(value.get("text"), str):
        return f"write its text alone: {json.dumps(value['text'])}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f'write it as "{value}"'
    if name == "hyp":
        return 'write hyp in every row; where nothing was recognised, ""'
    return f"write {name} in every row"


def advise_part(value: object) -> str:
    """Return the fix for what a row was to the model, where it is none of the three words."""
    word = str(value).strip().lower().replace("_", "-").replace(" ", "-")
    meant = {part.replace("-", ""): part for part in _PARTS}.get(word.replace("-", ""))
    if meant is not None:
        return f'write "{meant}"'
    if (meant := _OTHER_PARTS.get(word)) is not None:
        return f'write "{meant}" if the row was that to the model, else null'
    return f"write one of {', '.join(_PARTS)}, or null where it is not known"
