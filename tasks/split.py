"""The term-aware split (specification, 4b): row-disjoint and stratified by entity_category.

The same term may stand on both sides through different rows; the same recording never does, not
even under two names. A row's side depends on the seed and on what the row is, not on where it
stands: the order of the manifest, the machine and the Python version do not matter. The
specification's sketch shuffles with ``random``, which depends on the order; here each recording is
ranked by a hash instead. The counts are the sketch's: ``max(1, int(fraction * n))`` a category.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from tasks.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

UNCATEGORISED = "(none)"


@dataclass(frozen=True, slots=True)
class SplitRow:
    """What the split must know of a row.

    Attributes:
        row: the row's number in the manifest.
        category: its entity_category, or ``UNCATEGORISED``.
        recording: the content hash of its audio: rows that share it stay together.
        text: its reference transcript.
    """

    row: int
    category: str
    recording: str
    text: str


@dataclass(frozen=True)
class Split:
    """The rows' numbers on either side, in the manifest's order, and what to tell the user."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    warnings: tuple[str, ...]

    def __post_init__(self) -> None:
        if set(self.train) & set(self.validation):
            raise ValueError("a row stands on both sides of the split")

    @cached_property
    def held_out(self) -> frozenset[int]:
        """The numbers of the rows that training must not see."""
        return frozenset(self.validation)


def split_rows(
    rows: Sequence[SplitRow],
    *,
    fraction: float = 0.2,
    seed: int = 42,
    trained_before: frozenset[str] = frozenset(),
) -> Split:
    """Split rows into train and validation.

    Args:
        rows: all rows of the manifest.
        fraction: share of each category's rows to hold out, between 0 and 1.
        seed: another seed gives another split.
        trained_before: recordings that the base has learnt already; they go to train, since a
            figure on them would not be held out.

    Raises:
        InputError: the fraction is out of bounds, or nothing can be held out.
    """
    if not 0 < fraction < 1:
        raise InputError(f"fraction {fraction:g}: must lie between 0 and 1. Fix: 0.2 is usual.")
    groups = _recordings(rows)
    sizes = Counter(row.category for row in rows)
    held_out: set[int] = set()
    warnings: list[str] = []
    for category in sorted(sizes):
        candidates = sorted(
            (group for group in groups if group[0].category == category),
            key=lambda group: _rank(seed, group),
        )
        if sizes[category] < 2 or len(candidates) < 2:  # noqa: PLR2004 - two sides need two
            what = "row" if sizes[category] == 1 else "recording"
            warnings.append(f"category {category} has a single {what}: forced to train")
            continue
        wanted = max(1, int(fraction * sizes[category]))
        fresh = [group for group in candidates if group[0].recording not in trained_before]
        # The last candidate stays on the training side, unless what was learnt before is there.
        taken = list(_take(fresh if len(fresh) < len(candidates) else fresh[:-1], wanted))
        if len(taken) < wanted and len(fresh) < len(candidates):
            warnings.append(
                f"category {category}: {len(taken)} rows held out instead of {wanted}, since the "
                "base was trained on the others"
            )
        held_out.update(taken)
    if not held_out:
        raise InputError(
            "nothing can be held out: every category has a single recording, or the base was "
            "trained on all of them. "
            "Fix: grow the manifest with /digital-health-clinical-asr-build."
        )
    numbers = sorted(row.row for row in rows)
    return Split(
        train=tuple(number for number in numbers if number not in held_out),
        validation=tuple(number for number in numbers if number in held_out),
        warnings=tuple(warnings),
    )


def _recordings(rows: Iterable[SplitRow]) -> list[list[SplitRow]]:
    """Rows that share a recording, together, each group in an order of its own content."""
    by_recording: defaultdict[str, list[SplitRow]] = defaultdict(list)
    for row in rows:
        by_recording[row.recording].append(row)
    return [sorted(group, key=lambda r: (r.category, r.text)) for group in by_recording.values()]


def _rank(seed: int, group: Sequence[SplitRow]) -> str:
    return hashlib.sha256(f"{seed}\n{group[0].recording}\n{group[0].text}".encode()).hexdigest()


def _take(candidates: Sequence[Sequence[SplitRow]], wanted: int) -> Iterable[int]:
    """Row numbers of whole recordings, up to ``wanted`` rows, and at least one recording."""
    taken = 0
    for group in candidates:
        if taken and taken + len(group) > wanted:
            continue
        yield from (row.row for row in group)
        taken += len(group)
        if taken >= wanted:
            return
