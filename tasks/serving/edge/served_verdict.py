"""What is served, judged like what was measured: figures with intervals, and paired tests.

The arms are evaluations of the same rows: base and tuned model by NeMo and as bundles. The rows
that judge are the run's: held out, or all where none is marked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.common.counted import counted
from tasks.decision.significance import p_of_harm, shown_to_rise
from tasks.evaluation import diff, statistics
from tasks.evaluation.block_bootstrap import by_block, rate_interval
from tasks.evaluation.error_counts import Proportion
from tasks.evaluation.false_keywords import FalseKeywordFinder, index_terms
from tasks.evaluation.keyword_change import ALL_CATEGORIES
from tasks.evaluation.outside_terms import errors_outside_terms
from tasks.evaluation.scoring import Scores, score

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tasks.evaluation.false_keywords import TermIndex
    from tasks.evaluation.hypotheses import Hypothesis
    from tasks.evaluation.keyword_change import KeywordErrorChange
    from tasks.evaluation.statistics import Interval


@dataclass(frozen=True, slots=True)
class ServedArm:
    """One evaluation's figures on the rows that judge.

    Attributes:
        name: of the arm.
        keyword: occurrences of terms that were missed, by category, and of all.
        wer: mean word error rate, with its interval.
        outside: WER outside the terms (U-WER), with its interval.
        false_rows: rows with a term that nobody said, of all.
        n: rows.
    """

    name: str
    keyword: Mapping[str, Proportion]
    wer: tuple[float | None, Interval | None]
    outside: tuple[float | None, Interval | None]
    false_rows: Proportion
    n: int

    def as_dict(self) -> dict[str, Any]:
        """Return the arm as the report holds it."""
        return {
            "arm": self.name,
            "n": self.n,
            "ker": {name: _share(one) for name, one in self.keyword.items()},
            "wer": _rate(*self.wer),
            "u_wer": _rate(*self.outside),
            "false_keyword_rows": _share(self.false_rows),
        }


@dataclass(frozen=True, slots=True)
class ServedComparison:
    """Two arms on the same rows, with the project's paired tests.

    Attributes:
        before: name of the one.
        after: name of the other.
        n: rows.
        terms: the change of KER by category, and of all.
        false_rows: the change of rows with a false keyword.
    """

    before: str
    after: str
    n: int
    terms: Mapping[str, KeywordErrorChange]
    false_rows: KeywordErrorChange | None

    def sentence(self) -> str:
        """Say what the second arm costs, or that it costs nothing that these rows can show."""
        p_values = {name: p_of_harm(one) for name, one in self.terms.items()}
        of_all = {name: p for name, p in p_values.items() if name == ALL_CATEGORIES}
        # Several categories are several chances; all terms together are asked about once.
        of_each = {name: p for name, p in p_values.items() if name not in of_all}
        adjusted = {**statistics.holm(of_each), **of_all}
        lost = [name for name, one in self.terms.items() if shown_to_rise(one, adjusted[name])]
        named = [name for name in lost if name != ALL_CATEGORIES]
        if lost:
            told = "; ".join(_tell(name, self.terms[name]) for name in named or lost)
            what = ", ".join(_plural(name) for name in named) or "terms"
            return f"{self.after} loses {what} against {self.before}: {told}."
        false_rows = self.false_rows
        if false_rows is not None and shown_to_rise(false_rows):
            told = _tell("rows with a false keyword", false_rows)
            return f"{self.after} writes more terms that nobody said than {self.before}: {told}."
        whole = self.terms.get(ALL_CATEGORIES)
        if whole is None or not whole.n:
            return f"{self.after} against {self.before}: no row has a term to compare."
        gained = whole.p is not None and whole.fell and whole.p < _ALPHA
        effect = (
            "finds more terms"
            if gained
            else f"costs nothing that {counted(self.n, 'row')} can show"
        )
        return f"{self.after} {effect} against {self.before}: {_tell('all terms', whole)}."

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison as the report holds it."""
        return {
            "before": self.before,
            "after": self.after,
            "n": self.n,
            "terms": {name: one.as_dict() for name, one in self.terms.items()},
            "false_keyword_rows": None if self.false_rows is None else self.false_rows.as_dict(),
            "sentence": self.sentence(),
        }


@dataclass(frozen=True, slots=True)
class ServedVerdict:
    """All arms and the comparisons between them."""

    arms: tuple[ServedArm, ...]
    comparisons: tuple[ServedComparison, ...]
    rows: str

    @property
    def sentences(self) -> tuple[str, ...]:
        """One for each comparison."""
        return tuple(one.sentence() for one in self.comparisons)

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict for programs."""
        return {
            "rows": self.rows,
            "arms": [arm.as_dict() for arm in self.arms],
            "comparisons": [one.as_dict() for one in self.comparisons],
        }

    def as_markdown(self) -> str:
        """Return the verdict as a section of the report."""
        categories = list(dict.fromkeys(name for arm in self.arms for name in arm.keyword))
        head = [
            "served",
            "n",
            *(f"KER {name}" for name in categories),
            "WER",
            "U-WER",
            "rows with a false keyword",
        ]
        lines = [
            [
                arm.name,
                str(arm.n),
                *(_show_share(arm.keyword.get(name)) for name in categories),
                _show(*arm.wer),
                _show(*arm.outside),
                f"{arm.false_rows.hits:g} of {arm.false_rows.n}",
            ]
            for arm in self.arms
        ]
        table = "\n".join(
            "| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *lines)
        )
        told = "\n".join(f"- {sentence}" for sentence in self.sentences)
        return f"## What is served, on {self.rows} rows\n\n{table}\n\n{told}"


_ALPHA = 0.05


def judge(
    arms: Mapping[str, Sequence[Hypothesis]], comparisons: Iterable[tuple[str, str]]
) -> ServedVerdict:
    """Judge evaluations of the same rows.

    Args:
        arms: rows by name; those of the first arm are marked as held out or trained on.
        comparisons: pairs of names, before and after.

    Raises:
        InputError: two arms of a comparison have no row in common.
    """
    index = index_terms(item.term for rows in arms.values() for row in rows for item in row.flagged)
    scored = {name: score(row for row in rows if row.judges) for name, rows in arms.items()}
    marked = any(row.part is not None for rows in arms.values() for row in rows)
    return ServedVerdict(
        tuple(_arm(name, scores, index) for name, scores in scored.items()),
        tuple(_compare(name, other, scored, index) for name, other in comparisons),
        "held-out" if marked else "all",
    )


def _arm(name: str, scores: Scores, index: TermIndex) -> ServedArm:
    blocks = scores.blocks
    wer = rate_interval(
        by_block(range(len(blocks)), [one.wer_sum for one in blocks], [one.n for one in blocks])
    )
    outside = errors_outside_terms(scores, index)
    holds_one = FalseKeywordFinder(index)
    false = [bool(holds_one(row)) for row in scores.rows]
    by_category = scores.by("entity_category")
    keyword = {str(category): one.keyword for category, one in by_category.items() if one.keyword.n}
    return ServedArm(
        name,
        {ALL_CATEGORIES: scores.keyword, **dict(sorted(keyword.items()))},
        (scores.wer, wer),
        (outside.rate, outside.interval),
        Proportion(sum(false), len(false)),
        len(scores.rows),
    )


def _compare(
    before: str, after: str, scored: Mapping[str, Scores], index: TermIndex
) -> ServedComparison:
    pairing = diff.pair(scored[before], scored[after])
    false = pairing.row_changes(FalseKeywordFinder(index))
    return ServedComparison(
        before, after, len(pairing.pairs), pairing.by_category, false.get(ALL_CATEGORIES)
    )


def _tell(name: str, change: KeywordErrorChange) -> str:
    interval = change.interval
    ends = "" if interval is None else f", 95% of {interval.low:+.3f} to {interval.high:+.3f}"
    p = "–" if change.p is None else f"{change.p:.3g}"
    return (
        f"{name} {_number(change.before.rate)} → {_number(change.after.rate)}, {change.fixed} "
        f"fixed, {change.broken} broken, mid-p {p}{ends}"
    )


def _plural(category: str) -> str:
    return category if category.endswith("s") else f"{category}s"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _show(rate: float | None, interval: Interval | None) -> str:
    ends = "" if interval is None else f" ({interval.low:.3f} to {interval.high:.3f})"
    return f"{_number(rate)}{ends}"


def _show_share(share: Proportion | None) -> str:
    return "–" if share is None else _show(share.rate, share.interval)


def _rate(rate: float | None, interval: Interval | None) -> dict[str, Any]:
    return {"rate": rate, "ci": statistics.ends(interval)}


def _share(share: Proportion) -> dict[str, Any]:
    return {**_rate(share.rate, share.interval), "hits": share.hits, "n": share.n}
