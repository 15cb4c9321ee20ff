"""Words found in recordings without speech, before and after tuning.

A model that was tuned on short sentences full of terms may find terms in silence. No error rate
shows it: there is no reference. Here any word is a hallucination, and a rise of the recordings
that hold one, more than chance explains, is a ground to discard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.data.text_normalizer import contains_words, normalise
from tasks.evaluation.statistics import mcnemar_mid_p

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class NonspeechCheck:
    """Recordings without speech, by base and tuned model.

    Attributes:
        n: recordings.
        with_words_before: those in which the base finds a word.
        with_words_after: those in which the tuned model does.
        with_terms_before: those in which the base finds a term of the cycle.
        with_terms_after: those in which the tuned model does.
        p_words: mid-p of the change of the recordings with a word, paired.
        p_terms: the same of those with a term.
        terms: the terms that the tuned model finds, in order of the alphabet.
    """

    n: int
    with_words_before: int
    with_words_after: int
    with_terms_before: int
    with_terms_after: int
    p_words: float
    p_terms: float
    terms: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        counts = (
            self.with_words_before,
            self.with_words_after,
            self.with_terms_before,
            self.with_terms_after,
        )
        if self.n < 1 or not all(0 <= count <= self.n for count in counts):
            raise ValueError("counts of recordings lie between 0 and all of them")

    @property
    def harms(self) -> tuple[str, ...]:
        """The grounds to discard, in sentences; none where chance explains the rise."""
        grounds = []
        if self.with_terms_after > self.with_terms_before and self.p_terms < ALPHA:
            grounds.append(
                f"The model finds terms where nobody speaks: in {self.with_terms_before} → "
                f"{self.with_terms_after} of {self.n} recordings of silence and noise "
                f"(mid-p {self.p_terms:.3g}), such as {', '.join(self.terms[:3])}."
            )
        elif self.with_words_after > self.with_words_before and self.p_words < ALPHA:
            grounds.append(
                f"The model finds words where nobody speaks: in {self.with_words_before} → "
                f"{self.with_words_after} of {self.n} recordings of silence and noise "
                f"(mid-p {self.p_words:.3g})."
            )
        return tuple(grounds)

    def __str__(self) -> str:
        return (
            f"Silence and noise: words in {self.with_words_before} → {self.with_words_after} of "
            f"{self.n} recordings, terms in {self.with_terms_before} → {self.with_terms_after}."
        )

    def as_dict(self) -> dict[str, object]:
        """Return the check as decision.json holds it."""
        return {
            "n": self.n,
            "with_words_a": self.with_words_before,
            "with_words_b": self.with_words_after,
            "with_terms_a": self.with_terms_before,
            "with_terms_b": self.with_terms_after,
            "p_words": self.p_words,
            "p_terms": self.p_terms,
            "terms": list(self.terms),
            "harm": bool(self.harms),
        }


def check_nonspeech(
    before: Sequence[str], after: Sequence[str], terms: Iterable[str]
) -> NonspeechCheck:
    """Compare what two models find in the same recordings without speech.

    Args:
        before: the base's texts, one a recording.
        after: the tuned model's, of the same recordings in the same order.
        terms: of the cycle's manifest.
    """
    known = sorted({normalise(term) for term in terms} - {""})
    texts = [tuple(map(normalise, pair)) for pair in zip(before, after, strict=True)]
    words = [(bool(base), bool(tuned)) for base, tuned in texts]
    held = [
        tuple(tuple(term for term in known if contains_words(text, term)) for text in pair)
        for pair in texts
    ]
    with_terms = [(bool(base), bool(tuned)) for base, tuned in held]
    return NonspeechCheck(
        n=len(texts),
        with_words_before=sum(base for base, _ in words),
        with_words_after=sum(tuned for _, tuned in words),
        with_terms_before=sum(base for base, _ in with_terms),
        with_terms_after=sum(tuned for _, tuned in with_terms),
        p_words=_paired_p(words),
        p_terms=_paired_p(with_terms),
        terms=tuple(sorted({term for _, tuned in held for term in tuned})),
    )


def _paired_p(pairs: Sequence[tuple[bool, bool]]) -> float:
    gone = sum(base and not tuned for base, tuned in pairs)
    new = sum(tuned and not base for base, tuned in pairs)
    return mcnemar_mid_p(gone, new)
