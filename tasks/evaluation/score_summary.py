"""The scores of a set of rows without the rows: their intervals, and the record for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.evaluation.block_bootstrap import rate_interval
from tasks.evaluation.error_counts import COUNTED
from tasks.evaluation.statistics import ends

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tasks.evaluation.error_counts import ErrorCounts, Proportion
    from tasks.evaluation.secondary_metrics import SecondaryMetrics
    from tasks.evaluation.statistics import Interval


@dataclass(frozen=True)
class Summary:
    """The scores of a set of rows without the rows.

    Attributes:
        counts: of all rows.
        by: of each field, the counts of each of its values; None stands for rows that lack it.
        blocks: the counts of the rows that belong together, for the bootstrap.
        beyond: the figures beyond the four metrics, where they were asked for.
        changed_by_hyphens: rows that have other figures than to the letter, by the correction of
            hyphens (tasks/data/text_normalizer.py).
        format_characters: rows that hold invisible format characters, which are dropped.
        notes: what a user should know of the file.
    """

    counts: ErrorCounts
    by: dict[str, dict[str | None, ErrorCounts]]
    blocks: tuple[ErrorCounts, ...]
    beyond: SecondaryMetrics | None = None
    changed_by_hyphens: int = 0
    format_characters: int = 0
    notes: tuple[str, ...] = ()


def intervals(counts: ErrorCounts, blocks: Iterable[ErrorCounts]) -> dict[str, Interval | None]:
    """Return the 95 % interval of each figure: Wilson for shares, the block bootstrap for rates."""
    table = np.array([[getattr(block, name) for name in COUNTED] for block in blocks]).T
    column = dict(zip(COUNTED, table, strict=True)) if table.size else {}

    def rate(numerator: str, denominator: str) -> Interval | None:
        if not column:
            return None
        return rate_interval(np.array([column[numerator], column[denominator]]))

    return {
        "wer": rate("wer_sum", "n"),
        "cer": rate("cer_sum", "n"),
        "ker": counts.keyword.interval,
        "ser": counts.sentence.interval,
        "pooled_wer": rate("word_edits", "ref_words"),
    }


def summary_as_dict(summary: Summary) -> dict[str, Any]:
    """Return the record that ``asr-flywheel score --json`` prints.

    ``n_with_term`` is the number of terms that ``ker`` rests on; where rows have several, the rows
    stand beside it as ``rows_with_term``, as they do wherever there is an n of terms. ``by`` maps
    each dimension to its values, each with the number of terms and their KER. Rows that lack the
    dimension's field are under ``(none)``. ``intervals`` holds the 95 % interval of every figure,
    in the same shape; where there are no rows, null. ``spelling`` holds canonical KER, and the rows
    whose figures the correction of hyphens changes.
    """
    counts = summary.counts
    ordered = {
        dimension: sorted(counts_by_value.items(), key=lambda item: item[0] or "")
        for dimension, counts_by_value in summary.by.items()
    }
    return {
        "n": counts.n,
        "wer": counts.wer,
        "cer": counts.cer,
        "ker": counts.ker,
        "ser": counts.ser,
        "pooled_wer": counts.pooled_wer,
        "by": {
            dimension: {
                value or "(none)": {**counted_n(value_counts.keyword), "ker": value_counts.ker}
                for value, value_counts in values
            }
            for dimension, values in ordered.items()
        },
        "intervals": {
            **{
                name: ends(interval) for name, interval in intervals(counts, summary.blocks).items()
            },
            "by": {
                dimension: {
                    value or "(none)": ends(value_counts.keyword.interval)
                    for value, value_counts in values
                }
                for dimension, values in ordered.items()
            },
        },
        "spelling": {
            **spelling_as_dict(counts),
            "changed_by_hyphens": summary.changed_by_hyphens,
            "format_characters": summary.format_characters,
        },
        "n_with_term": counts.with_term,
        **({} if counts.keyword.in_rows is None else {"rows_with_term": counts.rows_with_term}),
        **({} if summary.beyond is None else summary.beyond.as_dict()),
        **({"notes": list(summary.notes)} if summary.notes else {}),
    }


def counted_n(share: Proportion) -> dict[str, int]:
    """Return a share's n for programs, and its rows where these are fewer."""
    return {"n": share.n, **({} if share.in_rows is None else {"rows_with_term": share.in_rows})}


def spelling_as_dict(counts: ErrorCounts) -> dict[str, object]:
    """Return canonical KER for programs, and how many terms were missed by spelling only."""
    keyword = counts.canonical_keyword
    return {
        **counted_n(keyword),
        "canonical_ker": keyword.rate,
        "ci": ends(keyword.interval),
        "missed_by_spelling_only": counts.missed_by_spelling,
    }
