"""The schema of one manifest row: which fields it has, and what may stand in them."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from tasks.data import findings
from tasks.data.canonical_terms import contains_term, find_spelling
from tasks.data.field_advice import advise_duration, advise_term, advise_value
from tasks.data.row_parts import OFFSET, part_finding, starts_later
from tasks.data.row_terms import TERMS, written_terms
from tasks.data.term_checks import advise_terms, check_terms, several_terms
from tasks.data.text_normalizer import contains_words, normalise
from tasks.data.vocabularies import VOCABULARIES, advise

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tasks.data.findings import ManifestFinding

CLINICAL_FIELDS = (
    "term",
    "entity_category",
    "ipa_source",
    "voice_id",
    "noise_level",
    "context_type",
)
KNOWN_FIELDS = frozenset(("audio_filepath", "text", "duration", *CLINICAL_FIELDS, TERMS))
_SINGLE = frozenset(("term", "entity_category"))


def check_record(number: int, record: Mapping[str, Any]) -> Iterable[ManifestFinding]:
    """Yield the findings on one row, in a manifest or before it is in one."""
    yield from _check_required_text(number, record, "audio_filepath", "name the row's audio file")
    yield from _check_required_text(number, record, "text", "give the reference transcript")
    yield from check_duration(number, record.get("duration"))
    for name in CLINICAL_FIELDS:
        value = record.get(name)
        if value is None:
            continue
        if not isinstance(value, str):
            fix = advise_value(name, value)
            if name in _SINGLE and isinstance(record.get("term"), list):
                fix = advise_terms(record, record["term"], record.get("text"))
            yield findings.error(f"bad-{name}", number, value, f"{name} must be text", fix)
        elif name in VOCABULARIES and value not in VOCABULARIES[name]:
            yield _unknown_word(number, name, value)
    for problem in check_terms(record, record.get("text")):
        yield findings.error(problem.code, number, problem.value, problem.told, problem.fix)
    for term in written_terms(record):
        yield from _check_term(number, record, term)
    yield from _check_offset(number, record.get(OFFSET))
    yield from _check_extra(number, record)


def _check_offset(number: int, value: object) -> Iterable[ManifestFinding]:
    """Refuse a row that begins later: NeMo would cut the recording there.

    An offset of 0 is refused once the recording's length is known (tasks/data/audio_checks.py).
    """
    if starts_later(value):
        yield part_finding(number, value)


def _check_extra(number: int, record: Mapping[str, Any]) -> Iterable[ManifestFinding]:
    for name, value in record.items():
        try:
            json.dumps(value if name not in KNOWN_FIELDS else None, allow_nan=False)
        except ValueError:
            yield findings.error(
                "bad-number",
                number,
                value,
                f"{name} holds a number that JSON does not have",
                "write null instead of NaN or Infinity",
            )


def _check_required_text(
    number: int, record: Mapping[str, Any], name: str, fix: str
) -> Iterable[ManifestFinding]:
    if name not in record:
        yield findings.error(f"no-{name}", number, "", f"{name} is missing", fix)
    elif not isinstance(record[name], str):
        yield findings.error(f"bad-{name}", number, record[name], f"{name} must be text", fix)
    elif not record[name].strip():
        yield findings.error(f"empty-{name}", number, "", f"{name} is empty", fix)
    elif "\0" in record[name]:
        yield findings.error(f"bad-{name}", number, record[name], f"{name} holds a NUL", fix)


def check_duration(number: int, value: object) -> Iterable[ManifestFinding]:
    """Yield a finding on a duration that is no positive number of seconds."""
    if value is None:
        return
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(float(str(value))) or float(str(value)) <= 0:
        yield findings.error(
            "bad-duration",
            number,
            value,
            "duration must be a positive number of seconds",
            advise_duration(value),
        )


def _unknown_word(number: int, name: str, value: str) -> ManifestFinding:
    return findings.error(
        f"unknown-{name}",
        number,
        value,
        f"{name} is not in the fixed vocabulary",
        advise(name, value),
    )


def _check_term(number: int, record: Mapping[str, Any], term: str) -> Iterable[ManifestFinding]:
    text = record.get("text")
    if not isinstance(text, str) or not text.strip():
        return  # reported as a missing or empty text
    words = normalise(term).split()
    if not words:
        yield findings.error(
            "unscorable-term",
            number,
            term,
            "nothing is left of the term once it is normalised",
            "give a term with letters or digits, or remove it",
        )
    elif contains_words(normalise(text), " ".join(words)):
        return
    elif contains_term(text, term):
        spelling = find_spelling(text, term)
        yield findings.error(
            "term-spelled-otherwise",
            number,
            term,
            "the text spells the term otherwise, so that its KER could never be 0",
            f"write the term as the text does: {spelling!r}"
            if spelling
            else "write the term in the text as a word of its own",
        )
    else:
        yield findings.error(
            "term-not-in-text",
            number,
            term,
            "the term does not stand in the row's text, so that its KER could never be 0",
            several_terms(record, term, text) or advise_term(term, listed=TERMS in record),
        )
