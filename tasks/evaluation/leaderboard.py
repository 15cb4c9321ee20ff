"""The five-section leaderboard (contracts, Leaderboard): its figures, and their record as JSON.

1 headline, 2 KER by entity_category, 3 KER by ipa_source, 4 KER by noise_level, 5 KER by term,
worst first. Every figure stands with its n and its 95 % interval: Wilson's for KER and SER, the
bootstrap over terms for WER and CER. Held-out rows come first; trained rows are always labelled.
What KER does not see (tasks/evaluation/secondary_metrics.py) and the differences with their
intervals follow under their own names.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import pandas as pd

from tasks.data.manifest import BANDWIDTH, NARROW
from tasks.evaluation.error_counts import Proportion
from tasks.evaluation.false_keywords import TermIndex, index_terms
from tasks.evaluation.hypotheses import Partition
from tasks.evaluation.outside_terms import ErrorsOutsideTerms, errors_outside_terms
from tasks.evaluation.row_basis import ALL, CHOSE, HELD_OUT, TRAINED, UNTUNED
from tasks.evaluation.score_summary import intervals, spelling_as_dict
from tasks.evaluation.secondary_metrics import SecondaryMetrics, compute_secondary_metrics
from tasks.evaluation.statistics import ends

if TYPE_CHECKING:
    from tasks.evaluation.keyword_change import KeywordErrorChange
    from tasks.evaluation.metric_changes import MetricChange
    from tasks.evaluation.scoring import Scores

NO_VALUE = "(none)"
IN_ROWS = "in rows"
"""The column that is there where rows have several terms: the rows of n terms."""
WIDE = "wide"
"""Rows that no mark calls narrow."""
FIGURES = {"WER": "wer", "CER": "cer", "KER": "ker", "SER": "ser", "pooled WER": "pooled_wer"}
"""The headline's figures, with their names in ``ErrorCounts``."""
SECTIONS = (
    ("entity_category", "KER by entity category"),
    ("ipa_source", "KER by pronunciation source (ipa_source)"),
    ("noise_level", "KER by noise level"),
    ("term", "KER by term, worst first"),
)


@dataclass(frozen=True, slots=True)
class LeaderboardEntry:
    """One model on one set of rows.

    Attributes:
        model: the model's name, with its decoder where that is another one.
        rows: which rows, one of the labels of tasks/evaluation/row_basis.py.
        scores: the scores on them.
    """

    model: str
    rows: str
    scores: Scores


@dataclass(frozen=True)
class Leaderboard:
    """The leaderboard of a cycle.

    Attributes:
        cycle: its number.
        entries: models on sets of rows; terms are ordered by the first.
        notes: what a reader must know first.
        changes: what differs between base and tuned model on the held-out rows.
        exposure: KER on those rows by whether their term or voice was trained on.
    """

    cycle: int
    entries: tuple[LeaderboardEntry, ...]
    notes: tuple[str, ...] = ()
    changes: tuple[MetricChange, ...] = ()
    exposure: tuple[KeywordErrorChange, ...] = ()

    def headline(self) -> pd.DataFrame:
        """Return section 1: a line an entry, with a column for each figure's interval."""
        several = any(entry.scores.keyword.in_rows is not None for entry in self.entries)
        return pd.DataFrame([_headline(entry, several=several) for entry in self.entries])

    def breakdown(self, dimension: str) -> pd.DataFrame:
        """Return KER by a field's values: a line for each value and entry, with its row count.

        Columns: the field, model, rows, n, KER, KER ci. Terms stand worst first by the first entry,
        then by the others; other values by name. Rows that lack the field are under "(none)". Where
        rows have several terms, n counts these, and "in rows" the rows.
        """
        # Where a model's held-out and trained rows stand apart, their sum is for the headline only.
        divided_models = {entry.model for entry in self.entries if entry.rows == TRAINED}
        entries = [e for e in self.entries if e.rows != ALL or e.model not in divided_models]
        groups = [entry.scores.by(dimension) for entry in entries]
        shares = {
            value: [
                group[value].keyword if value in group else Proportion(0, 0) for group in groups
            ]
            for value in {value for group in groups for value in group}
        }
        order = sorted(
            (value for value in shares if any(share.n for share in shares[value])),
            key=lambda value: (
                _worst_first(shares[value]) if dimension == "term" else [],
                value or "",
            ),
        )
        several = any(share.in_rows is not None for row in shares.values() for share in row)
        return pd.DataFrame(
            [
                {
                    dimension: value or NO_VALUE,
                    "model": entry.model,
                    "rows": entry.rows,
                    "n": share.n,
                    **({IN_ROWS: share.rows} if several else {}),
                    "KER": share.rate,
                    "KER ci": ends(share.interval),
                }
                for value in order
                for entry, share in zip(entries, shares[value], strict=True)
            ],
            columns=[
                *(dimension, "model", "rows", "n"),
                *((IN_ROWS,) if several else ()),
                *("KER", "KER ci"),
            ],
        )

    def as_dict(self) -> dict[str, object]:
        """Return the same content for programs; a figure without rows is null."""
        return {
            "cycle": self.cycle,
            "notes": list(self.notes),
            "sections": {
                "headline": _records(self.headline()),
                **{dimension: _records(self.breakdown(dimension)) for dimension, _ in SECTIONS},
            },
            "beyond": [
                {
                    "model": entry.model,
                    "rows": entry.rows,
                    "spelling": spelling_as_dict(entry.scores.counts),
                    **self.secondary_metrics(entry).as_dict(),
                    "outside_terms": self.outside_terms(entry).as_dict(),
                }
                for entry in self.entries
            ],
            **({BANDWIDTH: bandwidths} if (bandwidths := self._bandwidth_records()) else {}),
            "differences": [change.as_dict() for change in self.changes],
            "exposure": {change.category: change.as_dict() for change in self.exposure},
        }

    def bandwidths(self) -> list[tuple[LeaderboardEntry, dict[str, Scores]]]:
        """Return narrow and wide rows of each entry that has rows marked as narrow."""
        divided = [(entry, entry.scores.by("bandwidth")) for entry in self.entries]
        return [
            (entry, {value or WIDE: groups[value] for value in sorted(groups, key=_narrow_first)})
            for entry, groups in divided
            if NARROW in groups
        ]

    def _bandwidth_records(self) -> list[dict[str, object]]:
        return [
            {
                "model": entry.model,
                "rows": entry.rows,
                BANDWIDTH: value,
                "rows_n": scores.n,
                "n": scores.keyword.n,
                "KER": scores.ker,
                "KER ci": ends(scores.keyword.interval),
                "WER": scores.wer,
            }
            for entry, groups in self.bandwidths()
            for value, scores in groups.items()
        ]

    def secondary_metrics(self, entry: LeaderboardEntry) -> SecondaryMetrics:
        """Return an entry's secondary metrics, over the terms of all entries."""
        return compute_secondary_metrics(entry.scores, self._term_index)

    def outside_terms(self, entry: LeaderboardEntry) -> ErrorsOutsideTerms:
        """Return an entry's word errors outside the terms of all entries."""
        return errors_outside_terms(entry.scores, self._term_index)

    @cached_property
    def _term_index(self) -> TermIndex:
        return index_terms(term for entry in self.entries for term in entry.scores.terms)


def _narrow_first(value: str | None) -> bool:
    return value is None


def _worst_first(shares: list[Proportion]) -> list[tuple[float, int]]:
    """Return a sort key: highest KER first, more rows before fewer, values without rows last."""
    return [(-share.rate if share.rate is not None else 1.0, -share.n) for share in shares]


def _headline(entry: LeaderboardEntry, *, several: bool) -> dict[str, object]:
    scores = entry.scores
    figure_intervals = intervals(scores.counts, scores.blocks)
    figures = {
        "model": entry.model,
        "rows": entry.rows,
        "n": scores.n,
        "WER": scores.wer,
        "CER": scores.cer,
        "KER": scores.ker,
        "n with term": scores.keyword.n,
        **({IN_ROWS: scores.keyword.rows} if several else {}),
        "SER": scores.ser,
        "pooled WER": scores.pooled_wer,
    }
    return {
        **figures,
        **{f"{name} ci": ends(figure_intervals[FIGURES[name]]) for name in FIGURES},
    }


def _records(frame: pd.DataFrame) -> list[dict[str, object]]:
    return [
        {
            str(name): value if isinstance(value, list) or not pd.isna(value) else None
            for name, value in record.items()
        }
        for record in frame.astype(object).to_dict(orient="records")
    ]


def baseline_entries(model: str, scores: Scores) -> tuple[LeaderboardEntry, ...]:
    """Return the entries of a cycle that no model was tuned for."""
    return (LeaderboardEntry(model, UNTUNED, scores),)


def partition_entries(model: str, scores: Scores) -> tuple[LeaderboardEntry, ...]:
    """Return a model's entries on held-out, selection and trained rows, and on all.

    Where there is no selection row, that entry is left out.
    """

    def part(*partitions: Partition) -> Scores:
        return scores.where(lambda row: row.row.part in partitions)

    chose = part(Partition.CHOSE, Partition.CHOSE_NOTHING)
    return (
        LeaderboardEntry(model, HELD_OUT, part(Partition.HELD_OUT)),
        *((LeaderboardEntry(model, CHOSE, chose),) if chose.n else ()),
        LeaderboardEntry(model, TRAINED, part(Partition.TRAINED)),
        LeaderboardEntry(model, ALL, scores),
    )


def tuned_entries(
    base: str, before: Scores, tuned: str, after: Scores
) -> tuple[LeaderboardEntry, ...]:
    """Return base and tuned model on held-out rows, then on each other part, then on all."""
    pairs = zip(partition_entries(tuned, after), partition_entries(base, before), strict=True)
    return tuple(entry for pair in pairs for entry in pair)
