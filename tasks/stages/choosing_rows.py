"""The rows that choose a mixture: selection rows with a term, and a share of general English."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.data.row_terms import write_terms
from tasks.decision import mixture_choice

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tasks.data.preflight import CheckedRow
    from tasks.data.split_parts import Split
    from tasks.data.training_set import TrainingSet
    from tasks.decision.guardrail import GuardrailPolicy

LEADS = (0, 360, 680, 1000)
"""Samples of silence before a recording in each of its unheard variants: up to 62 ms at 16 kHz.

No two of them fall alike on the frames of 10 ms, nor on those of 80 ms that most encoders leave."""


@dataclass(frozen=True, slots=True)
class ChoosingRows:
    """What a choice looks at.

    Attributes:
        selection: rows of selection.jsonl of the priority categories, with a term.
        general: the choosing share of general English.
        priority: the categories that the decision looks at.
        policy: the guardrail's limit.
        roots: the folders that hold all audio.
    """

    selection: tuple[CheckedRow, ...]
    general: tuple[CheckedRow, ...]
    priority: tuple[str, ...]
    policy: GuardrailPolicy
    roots: tuple[Path, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Selection rows by category; each priority category is named."""
        return count_rows(self.selection, self.priority)

    @property
    def enough(self) -> bool:
        """Whether these rows may choose."""
        return mixture_choice.enough_rows(self.counts, self.priority)

    def content(self) -> list[Any]:
        """Return what the choice depends on, for its fingerprint."""
        return [
            sorted((row.audio_sha256, row.utterance.text, _terms_of(row)) for row in rows)
            for rows in (self.selection, self.general)
        ]


def gather_choosing_rows(
    rows: Sequence[CheckedRow],
    data: TrainingSet,
    general: Sequence[CheckedRow],
    priority: Sequence[str],
    policy: GuardrailPolicy,
    roots: tuple[Path, ...],
) -> ChoosingRows:
    """Return the rows that choose: of the priority categories, with a term, in selection.jsonl."""
    return ChoosingRows(
        selection_rows(rows, data.split, priority),
        tuple(general),
        tuple(priority),
        policy,
        roots,
    )


def selection_rows(
    rows: Iterable[CheckedRow], split: Split, priority: Sequence[str]
) -> tuple[CheckedRow, ...]:
    """Return the rows of selection.jsonl that have a term of a priority category."""
    return tuple(
        row for row in rows if row.utterance.row in split.chooses and _counted(row, priority)
    )


def count_rows(rows: Iterable[CheckedRow], priority: Sequence[str]) -> dict[str, int]:
    """Count the rows with a term of each priority category; each of these is named."""
    found = Counter(name for row in rows for name in _counted(row, priority))
    return {category: found[category] for category in priority}


def _counted(row: CheckedRow, priority: Sequence[str]) -> set[str]:
    """Return the priority categories of which a row has a term."""
    categories = {item.entity_category for item in row.utterance.flagged}
    return {category for category in categories if category is not None and category in priority}


def _terms_of(row: CheckedRow) -> str | None:
    """Return what a row's terms are, for a fingerprint."""
    return write_terms(row.utterance.terms) if row.utterance.terms else row.utterance.term
