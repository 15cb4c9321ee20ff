"""Compare cycle N with cycle N+1, category by category (specification, 4e).

Two evaluations are compared on the rows that both hold, row by row; what only one of them holds is
counted and said. Every difference knows how sure it is: a p-value and an interval.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from tasks.common.counted import agreed, counted
from tasks.common.errors import InputError
from tasks.data.text_normalizer import normalise_term
from tasks.evaluation.hypotheses import Partition
from tasks.evaluation.keyword_change import (
    ALL_CATEGORIES,
    PairedOccurrence,
    summarise_by_category,
    summarise_changes,
)
from tasks.evaluation.row_matching import match_rows
from tasks.evaluation.scoring import Scores, block_of

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator

    from tasks.evaluation.keyword_change import KeywordErrorChange
    from tasks.evaluation.scoring import UtteranceScore
    from tasks.evaluation.term_occurrences import Occurrence


@dataclass(frozen=True, slots=True)
class ScorePair:
    """One row as both evaluations scored it.

    Attributes:
        before: by the earlier evaluation's plain decode.
        after: by the later one's.
        decodes: how often each side decoded the row, the plain decode included.
        before_decodes: what these made, and how many of them; empty where there is one.
        after_decodes: the same by the later evaluation.
    """

    before: UtteranceScore
    after: UtteranceScore
    decodes: int = field(default=1, kw_only=True)
    before_decodes: tuple[tuple[UtteranceScore, int], ...] = field(default=(), kw_only=True)
    after_decodes: tuple[tuple[UtteranceScore, int], ...] = field(default=(), kw_only=True)

    @property
    def newly_missed(self) -> bool:
        """Whether a term was found before and missed after."""
        return any(after.missed and not before.missed for before, after in _matched(self))

    def by_occurrence(self) -> Iterator[ScorePair]:
        """Yield the row once for each of its terms, as a row of that single term."""
        if not self.before.row.terms and not self.after.row.terms:
            yield self
            return
        for earlier, later in _matched(self):
            yield ScorePair(self.before.alone(earlier), self.after.alone(later))


def term_missed(row: UtteranceScore, occurrence: Occurrence) -> bool:  # noqa: ARG001
    """Return whether a term of a row was missed."""
    return occurrence.missed


def missed_in_any_spelling(row: UtteranceScore, occurrence: Occurrence) -> bool:  # noqa: ARG001
    """Return whether a term of a row was missed in every spelling."""
    return occurrence.missed_in_any_spelling


# Without slots: the parts and the changes by category are kept once they are known.
@dataclass(frozen=True)
class PairedScores:
    """The rows that two evaluations have in common, and how many only one of them has.

    Attributes:
        pairs: the rows.
        only_before: how many only the earlier evaluation has.
        only_after: how many only the later one has.
        converted: how many have other samples in both, and were matched by name and reference.
    """

    pairs: tuple[ScorePair, ...]
    only_before: int
    only_after: int
    converted: int = 0

    @property
    def converted_note(self) -> str | None:
        """A sentence for the user where rows were matched by their names alone."""
        if not self.converted:
            return None
        count = self.converted
        return (
            f"{counted(count, 'row')} {agreed(count, 'has', 'have')} other samples in the two "
            f"evaluations, and {agreed(count, 'was', 'were')} matched by file name and "
            "reference: compare them only if the recordings were converted."
        )

    @property
    def plain(self) -> PairedScores:
        """The same rows by their plain decode alone."""
        return replace(self, pairs=tuple(ScorePair(one.before, one.after) for one in self.pairs))

    @property
    def decodes(self) -> int:
        """How often the rows were decoded that were decoded most often."""
        return max((pair.decodes for pair in self.pairs), default=1)

    def where(self, keep: Callable[[ScorePair], bool]) -> PairedScores:
        """Return the pairs that ``keep`` accepts."""
        return replace(self, pairs=tuple(pair for pair in self.pairs if keep(pair)))

    @property
    def before(self) -> Scores:
        """The earlier evaluation's common rows, marked as the later one marks them."""
        return Scores(
            tuple(
                replace(pair.before, row=replace(pair.before.row, part=pair.after.row.part))
                for pair in self.pairs
            )
        )

    @property
    def after(self) -> Scores:
        """The later evaluation's common rows."""
        return Scores(tuple(pair.after for pair in self.pairs))

    @cached_property
    def held_out(self) -> PairedScores:
        """The pairs whose row was held out from the later model, and judges it."""
        return self.where(lambda pair: pair.after.row.part is Partition.HELD_OUT)

    @cached_property
    def trained(self) -> PairedScores:
        """The pairs whose row the later model was trained on."""
        return self.where(lambda pair: pair.after.row.part is Partition.TRAINED)

    @cached_property
    def judging(self) -> PairedScores:
        """The pairs whose row may judge the later model: held out, or not marked at all."""
        return self.where(lambda pair: pair.after.row.judges)

    @cached_property
    def by_category(self) -> dict[str, KeywordErrorChange]:
        """The change of KER of each category, and of all rows under ``ALL_CATEGORIES``."""
        return self.changes(term_missed)

    def occurrences(
        self, missed: Callable[[UtteranceScore, Occurrence], bool]
    ) -> Iterator[PairedOccurrence]:
        """Yield every term of every row as both evaluations count it.

        Args:
            missed: what counts as missed.
        """
        for place, pair in enumerate(self.pairs):
            for earlier, later in _matched(pair):
                if pair.decodes == 1:
                    before: int = missed(pair.before, earlier)
                    after: int = missed(pair.after, later)
                else:
                    before = _count_missed(pair.before_decodes, later.term, missed)
                    after = _count_missed(pair.after_decodes, later.term, missed)
                yield PairedOccurrence(
                    place, block_of(later.term, place), later.category, before, after, pair.decodes
                )

    def changes(
        self, missed: Callable[[UtteranceScore, Occurrence], bool]
    ) -> dict[str, KeywordErrorChange]:
        """Return the change of each category, and of all terms under ``ALL_CATEGORIES``.

        Args:
            missed: what counts as missed.
        """
        return summarise_by_category((one, (one.category,)) for one in self.occurrences(missed))

    def row_changes(
        self, wrong: Callable[[UtteranceScore], bool | None]
    ) -> dict[str, KeywordErrorChange]:
        """Return the change in rows, not terms: a row counts once in each category that it has.

        Args:
            wrong: what counts in a row; None leaves the row out.
        """

        def rows() -> Iterator[tuple[PairedOccurrence, Iterable[str]]]:
            for place, pair in enumerate(self.pairs):
                before: int | None = wrong(pair.before)
                after: int | None = wrong(pair.after)
                if before is not None and after is not None:
                    row = pair.after.row
                    term = block_of(row.first_term, place)
                    if pair.decodes > 1:
                        before = _count_wrong(pair.before_decodes, wrong)
                        after = _count_wrong(pair.after_decodes, wrong)
                    one = PairedOccurrence(place, term, None, before, after, pair.decodes)
                    yield one, row.categories

        return summarise_by_category(rows())

    def change_in(self, categories: Container[str]) -> KeywordErrorChange:
        """Return the change over the terms of several categories together."""
        return summarise_changes(
            ALL_CATEGORIES,
            [one for one in self.occurrences(term_missed) if one.category in categories],
        )

    @property
    def terms(self) -> Iterator[str]:
        """The terms of all rows."""
        return (item.term for pair in self.pairs for item in pair.after.row.flagged)


def pair(before: Scores, after: Scores) -> PairedScores:
    """Match two evaluations row by row.

    A row is known by its sound and its reference, or by its audio's path and its reference; see
    tasks/evaluation/row_matching.py.

    Raises:
        InputError: they have no row in common, or one of them holds a row twice.
    """
    found = match_rows(*([row.row for row in scores.rows] for scores in (before, after)))
    if not found.places:
        raise InputError(
            "the two evaluations have no row in common (recording or audio file name, and "
            "reference). Fix: compare evaluations of the same manifest."
        )
    return PairedScores(
        tuple(ScorePair(before.rows[one], after.rows[other]) for one, other in found.places),
        only_before=len(before.rows) - len(found.places),
        only_after=len(after.rows) - len(found.places),
        converted=found.converted,
    )


def _matched(pair: ScorePair) -> Iterator[tuple[Occurrence, Occurrence]]:
    """Yield the terms of a row that both evaluations count."""
    before, after = pair.before.occurrences, pair.after.occurrences
    if len(before) == len(after) == 1:
        yield before[0], after[0]
        return
    earlier = {normalise_term(one.term): one for one in before}
    for later in after:
        if (same := earlier.get(normalise_term(later.term))) is not None:
            yield same, later


def _count_missed(
    decodes: Iterable[tuple[UtteranceScore, int]],
    term: str,
    missed: Callable[[UtteranceScore, Occurrence], bool],
) -> int:
    """Count the decodes of a row that missed a term."""
    count = 0
    for scored, times in decodes:
        found = scored.occurrences
        if len(found) > 1:
            found = tuple(o for o in found if normalise_term(o.term) == normalise_term(term))
        count += times * bool(missed(scored, found[-1]))
    return count


def _count_wrong(
    decodes: Iterable[tuple[UtteranceScore, int]], wrong: Callable[[UtteranceScore], bool | None]
) -> int:
    return sum(times * bool(wrong(scored)) for scored, times in decodes)
