"""One line of the table that ``python -m benchmarks`` prints."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class BenchmarkRow:
    """Ours beside an alternative, measured in the same run.

    Attributes:
        what: what was done, and against what.
        ours: our figure.
        theirs: the alternative's.
        unit: of both: "s" where less is better, else something a second or "x real time".
        note: what a reader should know.
    """

    what: str
    ours: float
    theirs: float
    unit: str
    note: str = ""

    @property
    def ratio(self) -> float:
        """The factor by which ours is better; under 1 it is worse."""
        better, worse = (self.theirs, self.ours) if self.unit == "s" else (self.ours, self.theirs)
        return better / worse if worse else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the row as the JSON file holds it."""
        return {**asdict(self), "ratio": round(self.ratio, 3)}

    def __str__(self) -> str:
        note = f"  ({self.note})" if self.note else ""
        return (
            f"{self.what:<66} {self.ours:>10.4g} {self.theirs:>10.4g} {self.unit:<12}"
            f"{self.ratio:>7.2f} x{note}"
        )
