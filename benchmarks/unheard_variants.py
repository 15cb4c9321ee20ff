"""What a change that nobody hears does to KER, and what the mean over variants makes of it.

    python -m benchmarks.unheard_variants moves  CYCLE MODEL… [--json FILE]
    python -m benchmarks.unheard_variants spread CYCLE MODEL… [--json FILE] [--seed 42]

CYCLE is a finished run's folder of cycle N, whose validation.jsonl judges; a MODEL is a .nemo.
``moves`` decodes the rows that judge under every kind of change: silence before or after, the first
samples reflected, samples cut off, gain, noise. ``spread`` decodes them under shifts of the whole
recording, uniform over an encoder frame, plainly and with the product's inner variants, and
compares the standard deviation of drug KER over the shifts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from nemo.utils import logging

from benchmarks.entrypoint_imports import Untyped, audio_reader, decoding_pipeline, greedy_decoder
from tasks.common import atomic_files
from tasks.evaluation.hypotheses import Hypothesis
from tasks.evaluation.scoring import score
from tasks.transcription import variants

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    Samples = npt.NDArray[np.float32]
    Change = Callable[[Samples], Samples]

DRUG = "drug"
RATE = 16_000


def zeros_before(samples: int) -> Change:
    """Return the change: digital silence before the recording."""
    return lambda signal: np.concatenate([np.zeros(samples, np.float32), signal])


def zeros_after(samples: int) -> Change:
    """Return the change: digital silence after the recording."""
    return lambda signal: np.concatenate([signal, np.zeros(samples, np.float32)])


def reflected(samples: int) -> Change:
    """Return the change: the first samples, backwards, before the recording."""
    return lambda signal: np.concatenate([signal[1 : samples + 1][::-1], signal])


def trimmed(samples: int) -> Change:
    """Return the change: the first samples are cut off."""
    return lambda signal: signal[samples:]


def gain(decibels: float) -> Change:
    """Return the change: louder, or softer; no clipping, since samples are floats."""
    return lambda signal: (signal * np.float32(10 ** (decibels / 20))).astype(np.float32)


def noise(decibels: float) -> Change:
    """Return the change: white noise of this level against full scale, the same every time."""

    def add(signal: Samples) -> Samples:
        white = np.random.default_rng(1).standard_normal(len(signal)).astype(np.float32)
        louder: Samples = signal + white * np.float32(10 ** (decibels / 20))
        return louder

    return add


def both(first: Change, second: Change) -> Change:
    """Return two changes, one after the other."""
    return lambda signal: second(first(signal))


SHIFTS = (20, 40, 80, 120, 160, 240, 320, 400, 480, 560, 640, 960, 1280)
KINDS: dict[str, dict[str, Change]] = {
    "zeros before": {str(n): zeros_before(n) for n in SHIFTS},
    "zeros after": {str(n): zeros_after(n) for n in SHIFTS},
    "first samples reflected": {str(n): reflected(n) for n in SHIFTS},
    "trimmed": {str(n): trimmed(n) for n in SHIFTS},
    "gain, dB": {f"{db:+g}": gain(db) for db in (-12, -6, -3, -1, -0.1, 0.1, 1, 3, 6, 12)},
    "white noise, dB of full scale": {str(db): noise(db) for db in (-100, -90, -80, -70, -60)},
}


@dataclass(frozen=True)
class JudgedRows:
    """The rows that judge, in memory.

    Attributes:
        rows: as the manifest holds them.
        signals: their samples.
    """

    rows: tuple[dict[str, str], ...]
    signals: tuple[Samples, ...]

    @property
    def drugs(self) -> tuple[int, ...]:
        """The places of the rows of a drug."""
        return tuple(n for n, row in enumerate(self.rows) if row["entity_category"] == DRUG)

    def missed(self, texts: Sequence[str]) -> tuple[bool, ...]:
        """Return which rows' terms are missed."""
        scored = score(
            Hypothesis(row["audio_filepath"], row["text"], text, row["term"])
            for row, text in zip(self.rows, texts, strict=True)
        )
        return tuple(bool(row.term_missed) for row in scored.rows)


def read_rows(cycle: Path, rate: int) -> JudgedRows:
    """Read the rows that judge, and their audio."""
    (manifest,) = sorted(cycle.glob("**/validation.jsonl"))[:1]
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    kept = tuple(row for row in rows if row.get("term"))
    return JudgedRows(
        kept, tuple(audio_reader.read(str(cycle / row["audio_filepath"]), rate) for row in kept)
    )


class SignalRecognizer:
    """A model that decodes samples in memory, in batches as the product makes them."""

    def __init__(self, path: Path, longest: float) -> None:
        on_gpu = torch.cuda.is_available()
        model = greedy_decoder.restore(str(path), "cuda" if on_gpu else "cpu")
        self.recognizer: Untyped = greedy_decoder.GreedyRecognizer(
            model, greedy_decoder.compute_dtype(model)
        )
        self.budget = decoding_pipeline.prepare(self.recognizer, longest)

    def decode(self, signals: Sequence[Samples]) -> list[str]:
        """Return the texts."""
        seconds = [len(signal) / self.recognizer.rate for signal in signals]
        texts = [""] * len(signals)

        def one(places: list[int]) -> None:
            lengths = torch.tensor([len(signals[place]) for place in places])
            batch = torch.zeros(len(places), int(lengths.max()))
            for row, place in zip(batch, places, strict=True):
                row[: len(signals[place])] = torch.from_numpy(signals[place].copy())
            with torch.inference_mode():
                encoded = self.recognizer.encode(batch, lengths)
                spelt = self.recognizer.spell(self.recognizer.decode([encoded]))
            for place, text in zip(places, spelt, strict=True):
                texts[place] = text

        plan = list(decoding_pipeline.length_batching.plan(seconds, self.budget))
        workers = 1 if self.recognizer.on_gpu else decoding_pipeline.cpu_workers()
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(one, plan))
        return texts


def moves(judged: JudgedRows, model: SignalRecognizer) -> list[dict[str, object]]:
    """Decode under every kind of change, and compare with the plain decode."""
    plain = model.decode(judged.signals)
    was = judged.missed(plain)
    table: list[dict[str, object]] = [_line("plain", "", judged, plain, plain, was)]
    for kind, changes in KINDS.items():
        for name, change in changes.items():
            texts = model.decode([change(signal) for signal in judged.signals])
            table.append(_line(kind, name, judged, plain, texts, was))
    return table


def _line(
    kind: str,
    name: str,
    judged: JudgedRows,
    plain: Sequence[str],
    texts: Sequence[str],
    was: Sequence[bool],
) -> dict[str, object]:
    now = judged.missed(texts)
    return {
        "kind": kind,
        "change": name,
        "drug_ker": statistics.mean(now[place] for place in judged.drugs),
        "ker": statistics.mean(now),
        "flipped": sum(a is not b for a, b in zip(was, now, strict=True)),
        "texts": sum(a != b for a, b in zip(plain, texts, strict=True)),
        "missed": [int(one) for one in now],
    }


OUTER = 32
OUTER_FRAME = 640
"""Samples of an encoder frame of the embedded base."""
RESAMPLES = 4000


def miss_table(
    judged: JudgedRows, model: SignalRecognizer, furthest: int
) -> dict[int, tuple[bool, ...]]:
    """Decode the drug rows under every total shift that an outer and an inner one may add up to.

    Outer shifts lie half a step off the inner grid, so that every total is decoded once.
    """
    drugs = [judged.signals[place] for place in judged.drugs]
    of_drugs = JudgedRows(tuple(judged.rows[place] for place in judged.drugs), tuple(drugs))
    table = {}
    for shift in (0, *range(variants.STEP // 2, OUTER_FRAME + furthest, variants.STEP)):
        texts = model.decode([zeros_before(shift)(signal) for signal in drugs])
        table[shift] = of_drugs.missed(texts)
    return table


@dataclass(frozen=True)
class Spread:
    """The spread of drug KER over outer shifts.

    Attributes:
        inner: the inner shifts.
        plain: mean and standard deviation of the plain decode's KER.
        mean: the same of the mean over the inner shifts.
        ratio: of the two standard deviations, with its 95 % interval by resampled outer shifts.
        by_rows: the same interval by resampled rows.
    """

    inner: tuple[int, ...]
    plain: tuple[float, float]
    mean: tuple[float, float]
    ratio: tuple[float, float, float]
    by_rows: tuple[float, float]


def spread(table: dict[int, tuple[bool, ...]], inner: tuple[int, ...]) -> Spread:
    """Compare the spread of the plain decode with that of the mean over inner shifts."""
    outer = range(variants.STEP // 2, OUTER_FRAME, variants.STEP)
    plain = np.array([table[shift] for shift in outer], dtype=np.float64)
    means = np.array([np.mean([table[shift + one] for one in inner], axis=0) for shift in outer])
    rng = np.random.default_rng(7)
    shifts = rng.integers(0, len(outer), (RESAMPLES, len(outer)))
    by_shifts = _ratios(means.mean(1)[shifts], plain.mean(1)[shifts])
    rows = rng.integers(0, plain.shape[1], (RESAMPLES, plain.shape[1]))
    by_rows = _ratios(means[:, rows].mean(2).T, plain[:, rows].mean(2).T)
    return Spread(
        inner,
        (float(plain.mean()), float(plain.mean(1).std(ddof=1))),
        (float(means.mean()), float(means.mean(1).std(ddof=1))),
        (
            float(means.mean(1).std(ddof=1) / plain.mean(1).std(ddof=1)),
            float(np.quantile(by_shifts, 0.025)),
            float(np.quantile(by_shifts, 0.975)),
        ),
        (float(np.quantile(by_rows, 0.025)), float(np.quantile(by_rows, 0.975))),
    )


def _ratios(
    means: npt.NDArray[np.float64], plain: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    below = plain.std(axis=1, ddof=1)
    kept = below > 0
    ratios: npt.NDArray[np.float64] = means.std(axis=1, ddof=1)[kept] / below[kept]
    return ratios


def _print_moves(path: Path, judged: JudgedRows, model: SignalRecognizer) -> object:
    print(f"{path.name}: {len(judged.rows)} rows, {len(judged.drugs)} of a drug")
    print(f"{'change':32} {'':>6} drug KER    KER  flipped  other texts")
    table = moves(judged, model)
    for line in table:
        print(
            f"{line['kind']:32} {line['change']:>6} {line['drug_ker']:8.3f} "
            f"{line['ker']:6.3f} {line['flipped']:8} {line['texts']:12}",
            flush=True,
        )
    return table


def _print_spread(path: Path, table: dict[int, tuple[bool, ...]], seed: int) -> object:
    found = []
    print(f"{path.name}: drug KER over {OUTER} outer shifts")
    print("variants  plain mean, SD   variants' mean, SD   ratio  by shifts     by rows")
    for count in (2, 4, 8, 16):
        one = spread(table, variants.shifts(count, seed))
        found.append(asdict(one))
        print(
            f"{count:8}  {one.plain[0]:.3f}, {one.plain[1]:.4f}    {one.mean[0]:.3f}, "
            f"{one.mean[1]:.4f}        {one.ratio[0]:.2f}  "
            f"{one.ratio[1]:.2f} to {one.ratio[2]:.2f}  "
            f"{one.by_rows[0]:.2f} to {one.by_rows[1]:.2f}",
            flush=True,
        )
    return {
        "spread": found,
        "missed": {str(shift): [int(row) for row in rows] for shift, rows in table.items()},
    }


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="What unheard changes do to KER.")
    parser.add_argument("what", choices=("moves", "spread"))
    parser.add_argument("cycle", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--seed", type=int, default=42, help="Of the inner shifts.")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    logging.setLevel(logging.ERROR)
    judged = read_rows(asked.cycle, RATE)
    longest = max(len(signal) for signal in judged.signals) / RATE + 0.2
    results = {}
    for path in asked.models:
        model = SignalRecognizer(path, longest)
        started = time.monotonic()
        if asked.what == "moves":
            results[path.name] = _print_moves(path, judged, model)
        else:
            table = miss_table(judged, model, variants.FRAME)
            results[path.name] = _print_spread(path, table, asked.seed)
        print(f"{time.monotonic() - started:.0f} s", flush=True)
        if asked.json is not None:
            atomic_files.write_json(asked.json, results)


if __name__ == "__main__":
    main()
