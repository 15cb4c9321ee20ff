"""Score a file of any length in constant memory.

The counts of each row are those of tasks/evaluation/scoring.py; they go into one table for each
field by which a score is broken down, a line for each of its values, and the row is forgotten. A
long file of JSON lines is counted by several processes, each a stretch of it.
"""

from __future__ import annotations

import multiprocessing
import os
from array import array
from concurrent.futures import ProcessPoolExecutor
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tasks.common.errors import InputError
from tasks.common.format_characters import list_format_characters
from tasks.data.text_normalizer import normalise, normalise_term
from tasks.evaluation.error_counts import COUNTED, ErrorCounts
from tasks.evaluation.false_keywords import index_terms
from tasks.evaluation.result_checks import refuse_duplicates
from tasks.evaluation.result_reading import (
    ReadingNotes,
    cut_stretches,
    iterate_hypotheses,
    stretch_terms,
)
from tasks.evaluation.row_matching import row_fingerprint
from tasks.evaluation.score_summary import Summary
from tasks.evaluation.scoring import (
    DIMENSIONS,
    OF_OCCURRENCES,
    block_of,
    changed_by_hyphens,
    measure,
)
from tasks.evaluation.secondary_metrics import SecondaryMetrics
from tasks.evaluation.term_occurrences import find_occurrences, spelled_otherwise

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence
    from pathlib import Path

    from tasks.evaluation.false_keywords import TermIndex
    from tasks.evaluation.hypotheses import Hypothesis
    from tasks.evaluation.result_reading import Stretch
    from tasks.evaluation.term_occurrences import Occurrence

_ROWS_AT_ONCE = 8192
_TERMLESS_BLOCKS = 4096
_WORTH_A_PROCESS_BYTES = 16_000_000

Floats = npt.NDArray[np.float64]


_values_of = attrgetter(*DIMENSIONS)
_DIVIDED = "\0divided"
"""In the place of a row's value where its terms are divided among several."""


class _Table:
    """Counts by the values of one field: shape (values, counts), a line a value."""

    def __init__(self) -> None:
        self.lines: dict[Hashable, int] = {}
        self.sums: Floats = np.zeros((16, len(COUNTED)))

    def add(self, values: Iterable[Hashable], counts: Floats) -> None:
        """Add rows: their values of the field, and their counts, shape (rows, counts)."""
        lines = self.lines
        places = np.array([lines.setdefault(value, len(lines)) for value in values], dtype=np.intp)
        if len(lines) > len(self.sums):
            grown = np.zeros((2 * len(lines), len(COUNTED)))
            grown[: len(self.sums)] = self.sums
            self.sums = grown
        for column in range(len(COUNTED)):
            self.sums[: len(lines), column] += np.bincount(
                places, weights=counts[:, column], minlength=len(lines)
            )

    def merge(self, other: _Table) -> None:
        """Add another table's lines."""
        self.add(other.lines, other.sums[: len(other.lines)])

    def counts(self) -> dict[Hashable, ErrorCounts]:
        """Return the counts of each value."""
        return {value: _counts(self.sums[line]) for value, line in self.lines.items()}


def _counts(sums: Floats) -> ErrorCounts:
    rounded = [round(value) for value in sums]
    n, _wer, _cer, *other_counts = rounded
    return ErrorCounts(n, float(sums[1]), float(sums[2]), *other_counts)


class ScoreAccumulator:
    """An accumulator of scored rows.

    Args:
        term_index: the terms that count as keywords; None leaves the secondary metrics out.
        canonical: look at spellings too; without, every figure is to the letter.
    """

    def __init__(self, term_index: TermIndex | None = None, *, canonical: bool = True) -> None:
        self.beyond = (
            None if term_index is None else SecondaryMetrics(term_index, canonical=canonical)
        )
        self.changed_by_hyphens = self.format_characters = 0
        self._canonical = canonical
        self._tables = {name: _Table() for name in (*DIMENSIONS, "block")}
        self._values: list[tuple[Hashable, ...]] = []
        self._blocks: list[Hashable] = []
        self._counted = array("d")
        self._parts: dict[str, list[tuple[str | None, tuple[float, ...]]]] = {}
        self._rows = 0
        self.notes = ReadingNotes()
        # Eight bytes a row: a row that stands twice is found without keeping the rows.
        self.fingerprints: array[int] | None = None

    def add(self, row: Hypothesis) -> None:
        """Score one row and discard it."""
        ref, hyp = normalise(row.ref), normalise(row.hyp)
        single = None if row.terms else row.term
        words, ref_words, chars, ref_chars, missed, wrong = measure(
            ref, hyp, normalise_term(single) if single else None
        )
        edits = (
            1, words / (ref_words or 1), chars / (ref_chars or 1), words, ref_words, chars,
            ref_chars, wrong
        )  # fmt: skip
        values = _values_of(row)
        missed_terms: tuple[str, ...]
        if row.terms:
            missed_terms, counted, values = self._divide(row, hyp, edits, values)
        else:
            missed_terms = (single,) if missed and single else ()
            counted = (
                missed is not None, missed or 0,
                (missed and self._canonical and spelled_otherwise(row.hyp, hyp, single or "")) or 0,
                missed is not None,
            )  # fmt: skip
        self._counted.extend(edits)
        self._counted.extend(counted)
        if not (row.ref.isascii() and row.hyp.isascii()):
            self.changed_by_hyphens += changed_by_hyphens(row)
            self.format_characters += bool(list_format_characters(row.ref + row.hyp))
        self._values.append(values)
        self._blocks.append(block_of(row.first_term, self._rows % _TERMLESS_BLOCKS))
        self._rows += 1
        if self.fingerprints is not None:
            self.fingerprints.append(row_fingerprint(row.audio_filepath, ref))
        if self.beyond is not None:
            self.beyond.add(row, ref, hyp, missed_terms)
        if len(self._values) == _ROWS_AT_ONCE:
            self.flush()

    def _divide(
        self,
        row: Hypothesis,
        hyp: str,
        edits: tuple[float, ...],
        values: tuple[Hashable, ...],
    ) -> tuple[tuple[str, ...], tuple[float, ...], tuple[Hashable, ...]]:
        """Count the terms of a row that lists several, and keep the part of each of its values.

        Returns:
            The terms that were missed, the counts of all, and the row's values of each field.
        """
        occurrences = find_occurrences(row, hyp)
        for dimension, name in OF_OCCURRENCES.items():
            groups: dict[str | None, list[Occurrence]] = {} if occurrences else {None: []}
            for one in occurrences:
                groups.setdefault(getattr(one, name), []).append(one)
            parts = self._parts.setdefault(dimension, [])
            for value, group in groups.items():
                parts.append((value, edits + self._count(group)))
        return (
            tuple(one.term for one in occurrences if one.missed),
            self._count(occurrences),
            tuple(
                _DIVIDED if dimension in OF_OCCURRENCES else value
                for dimension, value in zip(DIMENSIONS, values, strict=True)
            ),
        )

    def _count(self, occurrences: Sequence[Occurrence]) -> tuple[float, ...]:
        missed = spelled = 0
        for one in occurrences:
            missed += one.missed
            spelled += one.spelling_only
        return len(occurrences), missed, spelled if self._canonical else 0, bool(occurrences)

    def flush(self) -> None:
        """Add the buffered rows to the tables."""
        if not self._values:
            return
        counts = np.array(self._counted).reshape(-1, len(COUNTED))
        columns = (*zip(*self._values, strict=True), self._blocks)
        for table, values in zip(self._tables.values(), columns, strict=True):
            table.add(values, counts)
        for dimension, parts in self._parts.items():
            if parts:
                part_values, part_counts = zip(*parts, strict=True)
                self._tables[dimension].add(part_values, np.array(part_counts, dtype=np.float64))
        self._parts.clear()
        self._values.clear()
        self._blocks.clear()
        del self._counted[:]
        if self.beyond is not None:
            self.beyond.prune()

    def merge(self, other: ScoreAccumulator) -> None:
        """Add the counts of another stretch."""
        self.flush()
        other.flush()
        for name, table in self._tables.items():
            table.merge(other._tables[name])
        self.changed_by_hyphens += other.changed_by_hyphens
        self.format_characters += other.format_characters
        if self.beyond is not None and other.beyond is not None:
            self.beyond.merge(other.beyond)
        self.notes.merge(other.notes)
        if self.fingerprints is not None and other.fingerprints is not None:
            self.fingerprints.extend(other.fingerprints)

    @property
    def repeats(self) -> bool:
        """Whether two rows may be one, by their fingerprints."""
        if not self.fingerprints:
            return False
        ordered = np.sort(np.frombuffer(self.fingerprints, dtype=np.uint64))
        return bool((ordered[1:] == ordered[:-1]).any())

    def summary(self) -> Summary:
        """Return the summary of the rows so far."""
        self.flush()
        values_by_dimension = {name: self._tables[name].counts() for name in DIMENSIONS}
        blocks = self._tables["block"]
        return Summary(
            counts=_counts(blocks.sums.sum(axis=0)),
            by={
                name: {
                    None if value is None else str(value): counts
                    for value, counts in counts_by_value.items()
                    if value != _DIVIDED
                }
                for name, counts_by_value in values_by_dimension.items()
            },
            blocks=tuple(blocks.counts().values()),
            beyond=self.beyond,
            changed_by_hyphens=self.changed_by_hyphens,
            format_characters=self.format_characters,
            notes=self.notes.lines(),
        )


def summarise(
    rows: Iterable[Hypothesis], term_index: TermIndex | None = None, *, canonical: bool = True
) -> Summary:
    """Score rows one by one."""
    tally = ScoreAccumulator(term_index, canonical=canonical)
    for row in rows:
        tally.add(row)
    return tally.summary()


def score_file(path: Path, processes: int | None = None) -> Summary:
    """Score a file of per-row results, with the figures beyond the four metrics.

    Args:
        path: JSON lines, of any length; or one JSON array, which is read whole.
        processes: by default one a core, as far as the file is long enough to be worth it.

    Raises:
        InputError: it cannot be read, has no rows, or a row stands twice; names the row.
    """
    parts = cut_stretches(path, processes or _processes(path))
    try:
        tally = _tally_one(parts[0]) if len(parts) == 1 else _tally_many(parts)
    except InputError:
        _read_through(path)
        raise
    if tally.repeats:
        refuse_duplicates(path, iterate_hypotheses(path))
    summary = tally.summary()
    if not summary.counts.n:
        _read_through(path)
    return summary


def _read_through(path: Path) -> None:
    """Read a whole file and raise its fault with the row's number, which a stretch lacks."""
    for _ in iterate_hypotheses(path):
        pass


def _processes(path: Path) -> int:
    try:
        size = path.stat().st_size
    except OSError:
        return 1  # reading it will say what is wrong
    return max(1, min(os.cpu_count() or 1, size // _WORTH_A_PROCESS_BYTES))


def _tally_one(part: Stretch) -> ScoreAccumulator:
    return _tally(part, index_terms(stretch_terms(part)))


def _tally_many(parts: list[Stretch]) -> ScoreAccumulator:
    # Spawned, not forked: the caller may hold threads, which a fork would break.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(parts), mp_context=context) as pool:
        words = index_terms(
            term for part_terms in pool.map(stretch_terms, parts) for term in part_terms
        )
        tallies = pool.map(_tally, parts, [words] * len(parts))
        total = next(tallies)
        for tally in tallies:
            total.merge(tally)
    return total


def _tally(part: Stretch, words: TermIndex) -> ScoreAccumulator:
    tally = ScoreAccumulator(words)
    tally.fingerprints = array("Q")
    for row in iterate_hypotheses(part.path, part, tally.notes):
        tally.add(row)
    tally.flush()
    return tally
