"""Models that harm, and models that do not: where nobody speaks, in long recordings, in writing.

Studies of benchmarks/harm_error.py: each draws what base and tuned model write, and asks the
product's own check.

- words where nobody speaks: a recording's words are drawn anew, with the chances of its kind.
  Kinds of noise may have chances of their own in each model, since what a model hears in one hiss
  it hears in others.
- long recordings: three of ten errors are others. Stretches of several sentences, in which nothing
  is written, are lost by both models, or each by one of them alone.
- writing: marks are written anew, with the base's chances, or with a true fall.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from benchmarks.simulated_general import CORRECTED, LONGEST, SHORTEST
from tasks.data import nonspeech
from tasks.data.joined_sentences import PAUSE_S, ROWS_ON_GPU
from tasks.decision.guardrail import GuardrailPolicy
from tasks.decision.joined_check import LEAST_LIMIT, compare_lengths
from tasks.decision.nonspeech_check import NonspeechCheck, count_found
from tasks.decision.writing_check import CASE, PUNCTUATION, WritingCheck, compare_style
from tasks.decision.writing_check import LIMIT as FALL_LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

REDRAWN = 0.5
"""Share of recordings without speech, marks and capitals that the tuned model decides anew."""
POLICY = GuardrailPolicy()

Outcome: TypeAlias = "tuple[bool, bool]"
"""Whether a study's model is discarded, and whether it may not be kept."""
Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


# Words where nobody speaks


def without_speech(
    rng: np.random.Generator, rate: float, apart: float, rise: float = 0.0
) -> Outcome:
    """Draw recordings without speech by two models that find words equally often, unless told.

    Args:
        rng: of the draws.
        rate: in what share of the recordings the base finds words, on average.
        apart: standard deviation, in log-odds, of a kind's chance by either model around the
            kind's own; with 0 both have the same chance.
        rise: of the tuned model's chances, in log-odds.
    """
    kinds = len(nonspeech.KINDS)
    own = np.log(rate / (1 - rate)) + rng.standard_normal(kinds)
    chances = [
        1 / (1 + np.exp(-(own + more + apart * rng.standard_normal(kinds)))) for more in (0.0, rise)
    ]
    base, tuned = (np.repeat(chance, nonspeech.OF_EACH_KIND) for chance in chances)
    before = _words_found(rng, base)
    anew = rng.random(len(before)) < REDRAWN if apart == 0 else np.True_
    after = np.where(anew, _words_found(rng, tuned), before)
    terms = [rng.binomial(words, 0.1) for words in (before, after)]
    terms[1] = np.where(after == before, terms[0], terms[1])
    names = [kind for kind in nonspeech.KINDS for _ in range(nonspeech.OF_EACH_KIND)]
    words_found, terms_found = count_found(
        list(zip(before.tolist(), after.tolist(), strict=True)),
        list(zip(terms[0].tolist(), terms[1].tolist(), strict=True)),
        names,
    )
    check = NonspeechCheck(len(before), words_found, terms_found)
    harm = check.harm is not None
    return harm, harm


def _words_found(rng: np.random.Generator, chance: Floats) -> Counts:
    found: Counts = (rng.random(len(chance)) < chance) * (1 + rng.poisson(0.7, len(chance)))
    return found


# Long recordings

_SECONDS_A_WORD = 0.36
"""Of the demo's voices: eight words in 2.9 s."""


def long_recordings(
    rng: np.random.Generator,
    recordings: Mapping[int, int],
    wer: float,
    lost: float,
    alone: float,
    rise: float,
    stops: float = np.inf,
) -> Outcome:
    """Draw joined sentences by two models that lose equally many words, unless told.

    Args:
        rng: of the draws.
        recordings: how many of each length.
        wer: of both, outside the lost stretches.
        lost: stretches in a minute in which nothing is written; three sentences long on average.
        alone: share of the stretches that only one of the models loses, as often the one as the
            other.
        rise: of the tuned model's WER.
        stops: seconds of a recording after which the tuned model writes nothing.
    """
    most = max(_sentences(seconds) * count for seconds, count in recordings.items())
    words = rng.integers(SHORTEST, LONGEST + 1, most)
    errors = {}
    for seconds, count in recordings.items():
        # The same first sentences at every length.
        each = _sentences(seconds)
        said = words[: each * count]
        base = np.minimum(rng.poisson(wer * said), said)
        kept = rng.binomial(base, 1 - CORRECTED)
        tuned = np.minimum(kept + rng.poisson((wer * CORRECTED + rise) * said), said)
        for first in range(0, each * count, each):
            for start in rng.integers(first, first + each, rng.poisson(lost * seconds / 60)):
                stop = min(first + each, start + rng.geometric(1 / 3))
                draw = rng.random()
                for edits, keeps in ((base, draw < alone / 2), (tuned, draw > 1 - alone / 2)):
                    if not keeps:
                        edits[start:stop] = said[start:stop]
            unwritten = slice(first + min(each, _sentences(stops)), first + each)
            tuned[unwritten] = said[unwritten]
        sides = (base, said, tuned, said)
        errors[seconds] = list(zip(*(side.tolist() for side in sides), strict=True))
    if not is_over_a_limit(errors):
        # Held at every length and in all: most studies need no intervals.
        return False, False
    check = compare_lengths(errors, recordings, POLICY)
    return check.harm is not None, check.harm is not None or check.doubt is not None


def is_over_a_limit(errors: Mapping[int, Sequence[tuple[int, int, int, int]]]) -> bool:
    """Return whether the WER of joined sentences rises over its limit at a length, or in all."""
    sums = [np.sum(rows, axis=0) for rows in errors.values()]
    for before, words, after, _ in (*sums, np.sum(sums, axis=0)):
        if (after - before) / words > max(LEAST_LIMIT, POLICY.limit(before / words)):
            return True
    return False


def _sentences(seconds: float) -> int:
    mean = (SHORTEST + LONGEST) / 2 * _SECONDS_A_WORD + PAUSE_S
    return int(np.ceil(min(seconds, max(ROWS_ON_GPU)) / mean))


# Punctuation and capitals


def writing(rng: np.random.Generator, sentences: int, fall: float) -> Outcome:
    """Draw marks and capitals by two models that write them equally well, or nearly.

    Args:
        rng: of the draws.
        sentences: of general English.
        fall: of the tuned model's chance to write one as the reference does.
    """
    figures = []
    for name, what in ((PUNCTUATION, "mark"), (CASE, "capital")):
        said = 1 + rng.binomial(3, 0.3, sentences)
        owners = np.repeat(np.arange(sentences), said)
        # Some sentences are harder than others, for both models alike.
        hard = rng.beta(8, 2, sentences)[owners]
        base = rng.random(len(owners)) < hard
        anew = rng.random(len(owners)) < REDRAWN
        tuned = np.where(anew, rng.random(len(owners)) < hard - fall / REDRAWN, base)
        right = [np.bincount(owners, side, sentences).astype(int) for side in (base, tuned)]
        # F1 of as many marks as the reference has is their accuracy.
        parts = [
            [(int(side[place]), int(said[place])) for side in right] for place in range(sentences)
        ]
        # Within the limit a figure is held, without an interval.
        if right[0].sum() - right[1].sum() > FALL_LIMIT * said.sum():
            figures.append(compare_style(name, what, int(said.sum()), int(said.sum()), parts))
    check = WritingCheck(tuple(figures))
    return check.harm is not None, check.harm is not None or check.doubt is not None
