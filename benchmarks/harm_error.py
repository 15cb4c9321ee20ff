"""False discards and power of the checks of harm, by simulation.

    python -m benchmarks.harm_error [--studies N] [--harmful-studies N] [--only NAME] [--json FILE]

Four checks may discard a model whatever it gained: words where nobody speaks, long recordings,
punctuation and capitals, KER by voice and group. A *harmless* model differs from the base, and is
no worse on average, or within the limit. A *harmful* one is worse beyond it. Each line prints how
often the product's own rule discards the model, and how often it is not kept, since a check may
also be unclear.

- nonspeech: a recording's words are drawn anew, with the chances of its kind. Kinds of noise may
  have chances of their own in each model, since what a model hears in one hiss it hears in others.
- long recordings: three of ten errors are others. Stretches of several sentences, in which nothing
  is written, are lost by both models, or each by one of them alone.
- writing: marks are written anew, with the base's chances, or with a true fall.
- voices: rows or terms change as in benchmarks/decision_by_shares.py; a gain is the same for all.
  All voices may say the same terms, or each its own. A harmful model loses rows of one voice.

One line has all four checks at once.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from benchmarks import decision_by_shares
from benchmarks.choice_error import upper_limit
from benchmarks.simulated_general import CORRECTED, LONGEST, SHORTEST
from tasks.common import atomic_files
from tasks.data import nonspeech
from tasks.data.joined_sentences import PAUSE_S, ROWS_ON_CPU, ROWS_ON_GPU
from tasks.decision.group_check import FIELDS, compare_groups
from tasks.decision.guardrail import GuardrailPolicy
from tasks.decision.joined_check import LEAST_LIMIT, compare_lengths
from tasks.decision.nonspeech_check import NonspeechCheck, count_found
from tasks.decision.writing_check import CASE, PUNCTUATION, WritingCheck, compare_style
from tasks.decision.writing_check import LIMIT as FALL_LIMIT
from tasks.evaluation.diff import summarise_changes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tasks.decision.group_check import GroupCheck

STUDIES = 4000
STUDIES_OF_HARM = 1000
LIMIT = 0.05
SEED = 23
REDRAWN = 0.5
"""Share of recordings without speech, marks and capitals that the tuned model decides anew."""
POLICY = GuardrailPolicy()

Outcome = tuple[bool, bool]
"""Whether a study's model is discarded, and whether it may not be kept."""
Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class HarmStudies:
    """One line of the table.

    Attributes:
        check: which check of harm.
        setting: what is drawn.
        harmful: whether the model does harm, so that a discard is right.
        studies: how many.
        discarded: share of the studies in which the check discards the model.
        upper: the one-sided 95 % upper limit of that (Clopper & Pearson).
        not_kept: share in which it is discarded, or the check is unclear.
    """

    check: str
    setting: str
    harmful: bool
    studies: int
    discarded: float
    upper: float
    not_kept: float


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


# KER by voice and group


def by_voice(
    rng: np.random.Generator,
    model: str,
    rows: int,
    voices: int,
    decodes: int,
    *,
    shared: bool,
    lost: float = 0.0,
) -> Outcome:
    """Draw rows that judge, of several voices and of two groups, by a model that harms one or none.

    Args:
        rng: of the draws.
        model: of benchmarks/decision_by_shares.py.
        rows: that judge.
        voices: that say them.
        decodes: of each row and side.
        shared: whether every voice says every term; else each has terms of its own.
        lost: share of the first voice's rows whose term the tuned model always misses.
    """
    manifest = 5 * rows
    correlation = decision_by_shares.CORRELATION
    difficulty = decision_by_shares.draw_terms(rng, manifest)
    before = decision_by_shares.draw_rows(rng, difficulty, correlation)
    after = decision_by_shares.MODELS[model](rng, difficulty, before, correlation)
    judged = rng.permutation(manifest)[:rows]
    terms = judged // decision_by_shares.ROWS_PER_TERM
    voice_of = rng.integers(0, voices, rows) if shared else terms % voices
    chances_after = np.where((voice_of == 0) & (rng.random(rows) < lost), 1.0, after[judged])
    was, now = (
        (rng.random((decodes, rows)) < chances).sum(axis=0)
        for chances in (before[judged], chances_after)
    )
    speakers = {
        "voice_id": voice_of,
        "group": rng.integers(0, 2, rows),
    }
    harm = judge_groups(terms, was, now, speakers, decodes).harm is not None
    return harm, harm


def judge_groups(
    terms: Counts, was: Counts, now: Counts, speakers: Mapping[str, Counts], decodes: int
) -> GroupCheck:
    """Return the product's check of rows of several voices and groups.

    Args:
        terms: of each row.
        was: in how many decodes each was missed before.
        now: the same after.
        speakers: by field, the value of each row.
        decodes: of each row and side.
    """
    return compare_groups(
        [
            (
                field,
                str(value),
                summarise_changes(
                    str(value),
                    decision_by_shares.occurrences(
                        terms, was, now, np.flatnonzero(speakers[field] == value), decodes
                    ),
                ),
            )
            for field in FIELDS
            for value in np.unique(speakers[field])
        ]
    )


Line: TypeAlias = "tuple[str, str, Callable[[np.random.Generator], Outcome]]"
"""A line's check, its setting in words, and one study of it."""


def harmless_lines() -> Iterator[Line]:
    """Yield the lines of models that do no harm."""
    for rate, apart in product((0.05, 0.3, 0.9), (0.0, 0.5, 1.0)):
        setting = f"words in {rate:.0%} of the recordings, kinds apart by {apart:g}"
        yield "nonspeech", setting, partial(without_speech, rate=rate, apart=apart)
    machines = {"GPU": ROWS_ON_GPU, "CPU": ROWS_ON_CPU}
    stretches = ((0.0, 0.0), (0.5, 0.25), (0.5, 1.0))
    for (machine, recordings), wer, (lost, alone), rise in product(
        machines.items(), (0.04, 0.15), stretches, (0.0, 0.01)
    ):
        setting = f"{machine}, WER {wer:g}, rise {100 * rise:g} points"
        if lost:
            setting += f", {lost:g} stretches a minute lost, {alone:.0%} of them by one model"
        study = partial(
            long_recordings, recordings=recordings, wer=wer, lost=lost, alone=alone, rise=rise
        )
        yield "long recordings", setting, study
    for sentences, fall in product((20, 60, 450), (0.0, 0.025, 0.05)):
        setting = f"{sentences} sentences, fall {100 * fall:g} points"
        yield "writing", setting, partial(writing, sentences=sentences, fall=fall)
    for model, rows, voices, decodes, shared in product(
        (name for name in decision_by_shares.MODELS if "60" not in name),
        (20, 40, 100),
        (4, 20),
        (1, 8),
        (True, False),
    ):
        if rows < 2 * voices:
            continue
        terms = "the same terms" if shared else "terms of their own"
        setting = f"{model}; {rows} rows, {voices} voices, {terms}, {decodes} decodes"
        yield (
            "voices and groups",
            setting,
            partial(
                by_voice, model=model, rows=rows, voices=voices, decodes=decodes, shared=shared
            ),
        )


def harmful_lines() -> Iterator[Line]:
    """Yield the lines of models that do harm."""
    for rate, rise in product((0.05, 0.3, 0.9), (1.0, 2.0)):
        setting = f"words in {rate:.0%} of the recordings, odds times {np.exp(rise):.1f}"
        yield "nonspeech", setting, partial(without_speech, rate=rate, apart=0.5, rise=rise)
    machines = {"GPU": ROWS_ON_GPU, "CPU": ROWS_ON_CPU}
    for machine, recordings in machines.items():
        decode = partial(long_recordings, recordings=recordings, wer=0.15, lost=0.5, alone=0.25)
        for stops in (30.0, 60.0):
            setting = f"{machine}, WER 0.15, nothing is written after {stops:g} s"
            yield "long recordings", setting, partial(decode, rise=0.0, stops=stops)
        for rise in (0.05, 0.1):
            setting = f"{machine}, WER 0.15, rise {100 * rise:g} points"
            yield "long recordings", setting, partial(decode, rise=rise)
    for sentences, fall in product((20, 60, 450), (0.1, 0.2, 0.5)):
        setting = f"{sentences} sentences, fall {100 * fall:g} points"
        yield "writing", setting, partial(writing, sentences=sentences, fall=fall)
    for rows, lost in product((40, 100, 200), (0.5, 1.0)):
        setting = f"gain of 40 %; {rows} rows; one of 4 voices loses {lost:.0%} of its rows"
        yield (
            "voices and groups",
            setting,
            partial(
                by_voice,
                model="gain of 40 %",
                rows=rows,
                voices=4,
                decodes=8,
                shared=True,
                lost=lost,
            ),
        )


def all_checks(rng: np.random.Generator) -> Outcome:
    """Draw all four checks of a cycle such as the demo's, with eight decodes of 40 rows."""
    outcomes = [
        without_speech(rng, 0.9, 0.5),
        long_recordings(rng, ROWS_ON_GPU, 0.15, 0.5, 0.25, 0.0),
        writing(rng, 450, 0.0),
        by_voice(rng, "useless, row by row", 40, 4, 8, shared=True),
    ]
    return any(harm for harm, _ in outcomes), any(refused for _, refused in outcomes)


def simulate(
    line: Line,
    studies: int,
    *,
    harmful: bool,
    seed: int = SEED,
) -> HarmStudies:
    """Draw a line's studies; they depend on the line alone."""
    check, setting, study = line
    rng = np.random.default_rng([seed, *f"{check} {setting}".encode()])
    outcomes = [study(rng) for _ in range(studies)]
    discarded = sum(harm for harm, _ in outcomes)
    refused = sum(not_kept for _, not_kept in outcomes)
    return HarmStudies(
        check,
        setting,
        harmful,
        studies,
        discarded / studies,
        upper_limit(discarded, studies),
        refused / studies,
    )


def _worst(found: Sequence[HarmStudies]) -> float:
    return max((line.upper for line in found if not line.harmful), default=0.0)


def main() -> None:
    """Print the table, and fail if the upper limit of a harmless line is over the limit."""
    parser = argparse.ArgumentParser(description="False discards by the checks of harm.")
    parser.add_argument("--studies", type=int, default=STUDIES)
    parser.add_argument("--harmful-studies", type=int, default=STUDIES_OF_HARM)
    parser.add_argument("--only", default="", help="lines whose check begins so")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found: list[HarmStudies] = []
    print(f"{'check':17} {'setting':75} discarded (upper)  not kept")
    together = ("all four", "as the demo's cycle, 40 rows, 8 decodes", all_checks)
    table = {False: [*harmless_lines(), together], True: [*harmful_lines()]}
    for harmful, lines in table.items():
        studies = asked.harmful_studies if harmful else asked.studies
        print(f"{'harmful' if harmful else 'harmless'}, {studies} studies a line")
        for line in lines:
            if not line[0].startswith(asked.only):
                continue
            drawn = simulate(line, studies, harmful=harmful)
            found.append(drawn)
            print(
                f"{drawn.check:17} {drawn.setting:75}     {drawn.discarded:.3f} "
                f"({drawn.upper:.3f})  {drawn.not_kept:8.3f}",
                flush=True,
            )
            if asked.json is not None:
                atomic_files.write_json(
                    asked.json, {"seed": SEED, "lines": [asdict(line) for line in found]}
                )
    print(f"harmless, discarded: upper limit at most {_worst(found):.3f} (limit {LIMIT})")
    sys.exit(_worst(found) > LIMIT)


if __name__ == "__main__":
    main()
