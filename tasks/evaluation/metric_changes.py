"""The change of each headline figure between two evaluations of the same rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.evaluation import statistics
from tasks.evaluation.block_bootstrap import by_block, rate_difference
from tasks.evaluation.diff import term_missed
from tasks.evaluation.keyword_change import ALL_CATEGORIES
from tasks.evaluation.scoring import Scores, block_of

if TYPE_CHECKING:
    from tasks.evaluation.diff import PairedScores
    from tasks.evaluation.keyword_change import KeywordErrorChange
    from tasks.evaluation.statistics import Interval


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
            "ci": statistics.ends(self.interval),
            "p": self.p,
        }


def metric_changes(pairing: PairedScores) -> tuple[MetricChange, ...]:
    """Return every headline figure's difference, with its interval.

    Rates by the paired bootstrap over terms, shares of rows by McNemar and Bonett-Price. Mean and
    pooled WER are two figures, each under its own name.
    """
    before = Scores(tuple(pair.before for pair in pairing.pairs))
    after = pairing.after
    terms = [block_of(pair.after.row.first_term, place) for place, pair in enumerate(pairing.pairs)]

    def rate(name: str, figure: str, numerator: str, denominator: str) -> MetricChange:
        columns = [
            [float(getattr(row.counts, column)) for row in scores.rows]
            for scores in (before, after)
            for column in (numerator, denominator)
        ]
        interval = rate_difference(by_block(terms, *columns))
        return MetricChange(
            name,
            len(pairing.pairs),
            getattr(before.counts, figure),
            getattr(after.counts, figure),
            interval,
        )

    def share(name: str, delta: KeywordErrorChange) -> MetricChange:
        return MetricChange(
            name, delta.n, delta.before.rate, delta.after.rate, delta.interval, delta.p
        )

    return (
        rate("WER", "wer", "wer_sum", "n"),
        rate("CER", "cer", "cer_sum", "n"),
        share("KER", pairing.changes(term_missed)[ALL_CATEGORIES]),
        share("SER", pairing.row_changes(lambda row: row.sentence_wrong)[ALL_CATEGORIES]),
        rate("pooled WER", "pooled_wer", "word_edits", "ref_words"),
    )
