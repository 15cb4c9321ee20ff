"""The report's first screen: doses, negations and units that the strict view names as wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.evaluation.false_keywords import index_terms
from tasks.evaluation.secondary_metrics import compute_secondary_metrics
from tasks.evaluation.value_items import StrictFault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.evaluation.diff import PairedScores

_EXAMPLES = 3
_LONGEST_TEXT = 160


@dataclass(frozen=True, slots=True)
class FaultCount:
    """A fault in both models' rows: "2 tenfold doses"."""

    name: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class FaultRow:
    """A row with a fault, as it was said and as it was written."""

    name: str
    ref: str
    hyp: str


@dataclass(frozen=True, slots=True)
class StrictFaults:
    """What the first screen says of doses, negations and units.

    Attributes:
        n: the rows that hold a critical item in either text of the tuned model.
        counts: the rows with each named fault.
        rows: the tuned model's first such rows.
        unread: what could not be read in the tuned model's differing rows, with its count.
    """

    n: int
    counts: Sequence[FaultCount]
    rows: Sequence[FaultRow]
    unread: Sequence[tuple[str, int]]


def describe_faults(pairing: PairedScores) -> StrictFaults | None:
    """Describe the named faults of both models; None where no row holds a critical item."""
    nobody = index_terms(())
    before, after = (
        compute_secondary_metrics(scores, nobody) for scores in (pairing.before, pairing.after)
    )
    n = after.strict_share().n
    if not n:
        return None
    rows = [
        FaultRow(fault.value, _short(ref), _short(hyp))
        for fault in StrictFault
        for _, ref, hyp in after.fault_rows.get(fault, ())
    ]
    return StrictFaults(
        n,
        [
            FaultCount(
                _plural(fault, after.faults[fault]), before.faults[fault], after.faults[fault]
            )
            for fault in StrictFault
        ],
        rows[:_EXAMPLES],
        after.unread.most_common(_EXAMPLES),
    )


def _plural(fault: StrictFault, rows: int) -> str:
    return fault.value if rows == 1 else f"{fault.value}s"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
