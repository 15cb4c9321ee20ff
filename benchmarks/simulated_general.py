"""Simulate general English before and after tuning, and the guardrail's error on it.

A sentence has eight words on average. The base errs in four of a hundred words. A tuned model
corrects three of ten of these errors and makes as many new ones elsewhere; a harmful model makes
more. On 200 sentences with a rise of 2.2 points this gives the standard error that the demo's
tuned model shows (0.6 points). Along the grid of mixtures, errors come and go one at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import special

from tasks.decision.guardrail import Guardrail, GuardrailPolicy, GuardrailStatus, check_guardrail
from tasks.evaluation.hypotheses import Hypothesis
from tasks.evaluation.scoring import Scores, score_row
from tasks.evaluation.statistics import Interval

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

BASE_WER = 0.04
CORRECTED = 0.3
"""Share of the base's errors that the tuned model corrects, and makes elsewhere."""
SHORTEST, LONGEST = 3, 13
"""Words in a sentence: eight on average."""
DOUBLED = 0.3
"""Share of errors that cost two edits, such as a word written as two."""
_EDITS_PER_ERROR = 1 + DOUBLED
CONFIDENCE = 0.95
ONE_SIDED = 0.95
"""The confidence of check_guardrail's upper end; a test compares the two."""
SENTENCES = (200, 450, 1500)
RISES = (0.0, 0.005, 0.01, 0.02)


@dataclass(frozen=True, slots=True)
class GeneralChange:
    """A model's true rise of the pooled WER.

    Attributes:
        rise: of the tuned model, as a share of words.
        power: the rise of a mixture is ``rise * value ** power``; 0 is as harmful at any value.
    """

    rise: float = 0.0
    power: float = 0.0

    def rise_at(self, values: Floats) -> Floats:
        """Return the true rise of mixtures; the base's is 0."""
        risen: Floats = np.where(values > 0, self.rise * values**self.power, 0.0)
        return risen


@dataclass(frozen=True, slots=True)
class GeneralSentences:
    """Sentences as base and shipped model write them, each array of shape (studies, sentences)."""

    words: Counts
    before: Counts
    after: Counts


@dataclass(frozen=True, slots=True)
class ChoosingShare:
    """The choosing share as the base writes it, each array of shape (studies, sentences)."""

    words: Counts
    before: Counts

    def take(self, studies: npt.NDArray[np.int64]) -> ChoosingShare:
        """Return the sentences of some studies."""
        return ChoosingShare(self.words[studies], self.before[studies])


@dataclass(frozen=True, slots=True)
class GridEdits:
    """The choosing share as the mixtures of a grid write it.

    Attributes:
        words: of each study.
        edits: of all sentences, shape (studies, values).
        errors: the standard error of each value's rise of the pooled WER, the same shape.
    """

    words: Counts
    edits: Counts
    errors: Floats


def _draw_edits(rng: np.random.Generator, mean: npt.NDArray[Any]) -> Counts:
    errors = mean / _EDITS_PER_ERROR
    single = rng.poisson(errors * (1 - DOUBLED))
    edits: Counts = single + 2 * rng.poisson(errors * DOUBLED)
    return edits


def draw_sentences(
    rng: np.random.Generator, change: GeneralChange, values: Floats, sentences: int
) -> GeneralSentences:
    """Draw the judging sentences of each study, decoded by the mixture of its value."""
    words = rng.integers(SHORTEST, LONGEST + 1, (len(values), sentences))
    before = _draw_edits(rng, BASE_WER * words)
    changed = CORRECTED * values[:, None]
    corrected = rng.binomial(before, changed)
    new = _draw_edits(rng, words * (BASE_WER * changed + change.rise_at(values)[:, None]))
    return GeneralSentences(words, before, before - corrected + new)


def draw_share(rng: np.random.Generator, studies: int, sentences: int) -> ChoosingShare:
    """Draw the choosing sentences of each study, decoded by the base."""
    words = rng.integers(SHORTEST, LONGEST + 1, (studies, sentences))
    return ChoosingShare(words, _draw_edits(rng, BASE_WER * words))


def edits_along_grid(
    rng: np.random.Generator, change: GeneralChange, share: ChoosingShare, values: Sequence[float]
) -> GridEdits:
    """Draw the edits of each value's mixture on the same sentences.

    An error that a mixture corrects or makes stays so in every mixture of a larger value.

    Args:
        rng: of the draws.
        change: the model's true rise.
        share: the sentences.
        values: ascending, the base's 0 first.
    """
    words = share.words.sum(axis=1)
    edits, errors = [share.before.sum(axis=1)], [np.zeros(len(words))]
    # Few words change, so that single edits are drawn, not the number in each sentence.
    wrong = np.repeat(np.arange(share.before.size), share.before.ravel())
    corrected_from = rng.random(len(wrong)) / CORRECTED
    ends = np.cumsum(share.words)
    net = np.zeros(share.words.size, dtype=np.int64)
    for smaller, larger in pairwise(values):
        corrected = wrong[(corrected_from > smaller) & (corrected_from <= larger)]
        np.subtract.at(net, corrected, 1)
        risen = change.rise_at(np.array([smaller, larger]))
        rate = BASE_WER * CORRECTED * (larger - smaller) + float(risen[1] - risen[0])
        new = rng.poisson(rate * int(ends[-1]) / _EDITS_PER_ERROR)
        places = np.searchsorted(ends, rng.integers(0, ends[-1], new), side="right")
        np.add.at(net, places, 1 + (rng.random(new) < DOUBLED))
        change_by_sentence = net.reshape(share.words.shape)
        total = change_by_sentence.sum(axis=1)
        residuals = change_by_sentence - (total / words)[:, None] * share.words
        edits.append(edits[0] + total)
        errors.append(np.sqrt((residuals**2).sum(axis=1)) / words)
    return GridEdits(words, np.stack(edits, axis=1), np.stack(errors, axis=1))


def judge_sentences(
    drawn: GeneralSentences,
    policy: GuardrailPolicy | None = None,
    one_sided: float = ONE_SIDED,
) -> list[Guardrail]:
    """Return each study's guardrail, with intervals by the normal's formula.

    ``check_guardrail`` draws a bootstrap; for a rate of hundreds of sentences its percentiles, with
    its widening for few blocks, are the linearised standard error times Student's quantile.
    """
    policy = policy or GuardrailPolicy()
    sentences = drawn.words.shape[1]
    words = drawn.words.sum(axis=1)
    before, after = drawn.before.sum(axis=1) / words, drawn.after.sum(axis=1) / words
    rises = after - before
    residuals = drawn.after - drawn.before - rises[:, None] * drawn.words
    errors = np.sqrt((residuals**2).sum(axis=1)) / words * math.sqrt(sentences / (sentences - 1))
    two_sided_quantile = float(special.stdtrit(sentences - 1, 0.5 + CONFIDENCE / 2))
    one_sided_quantile = float(special.stdtrit(sentences - 1, one_sided))
    guardrails = []
    for base_wer, wer, rise, error in zip(
        before.tolist(), after.tolist(), rises.tolist(), errors.tolist(), strict=True
    ):
        limit = policy.limit(base_wer)
        half_width = two_sided_quantile * error
        guardrails.append(
            Guardrail(
                sentences,
                base_wer,
                wer,
                base_wer,
                wer,
                Interval(rise - half_width, rise + half_width),
                limit,
                rise + one_sided_quantile * error,
                policy.largest_upper_end(limit),
            )
        )
    return guardrails


def bootstrap_guardrail(drawn: GeneralSentences, study: int) -> Guardrail:
    """Return a study's guardrail as the product computes it."""
    words = drawn.words[study].tolist()

    def scores(edits: Sequence[int]) -> Scores:
        return Scores(
            tuple(
                score_row(
                    Hypothesis(
                        f"{place}.wav",
                        " ".join(["word"] * length),
                        " ".join(["word"] * (length - errors) + ["other"] * errors),
                    )
                )
                for place, (errors, length) in enumerate(zip(edits, words, strict=True))
            )
        )

    return check_guardrail(
        scores(drawn.before[study].tolist()), scores(drawn.after[study].tolist()), GuardrailPolicy()
    )


@dataclass(frozen=True, slots=True)
class GuardErrorRow:
    """How often the guardrail says what, at one true rise.

    Attributes:
        sentences: that judge.
        rise: the true rise, as a share of words.
        held: share of studies.
        broken: share of studies.
        unclear: share of studies.
        compared: studies that were judged by the product's bootstrap too.
        agreeing: those of them with the same status.
    """

    sentences: int
    rise: float
    held: float
    broken: float
    unclear: float
    compared: int
    agreeing: int


def guard_error(
    studies: int, seed: int, *, compared: int = 0, one_sided: float = ONE_SIDED
) -> Iterator[GuardErrorRow]:
    """Simulate the guardrail at each number of sentences and each true rise."""
    for sentences in SENTENCES:
        for rise in RISES:
            rng = np.random.default_rng([seed, sentences, round(rise * 1e4)])
            drawn = draw_sentences(rng, GeneralChange(rise), np.ones(studies), sentences)
            statuses = [found.status for found in judge_sentences(drawn, one_sided=one_sided)]
            agreeing = sum(
                bootstrap_guardrail(drawn, study).status is statuses[study]
                for study in range(min(compared, studies))
            )
            yield GuardErrorRow(
                sentences=sentences,
                rise=rise,
                held=statuses.count(GuardrailStatus.HELD) / studies,
                broken=statuses.count(GuardrailStatus.BROKEN) / studies,
                unclear=statuses.count(GuardrailStatus.UNCLEAR) / studies,
                compared=min(compared, studies),
                agreeing=agreeing,
            )
