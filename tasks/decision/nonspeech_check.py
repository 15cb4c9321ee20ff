"""Words found in recordings without speech, before and after tuning.

A model that was tuned on short sentences full of terms may find terms in silence. No error rate
shows it: there is no reference. Here any word is a hallucination. A small base finds words in most
such recordings, so that words are counted, not recordings alone: that more recordings gained words
than lost some, beyond what chance explains, is a ground to discard. Recordings of one kind are much
alike, so that a model changes them together: where enough kinds changed, chance must be no
explanation over kinds either.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tasks.common.counted import counted
from tasks.data.canonical_terms import SpokenText, canonical_term
from tasks.data.text_normalizer import normalise
from tasks.evaluation.block_bootstrap import FEWEST_BLOCKS
from tasks.evaluation.statistics import holm, mcnemar_mid_p, sign_flip_mid_p

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class HallucinationCount:
    """Words, or terms, that two models find in the same recordings without speech.

    Attributes:
        before: how many the base finds, in all recordings.
        after: how many the tuned model finds.
        recordings_before: the recordings in which the base finds one.
        recordings_after: the recordings in which the tuned model does.
        p: two-sided mid-p of the sign test: recordings with more of them against those with fewer;
            where enough kinds of recording changed, the larger of that and of the one over kinds.
            Corrected for words and terms together (Holm), where both changed.
    """

    before: int
    after: int
    recordings_before: int
    recordings_after: int
    p: float

    @property
    def rose(self) -> bool:
        """Whether there are more of them than before, and chance does not explain it."""
        return self.after > self.before and self.p < ALPHA

    def as_dict(self) -> dict[str, object]:
        """Return the counts as decision.json holds them."""
        return {
            "a": self.before,
            "b": self.after,
            "recordings_a": self.recordings_before,
            "recordings_b": self.recordings_after,
            "p": self.p,
            "rose": self.rose,
        }


@dataclass(frozen=True, slots=True)
class NonspeechCheck:
    """Recordings without speech, by base and tuned model.

    Attributes:
        n: recordings.
        words: that were found in them.
        terms: of the cycle, that were found in them.
        found: the terms that the tuned model finds, in order of the alphabet.
    """

    n: int
    words: HallucinationCount
    terms: HallucinationCount
    found: tuple[str, ...] = ()

    @property
    def harm(self) -> str | None:
        """The ground to discard, in a sentence; None where chance explains the rise."""
        if self.terms.rose:
            named = ", ".join(self.found[:3])
            return (
                f"The model finds terms where nobody speaks: {self.terms.before} → "
                f"{self.terms.after} in {counted(self.n, 'recording')} of silence and noise "
                f"(mid-p {self.terms.p:.3g}), such as {named}."
            )
        if self.words.rose:
            return (
                f"The model finds words where nobody speaks: {self.words.before} → "
                f"{self.words.after} in {counted(self.n, 'recording')} of silence and noise "
                f"(mid-p {self.words.p:.3g})."
            )
        return None

    def __str__(self) -> str:
        return (
            f"Silence and noise ({counted(self.n, 'recording')}): {self.words.before} → "
            f"{self.words.after} words found, {self.terms.before} → {self.terms.after} of them "
            "terms."
        )

    def as_dict(self) -> dict[str, object]:
        """Return the check as decision.json holds it."""
        return {
            "n": self.n,
            "words": self.words.as_dict(),
            "terms": self.terms.as_dict(),
            "found": list(self.found),
            "harm": self.harm,
        }


def check_nonspeech(
    before: Sequence[str], after: Sequence[str], terms: Iterable[str], kinds: Sequence[str]
) -> NonspeechCheck:
    """Compare what two models find in the same recordings without speech.

    Args:
        before: the base's texts, one a recording.
        after: the tuned model's, of the same recordings in the same order.
        terms: of the cycle's manifest.
        kinds: of the recordings, such as silence and hum.

    Raises:
        ValueError: there is no recording, or the two are not of the same ones.
    """
    if not before:
        raise ValueError("there is no recording")
    known = {normalise(term): canonical_term(term) for term in terms if normalise(term)}
    texts = [
        (SpokenText(base), SpokenText(tuned)) for base, tuned in zip(before, after, strict=True)
    ]

    def terms_in(text: SpokenText) -> list[str]:
        return [name for name, term in known.items() if text.holds(term)]

    words, named = count_found(
        [(len(base.plain.split()), len(tuned.plain.split())) for base, tuned in texts],
        [(len(terms_in(base)), len(terms_in(tuned))) for base, tuned in texts],
        kinds,
    )
    found = sorted({term for _, tuned in texts for term in terms_in(tuned)})
    return NonspeechCheck(len(texts), words, named, tuple(found))


def count_found(
    words: Sequence[tuple[int, int]], terms: Sequence[tuple[int, int]], kinds: Sequence[str]
) -> tuple[HallucinationCount, HallucinationCount]:
    """Count what two models find; where terms changed, two tests are no two chances (Holm).

    Args:
        words: how many each model finds, recording by recording.
        terms: the same of terms.
        kinds: of the recordings.

    Returns:
        The counts of words and of terms.
    """
    pairs = {"words": words, "terms": terms}
    counts = {name: _count(of_name, kinds) for name, of_name in pairs.items()}
    changed = [name for name in pairs if any(base != tuned for base, tuned in pairs[name])]
    adjusted = holm({name: counts[name].p for name in changed})
    found = [replace(one, p=adjusted.get(name, one.p)) for name, one in counts.items()]
    return found[0], found[1]


def _count(pairs: Sequence[tuple[int, int]], kinds: Sequence[str]) -> HallucinationCount:
    more = sum(tuned > base for base, tuned in pairs)
    fewer = sum(tuned < base for base, tuned in pairs)
    nets: Counter[str] = Counter()
    for (base, tuned), kind in zip(pairs, kinds, strict=True):
        nets[kind] += (tuned > base) - (tuned < base)
    changed = [net for net in nets.values() if net]
    p = mcnemar_mid_p(fewer, more)
    return HallucinationCount(
        sum(base for base, _ in pairs),
        sum(tuned for _, tuned in pairs),
        sum(base > 0 for base, _ in pairs),
        sum(tuned > 0 for _, tuned in pairs),
        max(p, sign_flip_mid_p(changed)) if len(changed) >= FEWEST_BLOCKS else p,
    )
