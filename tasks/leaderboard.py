"""The five-section leaderboard (contracts, Leaderboard), as Markdown and as JSON.

1 headline, 2 KER by entity_category, 3 KER by ipa_source, 4 KER by noise_level, 5 KER by term,
worst first. Every figure stands with its n. Held-out rows come first; trained rows are always
labelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from tasks.hypotheses import Part
from tasks.scoring import Share

if TYPE_CHECKING:
    from tasks.scoring import Scores

HELD_OUT = "held-out"
TRAINED = "trained on"
ALL = "all, trained on included"
UNTUNED = "all"
NO_VALUE = "(none)"
_SECTIONS = (
    ("entity_category", "KER by entity category"),
    ("ipa_source", "KER by pronunciation source (ipa_source)"),
    ("noise_level", "KER by noise level"),
    ("term", "KER by term, worst first"),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One model on one set of rows.

    Attributes:
        model: the model's name, with its decoder where that is another one.
        rows: which rows, one of the labels above.
        scores: the scores on them.
    """

    model: str
    rows: str
    scores: Scores


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """The leaderboard of a cycle; the first entry is the one that terms are ordered by."""

    cycle: int
    entries: tuple[Entry, ...]
    notes: tuple[str, ...] = ()

    def headline(self) -> pd.DataFrame:
        """Section 1: a line an entry."""
        return pd.DataFrame(
            [
                {
                    "model": entry.model,
                    "rows": entry.rows,
                    "n": entry.scores.n,
                    "WER": entry.scores.wer,
                    "CER": entry.scores.cer,
                    "KER": entry.scores.ker,
                    "n with term": entry.scores.keyword.n,
                    "SER": entry.scores.ser,
                    "pooled WER": entry.scores.pooled_wer,
                }
                for entry in self.entries
            ]
        )

    def breakdown(self, dimension: str) -> pd.DataFrame:
        """KER by the values of a field: a line for each value, entry and its number of rows.

        Columns: the field, model, rows, n, KER. Terms stand worst first by the first entry, then
        by the others; other values by name. Rows that lack the field are under "(none)".
        """
        # Where a model's held-out and trained rows stand apart, their sum is for the headline only.
        parted = {entry.model for entry in self.entries if entry.rows == TRAINED}
        entries = [e for e in self.entries if e.rows != ALL or e.model not in parted]
        groups = [entry.scores.by(dimension) for entry in entries]
        shares = {
            value: [group[value].keyword if value in group else Share(0, 0) for group in groups]
            for value in {value for group in groups for value in group}
        }
        order = sorted(
            (value for value in shares if any(share.n for share in shares[value])),
            key=lambda value: (
                _worst_first(shares[value]) if dimension == "term" else [],
                value or "",
            ),
        )
        return pd.DataFrame(
            [
                {
                    dimension: value or NO_VALUE,
                    "model": entry.model,
                    "rows": entry.rows,
                    "n": share.n,
                    "KER": share.rate,
                }
                for value in order
                for entry, share in zip(entries, shares[value], strict=True)
            ],
            columns=[dimension, "model", "rows", "n", "KER"],
        )

    def as_dict(self) -> dict[str, object]:
        """The same content for programs; a figure without rows is null."""
        return {
            "cycle": self.cycle,
            "notes": list(self.notes),
            "sections": {
                "headline": _records(self.headline()),
                **{dimension: _records(self.breakdown(dimension)) for dimension, _ in _SECTIONS},
            },
        }

    def as_markdown(self) -> str:
        """The leaderboard as people read it."""
        parts = [f"# Leaderboard, cycle {self.cycle}", *(f"> {note}" for note in self.notes)]
        parts += ["## 1. Headline", _table(self.headline())]
        for number, (dimension, title) in enumerate(_SECTIONS, start=2):
            parts.append(f"## {number}. {title}")
            frame = self.breakdown(dimension)
            if set(frame[dimension]) <= {NO_VALUE}:
                parts.append(f"The manifest has no `{dimension}`: this breakdown cannot be made.")
            else:
                parts.append(_table(_side_by_side(frame, dimension)))
        return "\n\n".join(parts) + "\n"


def _worst_first(shares: list[Share]) -> list[tuple[float, int]]:
    """Sorts the highest KER first, more rows before fewer, and what has no rows last."""
    return [(-share.rate if share.rate is not None else 1.0, -share.n) for share in shares]


def _side_by_side(frame: pd.DataFrame, dimension: str) -> pd.DataFrame:
    """One line a value, one column an entry: "KER (n)"."""
    column = frame["rows"] + ": " + frame["model"] + " KER (n)"
    figure = [f"{_cell(ker)} ({n})" for ker, n in zip(frame["KER"], frame["n"], strict=True)]
    long = pd.DataFrame({dimension: frame[dimension], "column": column, "figure": figure})
    wide = long.pivot_table(
        index=dimension, columns="column", values="figure", aggfunc="first", sort=False
    )
    return wide.reset_index()


def _records(frame: pd.DataFrame) -> list[dict[str, object]]:
    return [
        {str(name): None if pd.isna(value) else value for name, value in record.items()}
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


def baseline_entries(model: str, scores: Scores) -> tuple[Entry, ...]:
    """The entries of a cycle that no model was tuned for."""
    return (Entry(model, UNTUNED, scores),)


def parted(model: str, scores: Scores) -> tuple[Entry, ...]:
    """A model on held-out rows, on trained rows, and on all."""

    def part(wanted: Part) -> Scores:
        return scores.where(lambda row: row.row.part is wanted)

    return (
        Entry(model, HELD_OUT, part(Part.HELD_OUT)),
        Entry(model, TRAINED, part(Part.TRAINED)),
        Entry(model, ALL, scores),
    )


def tuned_entries(base: str, before: Scores, tuned: str, after: Scores) -> tuple[Entry, ...]:
    """Base and tuned model on held-out rows, then on trained rows, then on all."""
    pairs = zip(parted(tuned, after), parted(base, before), strict=True)
    return tuple(entry for pair in pairs for entry in pair)
