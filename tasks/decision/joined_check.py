"""General English in long recordings, before and after tuning, by length.

The sentences are those of the guardrail, joined (tasks/data/joined_sentences.py). There are few
recordings of a length, so that half a point of WER could not be seen there. What tuning on short
rows spoils in long ones is larger: a model that stops early, or repeats itself. So the limit is two
points, or the guardrail's own where that is more. The figure is the guardrail's: pooled WER in the
canonical view. It is held against the limit at each length, and over all lengths together.

A model loses words in stretches, not one by one. So a recording's errors are told apart by
sentence, and the interval draws blocks of four sentences that follow each other; the sentences that
stand first at every length are one block over all lengths.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from rapidfuzz.distance import Levenshtein

from tasks.common.counted import counted
from tasks.data.canonical import canonical
from tasks.decision.guardrail import GuardrailPolicy, GuardrailStatus
from tasks.evaluation.block_bootstrap import by_block, rate_difference
from tasks.evaluation.statistics import CONFIDENCE, Interval, ends

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

LEAST_LIMIT = 0.02
"""The rise of WER that may be, at least, as a share."""
SENTENCES_TOGETHER = 4
"""Sentences drawn together: with more, a CPU's recordings show little (docs/verdict.md)."""


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
    """Recordings of one length, or of all of them, by both models.

    Attributes:
        seconds: that they last at least; None of all lengths together.
        n: recordings.
        sentences: in them.
        words: of their references.
        before: the base's pooled WER.
        after: the shipped model's.
        interval: of (after - before), over blocks of sentences, at 95 % for all comparisons.
        limit: the largest rise allowed.
    """

    seconds: int | None
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
    def name(self) -> str:
        """The length in words."""
        return "all lengths" if self.seconds is None else f"{self.seconds} s"

    @property
    def status(self) -> GuardrailStatus:
        """Held at or under the limit; broken if the interval lies over it; else unclear."""
        if self.rise <= self.limit:
            return GuardrailStatus.HELD
        if self.interval is not None and self.interval.low > self.limit:
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
            f"{self.name}: {self.before:.3f} → {self.after:.3f} on {self.n} {recordings}, "
            f"{counted(self.sentences, 'sentence')} ({100 * self.rise:+.2f} points{between}): "
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
        together: of all lengths; None where there is none.
    """

    lengths: tuple[LengthChange, ...]
    together: LengthChange | None = None

    @property
    def name(self) -> str:
        """Its name in decision.json."""
        return "joined_sentences"

    @property
    def _all(self) -> tuple[LengthChange, ...]:
        return self.lengths if self.together is None else (*self.lengths, self.together)

    @property
    def harm(self) -> str | None:
        """The ground to discard: at a length, or in all, the rise is shown to be over its limit."""
        broken = [change for change in self._all if change.status is GuardrailStatus.BROKEN]
        if not broken:
            return None
        told = "; ".join(map(str, broken))
        return f"The model loses long recordings. General English, joined, pooled WER: {told}."

    @property
    def doubt(self) -> str | None:
        """Over all lengths the rise is over its limit, and chance may explain that.

        A single length has too few sentences to say so.
        """
        if self.together is None or self.together.status is not GuardrailStatus.UNCLEAR:
            return None
        return (
            "The gain is shown, but whether the model loses long recordings is not. General "
            f"English, joined, pooled WER: {self.together}. More sentences of general English, in "
            "longer recordings, would settle it."
        )

    def __str__(self) -> str:
        if not self.lengths:
            return "Long recordings: not checked, there are too few sentences of general English."
        told = "; ".join(map(str, self._all))
        return f"Long recordings (general English, joined), pooled WER: {told}."

    def as_dict(self) -> dict[str, object]:
        """Return the check as decision.json holds it."""
        return {
            "harm": self.harm,
            "doubt": self.doubt,
            "lengths": [change.as_dict() for change in self.lengths],
            "together": None if self.together is None else self.together.as_dict(),
        }


SentenceErrors: TypeAlias = "tuple[int, int, int, int]"
"""Edits and words of a sentence by the base, then by the shipped model."""


def check_joined(texts: Iterable[JoinedTexts], policy: GuardrailPolicy) -> JoinedCheck:
    """Compare base and shipped model on joined sentences, each length for itself and all together.

    Args:
        texts: of the recordings, of all lengths; each length begins with the same sentences.
        policy: the guardrail's limit.
    """
    recordings: Counter[int] = Counter()
    errors: dict[int, list[SentenceErrors]] = {}
    for recording in texts:
        recordings[recording.seconds] += 1
        errors.setdefault(recording.seconds, []).extend(
            (*before, *after)
            for before, after in zip(
                errors_by_sentence(recording.sentences, recording.before),
                errors_by_sentence(recording.sentences, recording.after),
                strict=True,
            )
        )
    return compare_lengths(errors, recordings, policy)


def compare_lengths(
    errors: Mapping[int, Sequence[SentenceErrors]],
    recordings: Mapping[int, int],
    policy: GuardrailPolicy,
) -> JoinedCheck:
    """Compare the errors of two models, each length for itself and all together.

    The intervals hold for all comparisons (Bonferroni), so that three lengths are not three
    chances.

    Args:
        errors: of each length's sentences, recording by recording.
        recordings: of each length.
        policy: the guardrail's limit.
    """
    if not errors:
        return JoinedCheck(())
    confidence = 1 - (1 - CONFIDENCE) / (len(errors) + 1)
    numbered = {seconds: list(enumerate(rows)) for seconds, rows in sorted(errors.items())}

    def change(
        seconds: int | None, n: int, rows: Sequence[tuple[int, SentenceErrors]]
    ) -> LengthChange:
        return _change(seconds, n, rows, policy, confidence)

    return JoinedCheck(
        tuple(change(seconds, recordings[seconds], rows) for seconds, rows in numbered.items()),
        change(None, sum(recordings.values()), [row for rows in numbered.values() for row in rows]),
    )


def _change(
    seconds: int | None,
    n: int,
    rows: Sequence[tuple[int, SentenceErrors]],
    policy: GuardrailPolicy,
    confidence: float,
) -> LengthChange:
    columns = [[float(errors[at]) for _, errors in rows] for at in range(4)]
    before, after = (sum(columns[at]) / max(sum(columns[at + 1]), 1.0) for at in (0, 2))
    limit = max(LEAST_LIMIT, policy.limit(before))
    blocks = [number // SENTENCES_TOGETHER for number, _ in rows]
    return LengthChange(
        seconds,
        n,
        len(rows),
        round(sum(columns[1])),
        before,
        after,
        rate_difference(by_block(blocks, *columns), confidence),
        limit,
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
