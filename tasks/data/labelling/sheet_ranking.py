"""Rank recordings without a transcript by what is most worth a person's time.

Three signs that a model is not sure need no reference: decodes of one recording under shifts that
nobody can hear differ, words stand there that are nearly a term, and the decoder gives its own
words a low probability.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rapidfuzz.distance import Levenshtein

from tasks.data.canonical import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tasks.data.labelling.near_terms import NearTermFinder

NEAR_MISS_WORTH = 0.25
_MOST_NEAR_MISSES = 4
MOST_WORTH = 3.0
"""One for each sign."""
NOTHING_WORTH = 0.5
"""Of a recording in which no word was recognised."""
LEAST_SURE_WORDS = 3
"""So many words count: one alone is often short and no error, and a mean hides one among many."""
_UNSURE = 0.5


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word of a hypothesis.

    Attributes:
        word: as the model writes it.
        confidence: the probability of its least sure label, scaled so that 0 is no better than
            chance and 1 is certain.
    """

    word: str
    confidence: float


@dataclass(frozen=True, slots=True)
class DecodedRecording:
    """A recording and what a model made of it.

    Attributes:
        audio: its absolute path.
        seconds: its length.
        hypothesis: of the recording as it is.
        variants: of the recording under every shift.
        words: of the hypothesis, with the decoder's confidence; empty where it tells none.
    """

    audio: Path
    seconds: float
    hypothesis: str
    variants: tuple[str, ...] = ()
    words: tuple[SpokenWord, ...] = ()

    @property
    def least_sure(self) -> tuple[SpokenWord, ...]:
        """The words of which the decoder is least sure, the least sure first."""
        return tuple(sorted(self.words, key=lambda one: one.confidence)[:LEAST_SURE_WORDS])

    @property
    def confidence(self) -> float | None:
        """The mean confidence of these; None where there is none."""
        least = self.least_sure
        return sum(one.confidence for one in least) / len(least) if least else None


@dataclass(frozen=True, slots=True)
class SheetRow:
    """A recording with its rank.

    Attributes:
        recording: with its hypothesis.
        disagreement: the share of words that differ from the hypothesis, on average over shifts.
        near: words that are nearly a term, and the term.
    """

    recording: DecodedRecording
    disagreement: float
    near: tuple[tuple[str, str], ...]

    @property
    def worth(self) -> float:
        """How much it is worth to look at: 0 to 3."""
        if not self.recording.hypothesis.split():
            return max(self.disagreement, NOTHING_WORTH)
        confidence = self.recording.confidence
        doubt = 0.0 if confidence is None else 1 - confidence
        return self.disagreement + NEAR_MISS_WORTH * min(len(self.near), _MOST_NEAR_MISSES) + doubt

    @property
    def why(self) -> str:
        """The reasons in words."""
        reasons = []
        if not self.recording.hypothesis.split():
            reasons.append("no word was recognised")
        if self.disagreement:
            reasons.append(f"{self.disagreement:.0%} of words differ between decodes")
        reasons += [f"{written!r} is nearly {term!r}" for written, term in self.near]
        unsure = [one for one in self.recording.least_sure if one.confidence < _UNSURE]
        if unsure:
            shown = ", ".join(f"{one.word!r} ({one.confidence:.0%})" for one in unsure)
            reasons.append(f"unsure of {shown}")
        return "; ".join(reasons)


def rank(recordings: Iterable[DecodedRecording], finder: NearTermFinder | None) -> list[SheetRow]:
    """Return recordings with what is most worth a person's time first."""
    rows = [
        SheetRow(
            recording,
            measure_disagreement(recording.hypothesis, recording.variants),
            () if finder is None else tuple(finder.find(recording.hypothesis)),
        )
        for recording in recordings
    ]
    return sorted(rows, key=lambda row: (-row.worth, str(row.recording.audio)))


def measure_disagreement(hypothesis: str, variants: Sequence[str]) -> float:
    """Return the mean share of words in which other decodes differ; spelling counts for nothing."""
    others = [text for text in variants if text != hypothesis]
    if not others:
        return 0.0
    words = canonical(hypothesis).split()
    shares = []
    for text in others:
        other = canonical(text).split()
        longest = max(len(words), len(other))
        shares.append(Levenshtein.distance(words, other) / longest if longest else 0.0)
    return sum(shares) / len(variants)
