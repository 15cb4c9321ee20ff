"""General English in long recordings, before and after tuning, by length.

The sentences are those of the guardrail, joined (tasks/data/joined_sentences.py). There are few
recordings of a length, so that half a point of WER could not be seen there. What tuning on short
rows spoils in long ones is larger: a model that stops early, or repeats itself. So the limit is two
points, or the guardrail's own where that is more. The figure is the guardrail's: pooled WER in the
canonical view. A recording's errors are told apart by sentence, so that few recordings are many
sentences, and the interval is over these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rapidfuzz.distance import Levenshtein

from tasks.data.canonical import canonical
from tasks.decision.guardrail import GuardrailPolicy, GuardrailStatus
from tasks.evaluation.statistics import CONFIDENCE, Interval, by_block, ends, rate_difference

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LEAST_LIMIT = 0.02
"""The rise of WER that may be, at least, as a share."""


@dataclass(frozen=True, slots=True)
class JoinedTexts:
    """One recording of several sentences, and what two models write for it.

    Attributes:
        seconds: the length that it was joined to.
        sentences: what is said.
        before: the base's text.
        after: the shipped model's.
    """

    seconds: int
    sentences: tuple[str, ...]
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class LengthChange:
    """Recordings of one length by both models.

    Attributes:
        seconds: that they last at least.
        n: recordings.
        sentences: in them.
        words: of their references.
        before: the base's pooled WER.
        after: the shipped model's.
        interval: of (after - before), over sentences, at 95 % for all lengths together.
        limit: the largest rise allowed.
    """

    seconds: int
    n: int
    sentences: int
    words: int
    before: float
    after: float
    interval: Interval | None
    limit: float

    @property
    def rise(self) -> float:
        """After minus before."""
        return self.after - self.before

    @property
    def status(self) -> GuardrailStatus:
        """Held at or under the limit; broken over it, if the rise is no chance; else unclear."""
        if self.rise <= self.limit:
            return GuardrailStatus.HELD
        if self.interval is not None and self.interval.low > 0:
            return GuardrailStatus.BROKEN
        return GuardrailStatus.UNCLEAR

    def __str__(self) -> str:
        between = ""
        if self.interval is not None:
            between = (
                f", interval {100 * self.interval.low:+.2f} to {100 * self.interval.high:+.2f}"
            )
        recordings = "recording" if self.n == 1 else "recordings"
        return (
            f"{self.seconds} s: {self.before:.3f} → {self.after:.3f} on {self.n} {recordings}, "
            f"{self.sentences} sentences ({100 * self.rise:+.2f} points{between}): "
            f"{self.status.value}"
        )

    def as_dict(self) -> dict[str, object]:
        """Return the figures as decision.json holds them."""
        return {
            "seconds": self.seconds,
            "n": self.n,
            "sentences": self.sentences,
            "words": self.words,
            "canonical_wer_a": self.before,
            "canonical_wer_b": self.after,
            "rise": self.rise,
            "ci": ends(self.interval),
            "limit": self.limit,
            "status": self.status.value,
        }


@dataclass(frozen=True, slots=True)
class JoinedCheck:
    """General English in long recordings, by length.

    Attributes:
        lengths: the shortest first; empty where the set is too small to be joined.
    """

    lengths: tuple[LengthChange, ...]

    @property
    def name(self) -> str:
        """Its name in decision.json."""
        return "joined_sentences"

    def _of(self, status: GuardrailStatus) -> str:
        return "; ".join(str(change) for change in self.lengths if change.status is status)

    @property
    def harm(self) -> str | None:
        """The ground to discard: at a length the rise is over its limit, and no chance."""
        if not (broken := self._of(GuardrailStatus.BROKEN)):
            return None
        return f"The model loses long recordings. General English, joined, pooled WER: {broken}."

    @property
    def doubt(self) -> str | None:
        """At a length the rise is over its limit, and chance may explain it."""
        if not (unclear := self._of(GuardrailStatus.UNCLEAR)):
            return None
        return (
            "The gain is shown, but whether the model loses long recordings is not. General "
            f"English, joined, pooled WER: {unclear}. More sentences of general English, in longer "
            "recordings, would settle it."
        )

    def __str__(self) -> str:
        if not self.lengths:
            return "Long recordings: not checked, there are too few sentences of general English."
        told = "; ".join(map(str, self.lengths))
        return f"Long recordings (general English, joined), pooled WER: {told}."

    def as_dict(self) -> dict[str, object]:
        """Return the check as decision.json holds it."""
        return {
            "harm": self.harm,
            "doubt": self.doubt,
            "lengths": [change.as_dict() for change in self.lengths],
        }


def check_joined(texts: Iterable[JoinedTexts], policy: GuardrailPolicy) -> JoinedCheck:
    """Compare base and shipped model on joined sentences, each length for itself.

    The intervals hold for all lengths together (Bonferroni), so that three lengths are not three
    chances.

    Args:
        texts: of the recordings, of all lengths.
        policy: the guardrail's limit.
    """
    by_seconds: dict[int, list[JoinedTexts]] = {}
    for recording in texts:
        by_seconds.setdefault(recording.seconds, []).append(recording)
    confidence = 1 - (1 - CONFIDENCE) / max(1, len(by_seconds))
    return JoinedCheck(
        tuple(
            _change(seconds, recordings, policy, confidence)
            for seconds, recordings in sorted(by_seconds.items())
        )
    )


def _change(
    seconds: int, recordings: Sequence[JoinedTexts], policy: GuardrailPolicy, confidence: float
) -> LengthChange:
    columns: list[list[float]] = [[], [], [], []]
    for recording in recordings:
        for place, hyp in ((0, recording.before), (2, recording.after)):
            for edits, words in errors_by_sentence(recording.sentences, hyp):
                columns[place].append(edits)
                columns[place + 1].append(words)
    before, after = (sum(columns[at]) / max(sum(columns[at + 1]), 1.0) for at in (0, 2))
    sentences = len(columns[0])
    return LengthChange(
        seconds,
        len(recordings),
        sentences,
        round(sum(columns[1])),
        before,
        after,
        rate_difference(by_block(range(sentences), *columns), confidence),
        max(LEAST_LIMIT, policy.limit(before)),
    )


def errors_by_sentence(sentences: Sequence[str], hyp: str) -> list[tuple[int, int]]:
    """Return word edits and words of each sentence of a recording, in the canonical view.

    The edits are those of one alignment of the whole, and add up to its distance. A word put in
    counts for the sentence that follows it; at the end, for the last one.
    """
    refs = [canonical(sentence).split() for sentence in sentences]
    owners = [number for number, words in enumerate(refs) for _ in words]
    edits = [0] * len(refs)
    said = [word for words in refs for word in words]
    for step in Levenshtein.editops(said, canonical(hyp).split()):
        edits[owners[step.src_pos] if step.src_pos < len(owners) else -1] += 1
    return [(count, len(words)) for count, words in zip(edits, refs, strict=True)]
