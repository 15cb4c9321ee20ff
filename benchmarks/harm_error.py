"""False discards and power of the checks of harm, by simulation.

    python -m benchmarks.harm_error [--studies N] [--harmful-studies N] [--only NAME] [--json FILE]

Checks of harm may discard a model whatever it gained: words where nobody speaks, long recordings,
punctuation and capitals, KER of a priority category, KER by voice and group, false keywords. A
*harmless* model differs from the base, and is no worse on average, or within the limit. A *harmful*
one is worse beyond it. Each line prints how often the product's own rule discards the model, and
how often it is not kept, since a check may also be unclear.

What is drawn, and what of it was measured: benchmarks/simulated_harm.py and
benchmarks/simulated_term_harm.py. The guardrail's error is that of benchmarks/choice_error.py.

One line has all of these checks at once; it is held against no limit.
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

from benchmarks import decision_by_shares
from benchmarks.choice_study import upper_limit
from benchmarks.simulated_harm import long_recordings, without_speech, writing
from benchmarks.simulated_term_harm import DrawnRows, by_category, by_voice, false_keywords
from tasks.common import atomic_files
from tasks.data.joined_sentences import ROWS_ON_CPU, ROWS_ON_GPU

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.simulated_harm import Outcome

STUDIES = 4000
STUDIES_OF_HARM = 4000
LIMIT = 0.05
SEED = 23
DESIGNS = (*decision_by_shares.DESIGNS, (500, 1.0))
"""Rows of the manifest, and the share that judges; 1 with folds."""
FALSE_RATES = (0.01, 0.05, 0.2)
"""Rows with a false keyword. The demo's models had none in 240 rows: at most 0.012 (95 %)."""
TOGETHER = "all checks"


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
    yield from _harmless_terms()


def _harmless_terms() -> Iterator[Line]:
    """Yield the lines of priority categories and of false keywords."""
    for (manifest, share), categories, decodes in product(DESIGNS, (1, 2), (1, 8)):
        rows = DrawnRows(manifest, share, categories, decodes)
        for model in decision_by_shares.MODELS:
            setting = f"{model}; {rows}"
            if "useless" in model:
                yield "priority category", setting, partial(by_category, model=model, rows=rows)
            if manifest == DESIGNS[-1][0] and share == 1:
                continue  # takes minutes a line
            for rate in FALSE_RATES:
                study = partial(false_keywords, model=model, rows=rows, rate=rate)
                yield "false keywords", f"{setting}, {rate:.0%} hold one", study


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
    falls = {20: (0.1, 0.2, 0.5), 60: (0.1, 0.2, 0.5), 450: (0.075, 0.1)}
    for sentences, fall in ((count, fall) for count, some in falls.items() for fall in some):
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

    yield from _harmful_terms()


def _harmful_terms() -> Iterator[Line]:
    """Yield the lines of rows lost in a priority category, and of terms written into many rows."""
    nothing = "useless, nothing changed"
    for (manifest, share), categories, decodes in product(DESIGNS[:3], (1, 2), (1, 8)):
        rows = DrawnRows(manifest, share, categories, decodes)
        for lost in (0.2, 0.4):
            setting = f"{rows}; the first category loses {lost:.0%} of its rows"
            yield (
                "priority category",
                setting,
                partial(by_category, model=nothing, rows=rows, lost=lost),
            )
        for shouted in (0.1, 0.2, 0.4) if categories == 1 else ():
            setting = f"{rows}; all terms are written into {shouted:.0%} of the rows"
            yield (
                "false keywords",
                setting,
                partial(
                    false_keywords,
                    model=nothing,
                    rows=rows,
                    rate=FALSE_RATES[0],
                    shouted=shouted,
                ),
            )


def all_checks(rng: np.random.Generator) -> Outcome:
    """Draw all checks of a cycle such as the demo's, with eight decodes of 40 rows."""
    outcomes = [
        without_speech(rng, 0.9, 0.5),
        long_recordings(rng, ROWS_ON_GPU, 0.15, 0.5, 0.25, 0.0),
        writing(rng, 450, 0.0),
        by_voice(rng, "useless, row by row", 40, 4, 8, shared=True),
        by_category(rng, "useless, row by row", DrawnRows(200, 0.2)),
        false_keywords(rng, "useless, row by row", DrawnRows(200, 0.2), FALSE_RATES[0]),
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
    checked = (line for line in found if not line.harmful and line.check != TOGETHER)
    return max((line.upper for line in checked), default=0.0)


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
    together = (TOGETHER, "as the demo's cycle, 40 rows, 8 decodes", all_checks)
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
