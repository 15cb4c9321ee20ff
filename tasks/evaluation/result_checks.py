"""Whether a record is a sound row of an evaluation result, and stands there once; else the fix.

Where the manifest has the same field, its rules hold.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from tasks.data import canonical_terms, findings
from tasks.data.field_advice import advise_term, advise_value
from tasks.data.row_schema import CLINICAL_FIELDS
from tasks.data.row_terms import TERMS, write_terms, written_terms
from tasks.data.term_checks import advise_terms, check_terms, merge_terms, several_terms
from tasks.data.text_normalizer import contains_words, normalise, normalise_term
from tasks.data.vocabularies import CATEGORIES, advise
from tasks.evaluation.hypotheses import Partition
from tasks.evaluation.result_advice import advise_part, advise_rows, advise_text
from tasks.evaluation.row_matching import first_duplicates

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tasks.data.findings import ManifestFinding
    from tasks.evaluation.hypotheses import Hypothesis

_REQUIRED = ("audio_filepath", "ref", "hyp")
CATEGORY_VALUES = frozenset((*CATEGORIES, ""))
_PARTS = frozenset((None, *(part.value for part in Partition)))
_NAMED_PARTS = ", ".join(repr(part.value) for part in Partition)


def is_plain(record: Mapping[str, Any]) -> bool:
    """Return whether a record is sound at a glance, as all but a few are.

    Of one that is not, ``check_record`` tells.
    """
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
        and (category is None or category in CATEGORY_VALUES)
        and get("part") in _PARTS
    )


def check_record(row: int, record: Mapping[str, Any]) -> Iterator[ManifestFinding]:
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
        told = f"part must be {_NAMED_PARTS} or null, not {part!r}"
        yield _problem("bad-part", row, told, advise_part(part))


def _check_terms(row: int, record: Mapping[str, Any]) -> Iterator[ManifestFinding]:
    """Yield what is wrong with a record's terms and their categories."""
    for problem in check_terms(record, record.get("ref")):
        yield _problem(problem.code, row, f"{problem.told} ({problem.value!r})", problem.fix)
    category, ref = record.get("entity_category"), record.get("ref")
    if isinstance(category, str) and category not in CATEGORY_VALUES:
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


def _problem(code: str, row: int, told: str, fix: str) -> ManifestFinding:
    return findings.error(code, row, "", told, fix)


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
