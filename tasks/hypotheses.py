"""Per-row evaluation results, per_sample.json and offline_hyps.jsonl (contracts).

Both have the same fields, so that either can be scored. The eval stage writes the first from a
hosted or self-hosted endpoint; this tool writes the second.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tasks import files
from tasks.errors import InputError
from tasks.manifest import CLINICAL_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tasks.manifest import Utterance

OFFLINE_NAME = "offline_hyps.jsonl"
IMPORTED_NAME = "per_sample.json"


class Part(StrEnum):
    """Whether the tuned model was trained on a row. Figures on trained rows are always labelled."""

    HELD_OUT = "held-out"
    TRAINED = "trained"


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One row of an evaluation: what was said (``ref``) and what was recognised (``hyp``)."""

    audio_filepath: str
    ref: str
    hyp: str
    term: str | None = None
    entity_category: str | None = None
    ipa_source: str | None = None
    voice_id: str | None = None
    noise_level: str | None = None
    context_type: str | None = None
    part: Part | None = None

    def as_dict(self) -> dict[str, Any]:
        """The row as the file holds it; every field is written, None as null."""
        return {
            "audio_filepath": self.audio_filepath,
            "ref": self.ref,
            "hyp": self.hyp,
            **{name: getattr(self, name) for name in CLINICAL_FIELDS},
            "part": None if self.part is None else self.part.value,
        }


def hypothesis_for(utterance: Utterance, hyp: str, part: Part | None = None) -> Hypothesis:
    """The evaluation row of an utterance that was recognised as ``hyp``."""
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
    files.write_jsonl(path, (row.as_dict() for row in rows))


def read_hypotheses(path: Path) -> tuple[Hypothesis, ...]:
    """Read per-row results: JSONL, or one JSON array.

    Raises:
        InputError: no such file, not JSON, no rows, or a row without ref or hyp; names the row.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as missing:
        raise InputError(
            f"{path}: there is no evaluation result. Fix: score the cycle with "
            "/digital-health-clinical-asr-eval or `asr-flywheel transcribe`."
        ) from missing
    except (OSError, UnicodeDecodeError) as unreadable:
        raise InputError(f"{path}: cannot be read as UTF-8 text ({unreadable}).") from unreadable
    rows = tuple(_hypothesis(path, row, record) for row, record in _records(path, text))
    if not rows:
        raise InputError(f"{path}: no rows. Fix: run the evaluation again; it wrote nothing.")
    return rows


def _records(path: Path, text: str) -> Iterable[tuple[int, object]]:
    if text.lstrip().startswith("["):
        try:
            yield from enumerate(json.loads(text), start=1)
        except (ValueError, RecursionError) as wrong:
            raise InputError(f"{path}: not a JSON array ({wrong}).") from wrong
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as wrong:
            raise InputError(f"{path}: row {number}: not JSON ({wrong}).") from wrong


def _hypothesis(path: Path, row: int, record: object) -> Hypothesis:
    if not isinstance(record, dict):
        raise InputError(f"{path}: row {row}: not a JSON object ({str(record)[:80]!r}).")
    try:
        json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError as half:
        raise InputError(f"{path}: row {row}: holds half of a surrogate pair ({half}).") from half
    for name in ("audio_filepath", "ref", "hyp"):
        if not isinstance(record.get(name), str):
            raise InputError(
                f"{path}: row {row}: {name} must be text, not {record.get(name)!r}. "
                'Fix: write audio_filepath, ref and hyp in every row; an empty hypothesis is "".'
            )
    return Hypothesis(
        audio_filepath=record["audio_filepath"],
        ref=record["ref"],
        hyp=record["hyp"],
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


def _part(path: Path, row: int, value: object) -> Part | None:
    if value is None:
        return None
    try:
        return Part(str(value))
    except ValueError as wrong:
        raise InputError(
            f"{path}: row {row}: part must be 'held-out', 'trained' or null, not {value!r}."
        ) from wrong
