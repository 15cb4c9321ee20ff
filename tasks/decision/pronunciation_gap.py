"""The pronunciation gap: terms are missed whose pronunciation was guessed (contracts, Routing)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.common import neighbour_stages

if TYPE_CHECKING:
    from tasks.decision.gate_policy import GatePolicy
    from tasks.evaluation.error_counts import Proportion
    from tasks.evaluation.scoring import Scores

DICTIONARY = "merriam-webster"
GUESSED = "magpie_g2p"
"""The ipa_source of pronunciations from a dictionary, and of those that a program guessed."""


@dataclass(frozen=True, slots=True)
class PronunciationGap:
    """Low KER of rows with dictionary pronunciations, beside high KER of rows with guessed ones.

    Attributes:
        known: terms missed of the rows whose pronunciation is from a dictionary.
        guessed: the same of those whose pronunciation is guessed.
    """

    known: Proportion
    guessed: Proportion

    def __str__(self) -> str:
        return (
            f"{DICTIONARY} rows are good (KER {self.known.rate:.3f}, n={self.known.n}) and "
            f"{GUESSED} rows are bad (KER {self.guessed.rate:.3f}, n={self.guessed.n})"
        )

    @property
    def advice(self) -> str:
        """The finding and its remedy."""
        return (
            f"A pronunciation gap, not a model gap: {self}. Give those terms a pronunciation: "
            f"{neighbour_stages.BUILD}, step 2d."
        )


def pronunciation_gap(scores: Scores, policy: GatePolicy) -> PronunciationGap | None:
    """Return the pronunciation gap if guessed pronunciations alone are misrecognised, else None."""
    sources = scores.by("ipa_source")
    if DICTIONARY not in sources or GUESSED not in sources:
        return None
    dictionary, predicted = sources[DICTIONARY].keyword, sources[GUESSED].keyword
    if dictionary.rate is None or predicted.rate is None:
        return None
    if min(dictionary.n, predicted.n) < policy.min_source_rows:
        return None
    if dictionary.rate <= policy.good_pronunciation and predicted.rate > policy.bad_pronunciation:
        return PronunciationGap(dictionary, predicted)
    return None
