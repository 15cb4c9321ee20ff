"""Compare cycle N with cycle N+1, category by category (specification, 4e).

Two evaluations are compared on the rows that both hold, row by row; what only one of them holds is
counted and said. Every difference knows how sure it is: a p-value and an interval.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from tasks.common.errors import InputError
from tasks.data.text_normalizer import normalise_term
from tasks.evaluation import statistics
from tasks.evaluation.hypotheses import Partition
from tasks.evaluation.row_matching import keys
from tasks.evaluation.scoring import Proportion, Scores, block_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tasks.evaluation.scoring import UtteranceScore
    from tasks.evaluation.statistics import Interval

ALL_CATEGORIES = "(all)"


@dataclass(frozen=True, slots=True)
class ScorePair:
    """One row as both evaluations scored it."""

    before: UtteranceScore
    after: UtteranceScore


def term_missed(row: UtteranceScore) -> bool | None:
    """Return whether the row's term was missed; None where it has none."""
    return row.term_missed


def missed_in_any_spelling(row: UtteranceScore) -> bool | None:
    """Return whether the row's term was missed in every spelling; None where it has none."""
    return row.missed_in_any_spelling


# Without slots: the parts and the changes by category are kept once they are known.
@dataclass(frozen=True)
class PairedScores:
    """The rows that two evaluations have in common, and how many only one of them has."""

    pairs: tuple[ScorePair, ...]
    only_before: int
    only_after: int

    def where(self, keep: Callable[[ScorePair], bool]) -> PairedScores:
        """Return the pairs that ``keep`` accepts."""
        return PairedScores(
            tuple(pair for pair in self.pairs if keep(pair)), self.only_before, self.only_after
        )

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

    def changes(
        self, missed: Callable[[UtteranceScore], bool | None]
    ) -> dict[str, KeywordErrorChange]:
        """Return the change of each category, and of all rows under ``ALL_CATEGORIES``.

        Args:
            missed: what counts as missed in a row; None leaves the row out.
        """
        groups: dict[str, list[_Flip]] = {ALL_CATEGORIES: []}
        for place, pair in enumerate(self.pairs):
            before, after = missed(pair.before), missed(pair.after)
            if before is None or after is None:
                continue
            flip = _Flip(before, after, block_of(pair.after.row.term, place))
            groups[ALL_CATEGORIES].append(flip)
            if (category := pair.after.row.entity_category) is not None:
                groups.setdefault(category, []).append(flip)
        return {category: _delta(category, flips) for category, flips in sorted(groups.items())}


@dataclass(frozen=True, slots=True)
class KeywordErrorChange:
    """KER before and after on the same rows.

    Attributes:
        category: an entity_category, or ``ALL_CATEGORIES``.
        before: rows whose term was missed before, of the rows that have a term.
        after: the same after.
        fixed: rows missed before and found after.
        broken: rows found before and missed after.
        nets: of each term whose rows changed, rows fixed less rows broken.
    """

    category: str
    before: Proportion
    after: Proportion
    fixed: int
    broken: int
    nets: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.before.n != self.after.n:
            raise ValueError("a difference needs the same rows on both sides")
        if self.before.hits - self.after.hits != self.fixed - self.broken:
            raise ValueError("fixed and broken rows do not explain the difference")
        if not (0 <= self.fixed <= self.before.hits and 0 <= self.broken <= self.after.hits):
            raise ValueError("more rows were fixed or broken than were missed")
        if self.nets and sum(self.nets) != self.fixed - self.broken:
            raise ValueError("the terms' changes do not add up to the rows'")

    @property
    def n(self) -> int:
        """Rows with a term."""
        return self.before.n

    @property
    def relative(self) -> float | None:
        """Relative change, negative for a drop; None where there is nothing to relate to."""
        if not self.before.hits:
            return None
        return (self.after.hits - self.before.hits) / self.before.hits

    @property
    def p(self) -> float | None:
        """McNemar's mid-p value, two-sided; None without rows."""
        return statistics.mcnemar_mid_p(self.fixed, self.broken) if self.n else None

    @property
    def p_terms(self) -> float | None:
        """The p-value if rows of a term may change together; None if the terms are unknown."""
        return statistics.clustered_p(self.nets) if self.nets else None

    @property
    def interval(self) -> Interval | None:
        """The 95 % interval of (KER after - KER before); None without rows."""
        return statistics.paired_difference(self.fixed, self.broken, self.n)

    def as_dict(self) -> dict[str, object]:
        """Return the record that ``asr-flywheel diff --json`` prints of a category."""
        return {
            "n": self.n,
            "ker_a": self.before.rate,
            "ker_b": self.after.rate,
            "relative": self.relative,
            "p": self.p,
            "ci": None if self.interval is None else self.interval.as_list(),
            "fixed": self.fixed,
            "broken": self.broken,
            "p_terms": self.p_terms,
        }


@dataclass(frozen=True, slots=True)
class MetricChange:
    """One figure before and after on the same rows.

    Attributes:
        name: WER, CER, pooled WER, KER or SER.
        n: rows.
        before: the figure before; None without rows.
        after: the figure after.
        interval: 95 % interval of (after - before).
        p: McNemar's mid-p for KER and SER; the bootstrap of a rate gives an interval alone.
    """

    name: str
    n: int
    before: float | None
    after: float | None
    interval: Interval | None
    p: float | None = None

    @property
    def difference(self) -> float | None:
        """After minus before."""
        if self.before is None or self.after is None:
            return None
        return self.after - self.before

    def as_dict(self) -> dict[str, object]:
        """Return the change for programs."""
        return {
            "figure": self.name,
            "n": self.n,
            "before": self.before,
            "after": self.after,
            "difference": self.difference,
            "ci": None if self.interval is None else self.interval.as_list(),
            "p": self.p,
        }


def changes(pairing: PairedScores) -> tuple[MetricChange, ...]:
    """Return every headline figure's difference, with its interval.

    Rates by the paired bootstrap over terms, shares of rows by McNemar and Bonett-Price. Mean and
    pooled WER are two figures, each under its own name.
    """
    before = Scores(tuple(pair.before for pair in pairing.pairs))
    after = pairing.after
    terms = [block_of(pair.after.row.term, place) for place, pair in enumerate(pairing.pairs)]

    def rate(name: str, figure: str, numerator: str, denominator: str) -> MetricChange:
        columns = [
            [float(getattr(row.counts, column)) for row in scores.rows]
            for scores in (before, after)
            for column in (numerator, denominator)
        ]
        interval = statistics.rate_difference(statistics.by_block(terms, *columns))
        return MetricChange(
            name,
            len(pairing.pairs),
            getattr(before.counts, figure),
            getattr(after.counts, figure),
            interval,
        )

    def share(name: str, missed: Callable[[UtteranceScore], bool | None]) -> MetricChange:
        delta = pairing.changes(missed)[ALL_CATEGORIES]
        return MetricChange(
            name, delta.n, delta.before.rate, delta.after.rate, delta.interval, delta.p
        )

    return (
        rate("WER", "wer", "wer_sum", "n"),
        rate("CER", "cer", "cer_sum", "n"),
        share("KER", term_missed),
        share("SER", lambda row: row.sentence_wrong),
        rate("pooled WER", "pooled_wer", "word_edits", "ref_words"),
    )


def exposure(pairing: PairedScores) -> tuple[KeywordErrorChange, ...]:
    """Compare KER on held-out rows by whether training saw their term or voice in other rows.

    Empty where it is not known what was trained on.
    """
    changes_by_exposure = []
    for field_label, name in (("term", "term"), ("voice", "voice_id")):
        trained_values = {_field_value(pair, name) for pair in pairing.trained.pairs} - {None}
        if not trained_values:
            continue
        for label, is_seen in ((f"seen {field_label}", True), (f"unseen {field_label}", False)):
            rows = pairing.held_out.where(
                lambda pair, name=name, trained_values=trained_values, is_seen=is_seen: (  # type: ignore[misc]
                    (value := _field_value(pair, name)) is not None
                    and (value in trained_values) is is_seen
                )
            )
            changes_by_exposure.append(replace(rows.by_category[ALL_CATEGORIES], category=label))
    return tuple(changes_by_exposure)


def _field_value(pair: ScorePair, name: str) -> str | None:
    value = getattr(pair.after.row, name)
    return normalise_term(value) if value else None


def pair(before: Scores, after: Scores) -> PairedScores:
    """Match two evaluations row by row.

    A row is known by its audio's path and its reference; see tasks/evaluation/row_matching.py.

    Raises:
        InputError: they have no row in common, or one of them holds a row twice.
    """
    first, second = keys(
        *([(row.row.audio_filepath, row.row.ref) for row in s.rows] for s in (before, after))
    )
    earlier = dict(zip(first, before.rows, strict=True))
    later = dict(zip(second, after.rows, strict=True))
    common_keys = [key for key in later if key in earlier]
    if not common_keys:
        raise InputError(
            "the two evaluations have no row in common (audio file name and reference). "
            "Fix: compare evaluations of the same manifest."
        )
    return PairedScores(
        tuple(ScorePair(earlier[key], later[key]) for key in common_keys),
        only_before=len(earlier) - len(common_keys),
        only_after=len(later) - len(common_keys),
    )


class _Flip(NamedTuple):
    before: bool
    after: bool
    term: str | int


def _delta(category: str, flips: Sequence[_Flip]) -> KeywordErrorChange:
    nets: dict[str | int, int] = {}
    for flip in flips:
        if flip.before is not flip.after:
            nets[flip.term] = nets.get(flip.term, 0) + (1 if flip.before else -1)
    return KeywordErrorChange(
        category=category,
        before=Proportion(sum(flip.before for flip in flips), len(flips)),
        after=Proportion(sum(flip.after for flip in flips), len(flips)),
        fixed=sum(flip.before and not flip.after for flip in flips),
        broken=sum(flip.after and not flip.before for flip in flips),
        nets=tuple(nets.values()),
    )
