"""Write a cycle whose rows have the terms of a formulary; the source is never changed.

Rows with a term are the manifest. Those without are general speech, a manifest beside it.
"""

from __future__ import annotations

import csv
import io
import shutil
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files, hashing
from tasks.common.counted import counted
from tasks.common.errors import InputError
from tasks.common.schemas import Schema
from tasks.data.brought_recordings import BroughtRecordings, describe_outside
from tasks.data.canonical import canonical
from tasks.data.cycle_folder import LABELLED_NAME, require_cycle_name
from tasks.data.general_english import FEWEST_SENTENCES
from tasks.data.labelling.term_matcher import TermMatcher
from tasks.data.manifest import read_manifest, write_manifest
from tasks.data.new_cycle import new_cycle, refuse_content
from tasks.data.row_reviews import review_files
from tasks.data.row_terms import RowTerm
from tasks.data.term_checks import merge_terms

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tasks.data.cycle_folder import Cycle
    from tasks.data.labelling.formulary import Formulary, FormularyTerm
    from tasks.data.labelling.term_matcher import TextMatches
    from tasks.data.manifest import Utterance

GENERAL, MISSING, ABOUT = "general.jsonl", "terms_without_rows.csv", "label.json"
DEFAULT_FOLDER = LABELLED_NAME
# What describes the recordings holds for their copies as well.
_TAKEN_ALONG = ("provenance.jsonl", "import.json", "import_left_out.jsonl", "formulary.txt")
_SHOWN = 20
_ROWS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class LabelSummary:
    """What became of a cycle's rows and of a formulary's terms.

    Attributes:
        out: the new cycle's folder.
        rows: with a term.
        general: rows without one.
        several: rows with more than one.
        terms: of the formulary.
        missing: terms of the formulary that no row has.
        categories: terms in rows by category.
        kept: terms that rows had before and that stay.
        ambiguous: lines about terms in two categories.
        repeated: lines of the formulary whose term stood before.
        ordinary: by abbreviation, rows in which it is an English word in small letters.
        joined: by term, the rows in which it is a part of a word.
        linked: recordings that the new cycle shares with the source as hard links.
        outside: rows whose recording lies outside of the source's folder.
        outside_folders: of these recordings.
    """

    out: str
    rows: int
    general: int
    several: int
    terms: int
    missing: int
    categories: dict[str, int]
    kept: int
    ambiguous: tuple[str, ...]
    repeated: int
    ordinary: dict[str, int]
    joined: dict[str, list[int]]
    linked: int
    outside: int
    outside_folders: tuple[str, ...]

    @property
    def notes(self) -> list[str]:
        """What a person should know, a sentence each."""
        notes = list(self.ambiguous[:_SHOWN])
        if (more := len(self.ambiguous) - _SHOWN) > 0:
            notes.append(
                f"… and {counted(more, 'more term')} in two categories ({ABOUT}: ambiguous)"
            )
        if self.ordinary:
            shown = ", ".join(f"{term} ({rows})" for term, rows in _first(self.ordinary))
            notes.append(
                f"not taken where they are written in small letters or all text is in capitals, "
                f"since they are English words too: {shown}. Fix: write them in capitals where "
                "they are meant; in the formulary in small letters where every such word is meant."
            )
        for term, rows in _first(self.joined):
            listed = ", ".join(map(str, rows[:_ROWS_SHOWN]))
            listed += ", …" if len(rows) > _ROWS_SHOWN else ""
            notes.append(
                f"row {listed}: {term!r} is part of a longer word and cannot be scored. "
                "Fix: write it in the text as a word of its own."
            )
        if 0 < self.general < FEWEST_SENTENCES:
            notes.append(
                f"{GENERAL} has {counted(self.general, 'row')}; --general needs "
                f"{FEWEST_SENTENCES} or more"
            )
        notes += describe_outside(self.outside, self.outside_folders)
        return notes


def label_cycle(
    cycle: Cycle, formulary: Formulary, terms_path: Path, out: Path, command: Sequence[str] = ()
) -> LabelSummary:
    """Write a cycle with the terms of a formulary; its rows appear when they are whole.

    Args:
        cycle: the source.
        formulary: the terms.
        terms_path: where they were read from, for the record.
        out: the folder, ``cycle<N>``; it may hold the evaluation of a run on the cycle before.
        command: as typed, for the record.

    Raises:
        InputError: the manifest is broken, no row has a term, or ``out`` has rows already.
    """
    check_out(cycle, out)
    utterances = read_manifest(cycle.manifest)
    matcher = TermMatcher(formulary.terms)
    found = [matcher.find(utterance.text) for utterance in utterances]
    labelled = [
        _with_terms(utterance, matches, matcher)
        for utterance, matches in zip(utterances, found, strict=True)
    ]
    clinical = [row for row in labelled if row.flagged]
    general = [row for row in labelled if not row.flagged]
    if not clinical:
        raise InputError(
            f"{cycle.manifest}: none of its {counted(len(labelled), 'row')} holds one of the "
            f"{len(formulary.terms)} terms of {terms_path}. Fix: name the formulary of these texts."
        )
    rows_of_terms = _count_rows(matcher, utterances, found)
    missing = [term for term in formulary.terms if not rows_of_terms[term]]
    # As private as the source.
    with new_cycle(out, cycle.path.stat().st_mode & 0o777) as work:
        recordings = BroughtRecordings(work)
        bring = partial(recordings.bring, cycle)
        write_manifest(work / "manifest.jsonl", map(bring, clinical))
        if general:
            write_manifest(work / GENERAL, map(bring, general))
        atomic_files.write_text(work / MISSING, _seed_table(missing))
        for name in _TAKEN_ALONG:
            if (cycle.path / name).is_file():
                shutil.copy2(cycle.path / name, work / name)
        for review in review_files(cycle):
            if not (work / review.name).exists():
                shutil.copy2(review, work / review.name)
        summary = LabelSummary(
            out=str(out),
            rows=len(clinical),
            general=len(general),
            several=sum(len(row.flagged) > 1 for row in clinical),
            terms=len(formulary.terms),
            missing=len(missing),
            categories=_count_categories(clinical),
            kept=sum(len(utterance.flagged) for utterance in utterances),
            ambiguous=tuple(map(str, formulary.ambiguous)),
            repeated=formulary.repeated,
            ordinary=dict(
                Counter(term.term for matches in found for term in matches.ordinary).most_common()
            ),
            joined=_joined(utterances, found),
            linked=recordings.linked,
            outside=recordings.outside.total(),
            outside_folders=tuple(sorted(recordings.outside)),
        )
        about = {
            "command": list(command),
            "source": str(cycle.path),
            "source_manifest_sha256": hashing.sha256_file(cycle.manifest),
            "terms": str(terms_path),
            "terms_sha256": hashing.sha256_file(terms_path),
            **_as_record(summary),
            "rows_of_terms": {term.term: rows for term, rows in rows_of_terms.items()},
        }
        atomic_files.write_json(work / ABOUT, Schema.LABELLING.mark(about))
    return summary


def check_out(cycle: Cycle, out: Path) -> None:
    """Refuse a place for the new cycle that has rows already, or is in the source.

    Raises:
        InputError: says which.
    """
    require_cycle_name(out, f"--out FOLDER/{cycle.path.name}")
    if out.is_relative_to(cycle.path):
        raise InputError(
            f"{out}: is inside the source, which is never changed. Fix: name a folder outside it."
        )
    refuse_content(out)


def _count_categories(rows: Iterable[Utterance]) -> dict[str, int]:
    terms = (item for row in rows for item in row.flagged)
    return dict(sorted(Counter(item.entity_category or "without" for item in terms).items()))


def _with_terms(utterance: Utterance, matches: TextMatches, matcher: TermMatcher) -> Utterance:
    """Return a row with what it had and what was found; what a person wrote goes first."""
    before = {matcher.term_of(item.term): canonical(item.term) for item in utterance.flagged}
    found = [
        RowTerm(match.spelling, match.term.entity_category)
        for match in matches.matches
        # Another form of a term that the row has; in the same words it may bring the category.
        if before.get(match.term, words := canonical(match.spelling)) == words
    ]
    terms = merge_terms([utterance.flagged, found])
    if not terms:
        return utterance
    first = terms[0]
    return replace(
        utterance,
        term=first.term,
        entity_category=first.entity_category,
        # One term is written as the contract has it, without a list.
        terms=tuple(terms) if len(terms) > 1 else (),
    )


def _count_rows(
    matcher: TermMatcher, utterances: Iterable[Utterance], found: Iterable[TextMatches]
) -> Counter[FormularyTerm]:
    """Count the rows of each term; a row that had it before counts as well."""
    rows: Counter[FormularyTerm] = Counter()
    for utterance, matches in zip(utterances, found, strict=True):
        before = {matcher.term_of(item.term) for item in utterance.flagged}
        both = before | {match.term for match in matches.matches}
        rows.update(term for term in both if term is not None)
    return rows


def _joined(utterances: Iterable[Utterance], found: Iterable[TextMatches]) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for utterance, matches in zip(utterances, found, strict=True):
        for term in matches.joined:
            rows.setdefault(term.term, []).append(utterance.row)
    return rows


def _seed_table(terms: Iterable[FormularyTerm]) -> str:
    """Return terms as the build stage reads its term_seed.csv."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("term", "entity_category"))
    writer.writerows((term.term, term.entity_category or "") for term in terms)
    return table.getvalue()


def _as_record(summary: LabelSummary) -> dict[str, Any]:
    return {
        name: getattr(summary, name)
        for name in LabelSummary.__dataclass_fields__
        if name not in {"out", "terms", "outside_folders"}
    } | {"formulary_terms": summary.terms}


def _first(values: dict[str, Any]) -> list[tuple[str, Any]]:
    return list(values.items())[:_SHOWN]
