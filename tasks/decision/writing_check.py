"""Punctuation and capitals in general English, before and after tuning.

No error rate shows their loss: all of them leave case and marks out. A base that writes "He took
20 mg, then slept." and is tuned on "he took 20 mg then slept" gives that up within an epoch. What
is compared are the sentences whose references have marks, or capitals, and only where the base
writes them at all. A fall is shown to be over the limit if its interval lies over it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.common.counted import agreed, counted
from tasks.decision.guardrail import GuardrailStatus
from tasks.evaluation.block_bootstrap import by_block, rate_difference
from tasks.evaluation.statistics import CONFIDENCE, Interval, ends
from tasks.evaluation.written_style import StyleCounts, count_style, writes_capitals, writes_marks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.evaluation.scoring import Scores

LIMIT = 0.05
"""How far punctuation F1 and case accuracy may fall, as a share: five points."""
FEWEST = 20
"""Fewer marks, or capitals, in the references than this show nothing."""
FEWEST_SENTENCES = 20
"""Nor do fewer sentences that have them."""
BASE_WRITES = 0.25
"""A base that writes fewer than this share of the references' marks, or capitals, writes none."""

PUNCTUATION = "punctuation F1"
CASE = "case accuracy"
_FIGURES = 2


@dataclass(frozen=True, slots=True)
class StyleFigure:
    """One of the two figures, by both models.

    Attributes:
        name: PUNCTUATION or CASE.
        sentences: whose references have marks, or capitals.
        before: the base's figure; None where it does not apply.
        after: the shipped model's.
        interval: of (after - before), over sentences, at 95 % for both figures together.
        inapplicable: why it does not apply, in words; "" where it does.
    """

    name: str
    sentences: int
    before: float | None = None
    after: float | None = None
    interval: Interval | None = None
    inapplicable: str = ""

    @property
    def change(self) -> float | None:
        """After minus before."""
        if self.before is None or self.after is None:
            return None
        return self.after - self.before

    @property
    def status(self) -> GuardrailStatus | None:
        """Held to the limit; broken if the interval lies over it; else unclear.

        None where the figure does not apply.
        """
        if self.change is None:
            return None
        if self.change >= -LIMIT:
            return GuardrailStatus.HELD
        shown = self.interval is not None and self.interval.high < -LIMIT
        return GuardrailStatus.BROKEN if shown else GuardrailStatus.UNCLEAR

    def __str__(self) -> str:
        if self.change is None or self.status is None:
            return f"{self.name} not applicable ({self.inapplicable})"
        between = ""
        if self.interval is not None:
            between = (
                f", interval {100 * self.interval.low:+.1f} to {100 * self.interval.high:+.1f}"
            )
        return (
            f"{self.name} {self.before:.3f} → {self.after:.3f} on "
            f"{counted(self.sentences, 'sentence')} ({100 * self.change:+.1f} points{between}; "
            f"limit {-100 * LIMIT:+.0f}): {self.status.value}"
        )

    def as_dict(self) -> dict[str, object]:
        """Return the figure as decision.json holds it."""
        return {
            "figure": self.name,
            "applicable": not self.inapplicable,
            "reason": self.inapplicable or None,
            "sentences": self.sentences,
            "a": self.before,
            "b": self.after,
            "change": self.change,
            "ci": ends(self.interval),
            "limit": -LIMIT,
            "status": None if self.status is None else self.status.value,
        }


@dataclass(frozen=True, slots=True)
class WritingCheck:
    """Punctuation and capitals, by base and shipped model."""

    figures: tuple[StyleFigure, ...]

    @property
    def name(self) -> str:
        """Its name in decision.json."""
        return "writing"

    def _of(self, status: GuardrailStatus) -> str:
        return "; ".join(str(figure) for figure in self.figures if figure.status is status)

    @property
    def harm(self) -> str | None:
        """The ground to discard: a figure is shown to fall by more than the limit."""
        if not (broken := self._of(GuardrailStatus.BROKEN)):
            return None
        return (
            f"The model forgets how the base writes: {broken}. Write the manifest as the base "
            "does, then train again."
        )

    @property
    def doubt(self) -> str | None:
        """A figure fell by more than the limit, and chance may explain it."""
        if not (unclear := self._of(GuardrailStatus.UNCLEAR)):
            return None
        return (
            "The gain is shown, but whether the model still writes as the base does is not: "
            f"{unclear}. More sentences of general English would settle it."
        )

    def __str__(self) -> str:
        return f"Writing: {'; '.join(map(str, self.figures))}."

    def as_dict(self) -> dict[str, object]:
        """Return the check as decision.json holds it."""
        return {
            "harm": self.harm,
            "doubt": self.doubt,
            "figures": [figure.as_dict() for figure in self.figures],
        }


def check_writing(before: Scores, after: Scores) -> WritingCheck:
    """Compare the punctuation and the capitals of two evaluations of the same sentences.

    Args:
        before: of the base.
        after: of the shipped model, in the same order.

    Raises:
        ValueError: the two are not of the same sentences.
    """
    rows = [
        (old.row.ref, old.row.hyp, new.row.hyp)
        for old, new in zip(before.rows, after.rows, strict=True)
    ]
    return WritingCheck(
        (
            _punctuation([row for row in rows if writes_marks(row[0])]),
            _case([row for row in rows if writes_capitals(row[0])]),
        )
    )


def _punctuation(rows: Sequence[tuple[str, str, str]]) -> StyleFigure:
    counted = _counted(rows)
    return compare_style(
        PUNCTUATION,
        "mark",
        sum(base.said for base, _ in counted),
        sum(base.written for base, _ in counted),
        [[(2 * side.right, side.written + side.said) for side in pair] for pair in counted],
    )


def _case(rows: Sequence[tuple[str, str, str]]) -> StyleFigure:
    return compare_style(
        CASE,
        "capital",
        sum(count_style(ref, ref).capitals for ref, _, _ in rows),
        sum(count_style(base, base).capitals for _, base, _ in rows),
        [[(side.alike, side.capitals) for side in pair] for pair in _counted(rows)],
    )


def _counted(rows: Sequence[tuple[str, str, str]]) -> list[tuple[StyleCounts, StyleCounts]]:
    return [(count_style(ref, base), count_style(ref, tuned)) for ref, base, tuned in rows]


def compare_style(
    name: str, what: str, said: int, written: int, parts: Sequence[Sequence[tuple[int, int]]]
) -> StyleFigure:
    """Compare a figure, if it applies.

    Args:
        name: of the figure.
        what: is counted.
        said: in the references.
        written: by the base.
        parts: numerator and denominator of each sentence, by base and by shipped model.
    """
    n = len(parts)
    if said < FEWEST:
        reason = f"the references have {said} {what}s, fewer than {FEWEST}"
        return StyleFigure(name, n, inapplicable=reason)
    if written < BASE_WRITES * said:
        return StyleFigure(name, n, inapplicable=f"the base writes {written} {what}s for {said}")
    if n < FEWEST_SENTENCES:
        return StyleFigure(
            name,
            n,
            inapplicable=(
                f"{counted(n, 'sentence')} {agreed(n, 'has', 'have')} one, fewer than "
                f"{FEWEST_SENTENCES}"
            ),
        )
    columns = [[float(pair[side][which]) for pair in parts] for side in (0, 1) for which in (0, 1)]
    before, after = (sum(columns[at]) / max(sum(columns[at + 1]), 1.0) for at in (0, 2))
    confidence = 1 - (1 - CONFIDENCE) / _FIGURES
    interval = rate_difference(by_block(range(n), *columns), confidence)
    return StyleFigure(name, n, before, after, interval)
