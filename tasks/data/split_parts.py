"""The parts of a split: which rows are trained on, which choose, and which judge."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from tasks.data.row_groups import SplitRow


class Disjointness(StrEnum):
    """What stands on one side of a split only, besides the recording: the field that names it."""

    ROW = "row"
    VOICE = "voice_id"
    CONVERSATION = "conversation_id"

    @property
    def noun(self) -> str:
        """What the field names."""
        return {"voice_id": "voice", "conversation_id": "conversation"}.get(self, "recording")

    def names(self, *, by_term: bool) -> str:
        """Return the fields that a split was disjoint by."""
        return f"{self} and term" if by_term else str(self)

    def summary(self, *, by_term: bool) -> str:
        """Return what a split was disjoint by, as leaderboard and report say it."""
        if self is Disjointness.ROW and not by_term:
            return (
                "row-disjoint: no row's sound is on two sides, but another part of its recording, "
                "a voice or a term may be"
            )
        apart = "no row's sound" if self is Disjointness.ROW else f"no {self.noun}"
        apart += " and no term" if by_term else ""
        may_be = ", but a voice may be" if self is Disjointness.ROW else ""
        return f"disjoint by {self.names(by_term=by_term)}: {apart} is on two sides{may_be}"


@dataclass(frozen=True)
class Split:
    """The row numbers of each part, in the manifest's order, and warnings for the user.

    Attributes:
        train: rows that are trained on.
        validation: rows that judge; neither training nor any choice looks at them.
        warnings: what a user should know.
        selection: rows that choose (checkpoint, mixture) and are not trained on; empty where the
            rows that judge choose as well, as the specification has it.
        disjoint: what stands on one side only.
        by_term: whether terms do, too.
        selection_chose: False where the selection rows were too few, and chose nothing.
    """

    train: tuple[int, ...]
    validation: tuple[int, ...]
    warnings: tuple[str, ...]
    selection: tuple[int, ...] = ()
    disjoint: Disjointness = Disjointness.ROW
    by_term: bool = False
    selection_chose: bool = True

    def __post_init__(self) -> None:
        parts = (self.train, self.validation, self.selection)
        if len(set().union(*parts)) < sum(map(len, parts)):
            raise ValueError("a row stands on two sides of the split")

    @cached_property
    def held_out(self) -> frozenset[int]:
        """The numbers of the rows that judge."""
        return frozenset(self.validation)

    @cached_property
    def chooses(self) -> frozenset[int]:
        """The numbers of the rows that choose and do not judge."""
        return frozenset(self.selection)


def assemble_split(
    rows: Iterable[SplitRow],
    held_out: Container[int],
    chosen: Container[int],
    warnings: Iterable[str] = (),
    disjoint: Disjointness = Disjointness.ROW,
    *,
    by_term: bool = False,
) -> Split:
    """Make a split of all rows: those that neither judge nor choose are trained on.

    Args:
        rows: all rows of the manifest.
        held_out: numbers of the rows that judge.
        chosen: numbers of the rows that choose.
        warnings: what a user should know.
        disjoint: what stands on one side only.
        by_term: whether terms do, too.
    """
    numbers = sorted(row.row for row in rows)
    return Split(
        train=tuple(n for n in numbers if n not in held_out and n not in chosen),
        validation=tuple(n for n in numbers if n in held_out),
        warnings=tuple(warnings),
        selection=tuple(n for n in numbers if n in chosen),
        disjoint=disjoint,
        by_term=by_term,
    )
