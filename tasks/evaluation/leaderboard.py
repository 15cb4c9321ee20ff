"""The five-section leaderboard (contracts, Leaderboard), as Markdown and as JSON.

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
from tasks.evaluation.outside_terms import NAME, ErrorsOutsideTerms, errors_outside_terms
from tasks.evaluation.row_basis import ALL, CHOSE, CROSS_FITTED, HELD_OUT, TRAINED, UNTUNED
from tasks.evaluation.score_summary import intervals, spelling_as_dict
from tasks.evaluation.secondary_metrics import SecondaryMetrics, compute_secondary_metrics
from tasks.evaluation.statistics import ends
from tasks.evaluation.strict_table import ValueKind
from tasks.evaluation.value_items import StrictFault

if TYPE_CHECKING:
    from tasks.evaluation.keyword_change import KeywordErrorChange
    from tasks.evaluation.metric_changes import MetricChange
    from tasks.evaluation.scoring import Scores

NO_VALUE = "(none)"
IN_ROWS = "in rows"
"""The column that is there where rows have several terms: the rows of n terms."""
_SECTIONS = (
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
        rows: which rows, one of the labels above.
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
                **{dimension: _records(self.breakdown(dimension)) for dimension, _ in _SECTIONS},
            },
            "beyond": [
                {
                    "model": entry.model,
                    "rows": entry.rows,
                    "spelling": spelling_as_dict(entry.scores.counts),
                    **self._secondary_metrics(entry).as_dict(),
                    "outside_terms": self._outside_terms(entry).as_dict(),
                }
                for entry in self.entries
            ],
            **({BANDWIDTH: bandwidths} if (bandwidths := self._bandwidth_records()) else {}),
            "differences": [change.as_dict() for change in self.changes],
            "exposure": {change.category: change.as_dict() for change in self.exposure},
        }

    def _bandwidths(self) -> list[tuple[LeaderboardEntry, dict[str, Scores]]]:
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
            for entry, groups in self._bandwidths()
            for value, scores in groups.items()
        ]

    def _bandwidth_lines(self) -> list[str]:
        return [
            f"- {_cell(entry.model)}, {entry.rows}, {value}: KER {_figure(scores.keyword)}, "
            f"WER {_cell(scores.wer)} ({scores.n} rows)"
            for entry, groups in self._bandwidths()
            for value, scores in groups.items()
        ]

    def _secondary_metrics(self, entry: LeaderboardEntry) -> SecondaryMetrics:
        """Return an entry's secondary metrics, over the terms of all entries."""
        return compute_secondary_metrics(entry.scores, self._term_index)

    def _outside_terms(self, entry: LeaderboardEntry) -> ErrorsOutsideTerms:
        """Return an entry's word errors outside the terms of all entries."""
        return errors_outside_terms(entry.scores, self._term_index)

    def _outside_lines(self) -> list[str]:
        """Return a line for each entry whose rows were not trained on."""
        measured = [
            (entry, self._outside_terms(entry))
            for entry in self.entries
            if entry.rows in _UNSEEN and entry.scores.n
        ]
        return [
            f"- {_cell(entry.model)}, {entry.rows}: {_cell(errors.rate)} ({errors.words} words)"
            f"{_bracket(ends(errors.interval), '.3f')}"
            for entry, errors in measured
        ]

    @cached_property
    def _term_index(self) -> TermIndex:
        return index_terms(term for entry in self.entries for term in entry.scores.terms)

    def _secondary_lines(self) -> list[str]:
        """Return a line an entry with its canonical KER, false keywords and strict view."""
        metrics_by_entry = [(entry, self._secondary_metrics(entry)) for entry in self.entries]
        return [
            f"- {_cell(entry.model)}, {entry.rows}: {_canonical_ker(entry.scores)}, "
            f"FKR {_figure(metrics.false_keywords)}, "
            f"strict {_figure(metrics.strict_share())}"
            + "".join(
                f", {kind} {_figure(metrics.strict_share(kind))}"
                for kind in ValueKind
                if metrics.strict_share(kind).n
            )
            + "".join(
                f", {fault} in {metrics.faults[fault]}"
                for fault in StrictFault
                if metrics.faults[fault]
            )
            for entry, metrics in metrics_by_entry
        ]

    def as_markdown(self) -> str:
        """Return the leaderboard as Markdown."""
        parts = [f"# Leaderboard, cycle {self.cycle}", *(f"> {note}" for note in self.notes)]
        parts += ["## 1. Headline", _table(_with_intervals(self.headline()))]
        for number, (dimension, title) in enumerate(_SECTIONS, start=2):
            parts.append(f"## {number}. {title}")
            frame = self.breakdown(dimension)
            if set(frame[dimension]) <= {NO_VALUE}:
                parts.append(f"The manifest has no `{dimension}`: this breakdown cannot be made.")
            else:
                parts.append(_table(_side_by_side(frame, dimension)))
        # Lists under a heading of another level: the five sections stay five, and their tables too.
        if bandwidths := self._bandwidth_lines():
            parts += ["# By bandwidth", _BANDWIDTH, "\n".join(bandwidths)]
        if self.changes:
            parts += ["# Differences, held-out rows", "\n".join(map(_change, self.changes))]
        if self.exposure:
            parts += [
                "# By what was trained on, held-out rows",
                "\n".join(map(_exposure_line, self.exposure)),
            ]
        parts += ["# Beyond KER", _BEYOND, "\n".join(self._secondary_lines())]
        if outside := self._outside_lines():
            parts += [f"# {NAME}", _OUTSIDE, "\n".join(outside)]
        return "\n\n".join(parts) + "\n"


def _narrow_first(value: str | None) -> bool:
    return value is None


def _worst_first(shares: list[Proportion]) -> list[tuple[float, int]]:
    """Return a sort key: highest KER first, more rows before fewer, values without rows last."""
    return [(-share.rate if share.rate is not None else 1.0, -share.n) for share in shares]


def _side_by_side(frame: pd.DataFrame, dimension: str) -> pd.DataFrame:
    """Return a table with a line a value and a column an entry: "KER (n) [interval]"."""
    column = frame["rows"] + ": " + frame["model"] + " KER (n)"
    figure = [
        f"{_cell(ker)} ({n}){_bracket(ends)}"
        for ker, n, ends in zip(frame["KER"], _n(frame), frame["KER ci"], strict=True)
    ]
    long = pd.DataFrame({dimension: frame[dimension], "column": column, "figure": figure})
    wide = long.pivot_table(
        index=dimension, columns="column", values="figure", aggfunc="first", sort=False
    )
    return wide.reset_index()


def _n(frame: pd.DataFrame) -> list[str]:
    """Return the column of n, with the rows where these are fewer."""
    if IN_ROWS not in frame:
        return [str(n) for n in frame["n"]]
    counts = zip(frame["n"], frame[IN_ROWS], strict=True)
    return [str(n) if n == rows else f"{n} in {rows} rows" for n, rows in counts]


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
        **{f"{name} ci": ends(figure_intervals[_FIGURES[name]]) for name in _FIGURES},
    }


_FIGURES = {"WER": "wer", "CER": "cer", "KER": "ker", "SER": "ser", "pooled WER": "pooled_wer"}
_BEYOND = (
    "Canonical KER: a term in another spelling, such as x ray for x-ray, is not missed. FKR: rows "
    "that hold a keyword nobody said. Strict: of the rows with a number, dose, frequency, route, "
    "side or negation in either text, those in which one differs. What cannot be read counts as "
    "different."
)
WIDE = "wide"
"""Rows that no mark calls narrow."""
_BANDWIDTH = (
    "Narrow rows were recorded at 8 kHz or less. Their figures are what an endpoint for telephone "
    "calls may expect; wide rows say nothing of such calls, nor narrow ones of dictations."
)
_UNSEEN = (HELD_OUT, CROSS_FITTED)
_OUTSIDE = (
    "Pooled over the words of the same rows that belong to no term of the cycle. It falls while "
    "general English is lost, and is no guard."
)


def _with_intervals(frame: pd.DataFrame) -> pd.DataFrame:
    """Join each figure and its interval in one cell."""
    table = frame.drop(columns=[f"{name} ci" for name in _FIGURES])
    if IN_ROWS in table:
        table["n with term"] = [
            str(n) if n == rows else f"{n} ({rows} rows)"
            for n, rows in zip(table["n with term"], table[IN_ROWS], strict=True)
        ]
        table = table.drop(columns=[IN_ROWS])
    for name in _FIGURES:
        table[name] = [
            _cell(figure) + _bracket(ends)
            for figure, ends in zip(frame[name], frame[f"{name} ci"], strict=True)
        ]
    return table


def _bracket(ends: list[float] | None, form: str = ".2f") -> str:
    return "" if ends is None else f" [{ends[0]:{form}}, {ends[1]:{form}}]"


def _figure(share: Proportion) -> str:
    return f"{_cell(share.rate)} ({share.bracket}){_bracket(ends(share.interval))}"


def _canonical_ker(scores: Scores) -> str:
    by_spelling = scores.counts.missed_by_spelling
    return (
        f"canonical KER {_figure(scores.counts.canonical_keyword)} "
        f"(missed by spelling only: {by_spelling})"
    )


def _change(change: MetricChange) -> str:
    between = "" if change.interval is None else _bracket(change.interval.as_list(), "+.3f")
    by_chance = "" if change.p is None else f", p {change.p:.3g}"
    difference = "–" if change.difference is None else f"{change.difference:+.3f}"
    return (
        f"- {change.name}: {_cell(change.before)} → {_cell(change.after)} ({change.n}), "
        f"{difference}{between}{by_chance}"
    )


def _exposure_line(delta: KeywordErrorChange) -> str:
    return f"- {delta.category}: KER {_figure(delta.before)} → {_figure(delta.after)}"


def _records(frame: pd.DataFrame) -> list[dict[str, object]]:
    return [
        {
            str(name): value if isinstance(value, list) or not pd.isna(value) else None
            for name, value in record.items()
        }
        for record in frame.astype(object).to_dict(orient="records")
    ]


def _table(frame: pd.DataFrame) -> str:
    lines = [
        "| " + " | ".join(_cell(name) for name in frame.columns) + " |",
        "|" + "|".join(" --- " if name in _TEXT else " ---: " for name in frame.columns) + "|",
    ]
    lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in frame.itertuples(index=False)]
    return "\n".join(lines)


_TEXT = frozenset(("model", "rows", *(dimension for dimension, _ in _SECTIONS)))


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "–" if pd.isna(value) else f"{value:.3f}"
    if value is None:
        return "–"
    return str(value).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def baseline_entries(model: str, scores: Scores) -> tuple[LeaderboardEntry, ...]:
    """Return the entries of a cycle that no model was tuned for."""
    return (LeaderboardEntry(model, UNTUNED, scores),)


def partition_entries(model: str, scores: Scores) -> tuple[LeaderboardEntry, ...]:
    """Return a model's entries on held-out rows, on those that chose, on trained ones, and on all.

    Where no row chose, that entry is left out.
    """

    def part(partition: Partition) -> Scores:
        return scores.where(lambda row: row.row.part is partition)

    chose = part(Partition.CHOSE)
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
