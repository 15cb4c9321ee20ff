"""What each side of a comparison made of a row's unheard variants, put beside the plain decodes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tasks.evaluation.scoring import score_row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.evaluation.diff import PairedScores, ScorePair
    from tasks.evaluation.scoring import UtteranceScore

RowKey = tuple[str, str]
"""A row's audio path and its reference, as the manifest has them."""


@dataclass(frozen=True, slots=True)
class DecodedVariants:
    """The hypotheses of rows that were decoded several times, the plain decode first.

    Attributes:
        shifts: samples of silence before the recording in each decode.
        before: by row, what the earlier model made of it under each shift.
        after: the same by the later model.
    """

    shifts: tuple[int, ...]
    before: Mapping[RowKey, Sequence[str]]
    after: Mapping[RowKey, Sequence[str]]

    def __post_init__(self) -> None:
        if self.before.keys() != self.after.keys():
            raise ValueError("both models decode the same rows")
        both = (*self.before.values(), *self.after.values())
        if any(len(texts) != len(self.shifts) for texts in both):
            raise ValueError(f"every row has {len(self.shifts)} decodes")

    def __or__(self, other: DecodedVariants) -> DecodedVariants:
        """Return the rows of both."""
        if self.shifts != other.shifts:
            raise ValueError("rows under other shifts do not go together")
        return DecodedVariants(
            self.shifts, {**self.before, **other.before}, {**self.after, **other.after}
        )

    def as_dict(self) -> dict[str, Any]:
        """Return what run.json tells: a run that agrees has decoded as many rows under these."""
        return {"decodes": len(self.shifts), "shifts": list(self.shifts), "rows": len(self.before)}

    def rows(self, pairing: PairedScores) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return both models' hypotheses under every shift but 0, as their files hold them."""
        before: list[dict[str, Any]] = []
        after: list[dict[str, Any]] = []
        for pair in pairing.pairs:
            key = _key(pair)
            if key not in self.before:
                continue
            marked = replace(pair.before.row, part=pair.after.row.part)
            for written, row, texts in (
                (before, marked, self.before[key]),
                (after, pair.after.row, self.after[key]),
            ):
                written += [
                    {**replace(row, hyp=text).as_dict(), "shift": shift}
                    for shift, text in zip(self.shifts, texts, strict=True)
                    if shift
                ]
        return before, after


def with_variants(pairing: PairedScores, decoded: DecodedVariants | None) -> PairedScores:
    """Return the pairs with all decodes of the rows that have several; None leaves all as is."""
    if decoded is None or len(decoded.shifts) == 1:
        return pairing
    return replace(pairing, pairs=tuple(_with_variants(pair, decoded) for pair in pairing.pairs))


def _with_variants(pair: ScorePair, decoded: DecodedVariants) -> ScorePair:
    key = _key(pair)
    if key not in decoded.before:
        return pair
    return replace(
        pair,
        decodes=len(decoded.shifts),
        before_decodes=_scored(pair.before, decoded.before[key]),
        after_decodes=_scored(pair.after, decoded.after[key]),
    )


def _scored(plain: UtteranceScore, texts: Sequence[str]) -> tuple[tuple[UtteranceScore, int], ...]:
    """Score each text once, however many decodes made it."""
    return tuple(
        (
            plain if text == plain.row.hyp else score_row(replace(plain.row, hyp=text)),
            times,
        )
        for text, times in Counter(texts).items()
    )


def _key(pair: ScorePair) -> RowKey:
    return pair.after.row.audio_filepath, pair.after.row.ref
