"""Speed and memory of scoring an evaluation.

    python -m benchmarks.scoring [--rows N] [--sizes 10000 100000 1000000]

Rows are sentences of about twenty words from the demo's carriers, with a word in ten misheard. In
one run, on the same rows in memory and with the same normaliser: our tally (the four metrics, the
pooled WER, canonical KER and all breakdowns) and the same without the canonical view; both again
with false keywords, near misses and the strict view; jiwer (WER and CER in one call each for all
rows, which is its fastest way; KER and SER in Python), and a literal reading of the specification
in pure Python. Then the same texts with one term a row and with three in a list, and the strict
view's two ways of reading a text. Then files of several sizes by ``asr-flywheel score``'s own road,
with everything that it prints.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
import unicodedata
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import jiwer

from asr_flywheel.demo.sentence_templates import CARRIERS, CONTEXTS
from asr_flywheel.demo.terms import TERMS
from tasks.data.row_terms import RowTerm
from tasks.data.text_normalizer import normalise
from tasks.evaluation.clinical_values import read, read_in_full
from tasks.evaluation.false_keywords import index_terms
from tasks.evaluation.hypotheses import Hypothesis, write_hypotheses
from tasks.evaluation.incremental_scoring import score_file, summarise
from tasks.evaluation.score_summary import Summary, summary_as_dict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tasks.evaluation.clinical_values import Reading

ROWS = 20_000
LITERAL_ROWS = 300
SIZES = (10_000, 100_000, 1_000_000)
REPEATS = 3
LETTER = "the specification's letter"
OURS = "ours, one process"
WITHOUT = "ours without canonical view"
ALL = "all figures, one process"
ALL_WITHOUT = "all without canonical view"
SINGLE = "three-term texts, one term"
LISTED = "three-term texts, lists"
ALL_SINGLE = "all figures, one term"
ALL_LISTED = "all figures, lists"
SHORT = "strict view reads, short road"
FULL = "strict view reads, in full"
_WORDS = 20
_MISHEARD = 0.1


@dataclass(frozen=True)
class ScoringRow:
    """One line of the table.

    Attributes:
        what: what was measured.
        rows: how many rows were scored.
        seconds: of one core, helpers' included, so that a busy machine does not decide; the best of
            several runs.
        wall: seconds that passed, where several processes worked.
        peak_mib: resident memory of all processes together, where it was measured.
    """

    what: str
    rows: int
    seconds: float
    wall: float | None = None
    peak_mib: float | None = None

    @property
    def rate(self) -> float:
        """Rows a second of one core."""
        return self.rows / self.seconds


def evaluation(n: int, seed: int = 1) -> Iterator[Hypothesis]:
    """Yield rows of an evaluation, each of another sentence, some of it misheard."""
    rng = random.Random(seed)  # noqa: S311 - a benchmark's text
    fillers = [
        carrier.format(term="", dose="ten milligrams daily")
        for context, category in product(CONTEXTS, sorted({term.category for term in TERMS}))
        for carrier in CARRIERS[context][category]
    ]
    for place in range(n):
        term = rng.choice(TERMS)
        context = rng.choice(CONTEXTS)
        carrier = rng.choice(CARRIERS[context][term.category])
        words = carrier.format(term=term.text, dose=term.dose).split()
        words += rng.choice(fillers).split()[: max(0, _WORDS - len(words))]
        hyp_words = [word if rng.random() > _MISHEARD else f"{word[:3]}ing" for word in words]
        yield Hypothesis(
            f"audio/{place:07d}.wav",
            " ".join(words).capitalize() + ".",
            " ".join(hyp_words),
            term.text,
            term.category,
            "override" if term.ipa else "magpie_g2p",
            f"voice_{place % 8}",
            ("clean", "snr_15db", "snr_5db")[place % 3],
            context,
        )


def with_lists(rows: Iterable[Hypothesis], seed: int = 2) -> Iterator[Hypothesis]:
    """Yield rows whose texts name two more terms, all three in a list."""
    rng = random.Random(seed)  # noqa: S311 - a benchmark's text
    for row in rows:
        more = rng.sample([term for term in TERMS if term.text != row.term], 2)
        added = " and then ".join(term.text for term in more)
        heard = " ".join(
            word if rng.random() > _MISHEARD else f"{word[:3]}ing" for word in added.split()
        )
        first = RowTerm(row.term or "", row.entity_category)
        yield replace(
            row,
            ref=f"{row.ref[:-1]} {added}.",
            hyp=f"{row.hyp} {heard}",
            terms=(first, *(RowTerm(term.text, term.category) for term in more)),
        )


def by_jiwer(hypotheses: Sequence[Hypothesis]) -> dict[str, float]:
    """Compute the four metrics by jiwer, on text from the same normaliser."""
    refs = [normalise(row.ref) for row in hypotheses]
    hyps = [normalise(row.hyp) for row in hypotheses]
    terms = [normalise(row.term or "") for row in hypotheses]
    n = len(hypotheses)
    return {
        "wer": sum(_rates(jiwer.process_words(refs, hyps))) / n,
        "cer": sum(_rates(jiwer.process_characters(refs, hyps))) / n,
        "ker": sum(f" {t} " not in f" {h} " for t, h in zip(terms, hyps, strict=True)) / n,
        "ser": sum(r != h for r, h in zip(refs, hyps, strict=True)) / n,
    }


def _rates(output: jiwer.WordOutput | jiwer.CharacterOutput) -> Iterator[float]:
    """Yield each row's error rate, from its alignment."""
    for ref, steps in zip(output.references, output.alignments, strict=True):
        edits = sum(
            max(step.ref_end_idx - step.ref_start_idx, step.hyp_end_idx - step.hyp_start_idx)
            for step in steps
            if step.type != "equal"
        )
        yield edits / max(len(ref), 1)


def by_the_letter(hypotheses: Sequence[Hypothesis]) -> dict[str, float]:
    """Compute the four metrics as the specification reads, in pure Python."""
    sums = dict.fromkeys(("wer", "cer", "ker", "ser"), 0.0)
    for row in hypotheses:
        ref, hyp, term = (_literal_normalise(text) for text in (row.ref, row.hyp, row.term or ""))
        sums["wer"] += _literal_distance(ref.split(), hyp.split()) / max(len(ref.split()), 1)
        sums["cer"] += _literal_distance(ref, hyp) / max(len(ref), 1)
        sums["ker"] += f" {term} " not in f" {hyp} "
        sums["ser"] += ref != hyp
    return {name: value / len(hypotheses) for name, value in sums.items()}


def _literal_normalise(text: str) -> str:
    text = re.sub(r"[^\w\s-]", "", unicodedata.normalize("NFKD", text).lower())
    return re.sub(r"\s+", " ", text).strip()


def _literal_distance(left: Sequence[str], right: Sequence[str]) -> int:
    above = list(range(len(right) + 1))
    for i, left_item in enumerate(left, start=1):
        line = [i]
        for j, right_item in enumerate(right, start=1):
            line.append(min(above[j] + 1, line[-1] + 1, above[j - 1] + (left_item != right_item)))
        above = line
    return above[-1]


def _time_best(
    name: str, hypotheses: Sequence[Hypothesis], call: Callable[[], object]
) -> ScoringRow:
    seconds = []
    for _ in range(REPEATS):
        began = time.process_time()
        call()
        seconds.append(time.process_time() - began)
    return ScoringRow(name, len(hypotheses), min(seconds))


def _time_in_turn(
    hypotheses: Sequence[Hypothesis], calls: dict[str, Callable[[], object]]
) -> Iterator[ScoringRow]:
    """Time calls in turn, so that a machine that changes its speed favours none."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(2 * REPEATS):
        for name, call in calls.items():
            began = time.process_time()
            call()
            seconds[name].append(time.process_time() - began)
    for name, taken in seconds.items():
        yield ScoringRow(name, len(hypotheses), min(taken))


def rows(n: int = ROWS, sizes: Sequence[int] = SIZES) -> Iterator[ScoringRow]:
    """Time ours, jiwer and the literal reading on the same rows; then files of several sizes."""
    hypotheses = list(evaluation(n))
    first_rows = hypotheses[:LITERAL_ROWS]
    _check(summarise(hypotheses), by_jiwer(hypotheses))
    _check(summarise(first_rows), by_the_letter(first_rows))
    terms = index_terms(row.term for row in hypotheses)
    for with_name, name, index in ((OURS, WITHOUT, None), (ALL, ALL_WITHOUT, terms)):
        yield from _time_in_turn(
            hypotheses,
            {
                with_name: partial(summarise, hypotheses, index),
                name: partial(summarise, hypotheses, index, canonical=False),
            },
        )
    listed = list(with_lists(hypotheses))
    single = [replace(row, terms=()) for row in listed]
    for with_name, name, index in ((LISTED, SINGLE, None), (ALL_LISTED, ALL_SINGLE, terms)):
        yield from _time_in_turn(
            hypotheses,
            {with_name: partial(summarise, listed, index), name: partial(summarise, single, index)},
        )
    texts = [text for row in hypotheses for text in (row.ref, row.hyp)]
    roads = {SHORT: read.__wrapped__, FULL: read_in_full}
    yield from _time_in_turn(
        hypotheses, {name: partial(_read_all, road, texts) for name, road in roads.items()}
    )
    yield _time_best("jiwer", hypotheses, lambda: by_jiwer(hypotheses))
    yield _time_best(LETTER, first_rows, lambda: by_the_letter(first_rows))
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            path = Path(folder) / f"{size}.jsonl"
            write_hypotheses(path, evaluation(size))
            yield _time_file(path, size)
            path.unlink()


def _read_all(road: Callable[[str], Reading], texts: Iterable[str]) -> None:
    for text in texts:
        road(text)


def _check(ours: Summary, theirs: dict[str, float]) -> None:
    """Raise unless both have the same figures."""
    for name, value in theirs.items():
        if abs(getattr(ours.counts, name) - value) > 1e-9:  # noqa: PLR2004 - rounding
            raise AssertionError(f"{name}: {getattr(ours.counts, name)} is not {value}")


def _time_file(path: Path, size: int) -> ScoringRow:
    """Score a file in a process of its own, so that its peak memory is its own."""
    command = [sys.executable, "-m", "benchmarks.scoring", "--file", str(path)]
    process = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, wall, peak = map(float, process.stdout.split())
    return ScoringRow("a file, all that score prints", size, seconds, wall, peak)


def _score_file(path: Path) -> None:
    """Print core seconds, wall seconds and peak memory (MiB) of scoring a file."""
    began = time.perf_counter()
    summary_as_dict(score_file(path))
    wall = time.perf_counter() - began
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    # The largest helper's peak stands for each of them.
    own_mib, helper = (usage.ru_maxrss / 1024 for usage in usages)
    print(seconds, wall, own_mib + (os.cpu_count() or 1) * helper)


def main() -> None:
    """Print the table and the ratios."""
    parser = argparse.ArgumentParser(description="Scoring speed and memory.")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.file is not None:
        _score_file(args.file)
        return
    rates: dict[str, float] = {}
    for row in rows(args.rows, args.sizes):
        rates.setdefault(row.what, row.rate)
        details = "" if row.wall is None else f"  wall {row.wall:.1f} s, {row.peak_mib:.0f} MiB"
        print(
            f"{row.what:30} {row.rows:9,} rows {row.seconds:7.2f} core s "
            f"{row.rate:9,.0f} rows/s{details}",
            flush=True,
        )
    ours = rates[OURS]
    print(f"canonical view: {rates[WITHOUT] / ours - 1:+.1%} time, the four metrics")
    print(f"canonical view: {rates[ALL_WITHOUT] / rates[ALL] - 1:+.1%} time, all figures")
    print(f"lists of three: {rates[SINGLE] / rates[LISTED] - 1:+.1%} time, the four metrics")
    print(f"lists of three: {rates[ALL_SINGLE] / rates[ALL_LISTED] - 1:+.1%} time, all figures")
    print(f"strict view, short road / in full: {rates[SHORT] / rates[FULL]:.1f} times as fast")
    print(f"ours / jiwer: {ours / rates['jiwer']:.1f}")
    print(f"ours / the letter: {ours / rates[LETTER]:.0f}")


if __name__ == "__main__":
    main()
