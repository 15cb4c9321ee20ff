"""The leaderboard as Markdown: five sections with a table each, then lists under other headings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from tasks.common.counted import counted
from tasks.evaluation.leaderboard import FIGURES, IN_ROWS, NO_VALUE, SECTIONS
from tasks.evaluation.outside_terms import NAME
from tasks.evaluation.row_basis import CROSS_FITTED, HELD_OUT
from tasks.evaluation.statistics import ends
from tasks.evaluation.strict_table import ValueKind
from tasks.evaluation.value_items import StrictFault

if TYPE_CHECKING:
    from tasks.evaluation.error_counts import Proportion
    from tasks.evaluation.keyword_change import KeywordErrorChange
    from tasks.evaluation.leaderboard import Leaderboard
    from tasks.evaluation.metric_changes import MetricChange
    from tasks.evaluation.scoring import Scores

_BEYOND = (
    "Canonical KER: a term in another spelling, such as x ray for x-ray, is not missed. FKR: rows "
    "that hold a keyword nobody said. Strict: of the rows with a number, dose, frequency, route, "
    "side or negation in either text, those in which one differs. What cannot be read counts as "
    "different."
)
_BANDWIDTH = (
    "Narrow rows were recorded at 8 kHz or less. Their figures are what an endpoint for telephone "
    "calls may expect; wide rows say nothing of such calls, nor narrow ones of dictations."
)
_UNSEEN = (HELD_OUT, CROSS_FITTED)
_OUTSIDE = (
    "Pooled over the words of the same rows that belong to no term of the cycle. It falls while "
    "general English is lost, and is no guard."
)
_TEXT = frozenset(("model", "rows", *(dimension for dimension, _ in SECTIONS)))


def leaderboard_as_markdown(board: Leaderboard) -> str:
    """Return the leaderboard as Markdown."""
    parts = [f"# Leaderboard, cycle {board.cycle}", *(f"> {note}" for note in board.notes)]
    parts += ["## 1. Headline", _table(_with_intervals(board.headline()))]
    for number, (dimension, title) in enumerate(SECTIONS, start=2):
        parts.append(f"## {number}. {title}")
        frame = board.breakdown(dimension)
        if set(frame[dimension]) <= {NO_VALUE}:
            parts.append(f"The manifest has no `{dimension}`: this breakdown cannot be made.")
        else:
            parts.append(_table(_side_by_side(frame, dimension)))
    # Lists under a heading of another level: the five sections stay five, and their tables too.
    if bandwidths := _bandwidth_lines(board):
        parts += ["# By bandwidth", _BANDWIDTH, "\n".join(bandwidths)]
    if board.changes:
        parts += ["# Differences, held-out rows", "\n".join(map(_change, board.changes))]
    if board.exposure:
        parts += [
            "# By what was trained on, held-out rows",
            "\n".join(map(_exposure_line, board.exposure)),
        ]
    parts += ["# Beyond KER", _BEYOND, "\n".join(_secondary_lines(board))]
    if outside := _outside_lines(board):
        parts += [f"# {NAME}", _OUTSIDE, "\n".join(outside)]
    return "\n\n".join(parts) + "\n"


def _bandwidth_lines(board: Leaderboard) -> list[str]:
    return [
        f"- {_cell(entry.model)}, {entry.rows}, {value}: KER {_figure(scores.keyword)}, "
        f"WER {_cell(scores.wer)} ({counted(scores.n, 'row')})"
        for entry, groups in board.bandwidths()
        for value, scores in groups.items()
    ]


def _outside_lines(board: Leaderboard) -> list[str]:
    """Return a line for each entry whose rows were not trained on."""
    measured = [
        (entry, board.outside_terms(entry))
        for entry in board.entries
        if entry.rows in _UNSEEN and entry.scores.n
    ]
    return [
        f"- {_cell(entry.model)}, {entry.rows}: {_cell(errors.rate)} "
        f"({counted(errors.words, 'word')}){_bracket(ends(errors.interval), '.3f')}"
        for entry, errors in measured
    ]


def _secondary_lines(board: Leaderboard) -> list[str]:
    """Return a line an entry with its canonical KER, false keywords and strict view."""
    metrics_by_entry = [(entry, board.secondary_metrics(entry)) for entry in board.entries]
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
    return [str(n) if n == rows else f"{n} in {counted(rows, 'row')}" for n, rows in counts]


def _with_intervals(frame: pd.DataFrame) -> pd.DataFrame:
    """Join each figure and its interval in one cell."""
    table = frame.drop(columns=[f"{name} ci" for name in FIGURES])
    if IN_ROWS in table:
        table["n with term"] = [
            str(n) if n == rows else f"{n} ({counted(rows, 'row')})"
            for n, rows in zip(table["n with term"], table[IN_ROWS], strict=True)
        ]
        table = table.drop(columns=[IN_ROWS])
    for name in FIGURES:
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


def _table(frame: pd.DataFrame) -> str:
    lines = [
        "| " + " | ".join(_cell(name) for name in frame.columns) + " |",
        "|" + "|".join(" --- " if name in _TEXT else " ---: " for name in frame.columns) + "|",
    ]
    lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in frame.itertuples(index=False)]
    return "\n".join(lines)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "–" if pd.isna(value) else f"{value:.3f}"
    if value is None:
        return "–"
    return str(value).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
