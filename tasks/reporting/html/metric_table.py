"""The metrics of both models on one set of rows, each with its 95 % interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.evaluation.outside_terms import errors_outside_terms
from tasks.evaluation.score_summary import intervals
from tasks.evaluation.secondary_metrics import compute_secondary_metrics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tasks.evaluation.diff import PairedScores
    from tasks.evaluation.false_keywords import TermIndex
    from tasks.evaluation.scoring import Scores
    from tasks.evaluation.statistics import Interval

_MEASURES = (
    ("WER", "word error rate, mean of rows", "wer"),
    ("CER", "character error rate, mean of rows", "cer"),
    ("KER", "rows whose clinical term was missed", "ker"),
    ("SER", "rows with any error", "ser"),
    ("pooled WER", "all word errors over all words", "pooled_wer"),
)


@dataclass(frozen=True, slots=True)
class Figure:
    """A rate and its interval, as people read them."""

    value: str
    between: str

    @classmethod
    def of(cls, value: float | None, interval: Interval | None) -> Figure:
        """Format a value; a dash if there are no rows."""
        return cls(
            "–" if value is None else f"{100 * value:.1f} %",
            "" if interval is None else f"{100 * interval.low:.1f} to {100 * interval.high:.1f}",
        )


@dataclass(frozen=True, slots=True)
class MetricLine:
    """One metric of base and tuned model."""

    name: str
    what: str
    before: Figure
    after: Figure


def metric_lines(pairing: PairedScores, term_index: TermIndex) -> Iterable[MetricLine]:
    """Yield the lines of the four metrics, of pooled WER, and of what lies beyond KER."""
    if not pairing.pairs:
        return
    models = pairing.before, pairing.after
    measured = [_measure(scores) for scores in models]
    keyword = models[1].keyword
    several = f"clinical terms that were missed, of {keyword.unit}"
    for name, meaning, key in _MEASURES:
        told = several if key == "ker" and keyword.in_rows is not None else meaning
        yield MetricLine(name, told, *(figures[key] for figures in measured))
    canonical = [scores.counts.canonical_keyword for scores in models]
    by_spelling = " → ".join(str(scores.counts.missed_by_spelling) for scores in models)
    yield MetricLine(
        "canonical KER",
        f"KER with every spelling of a term found; missed by spelling only: {by_spelling}",
        *(Figure.of(share.rate, share.interval) for share in canonical),
    )
    beyond = [compute_secondary_metrics(scores, term_index) for scores in models]
    for name, meaning, shares in (
        (
            "FKR",
            "rows with a keyword that nobody said",
            [metrics.false_keywords for metrics in beyond],
        ),
        (
            "strict",
            "rows with a wrong number, dose, unit, route, side or negation, of those that have one",
            [metrics.strict_share() for metrics in beyond],
        ),
    ):
        yield MetricLine(
            name, meaning, *(Figure.of(share.rate, share.interval) for share in shares)
        )
    yield MetricLine(
        "WER outside the terms",
        "in-domain harm: pooled, without the words of the cycle's terms; no guard",
        *(
            Figure.of(errors.rate, errors.interval)
            for errors in (errors_outside_terms(scores, term_index) for scores in models)
        ),
    )


def _measure(scores: Scores) -> dict[str, Figure]:
    between = intervals(scores.counts, scores.blocks)
    return {key: Figure.of(getattr(scores, key), between[key]) for _, _, key in _MEASURES}
