"""What our decoding costs on a GPU: the encoder folded or not, boosting, the choice of a mixture.

    python -m benchmarks.decoding_on_gpu --out FILE.json [--budget-s 240] [--pieces NAME[+NAME] …]
    python -m benchmarks.decoding_on_gpu --out FILE.json --tiny      # a small graph, on a CPU too

Each of the pieces runs in a process of its own, unless joined by "+", so that a fault in one does
not end the others. The file is written after each line; a piece that would begin after the budget
is left out:

- ``passes``: files to texts, NeMo's modules and the folded encoder taking turns, and
  ``transcribe()``;
- ``timeline``: where the seconds of a pass go, by thread, with fewer recordings decoded together;
- ``boosting``: decoding with phrases against decoding without, files to texts;
- ``texts``: the embedded bases in 32 bits, ours against ``transcribe()``, boosted and not;
- ``choosing``: the program that decodes mixtures, on the choosing rows of 200;
- ``encoder``: it alone on one batch; ``stages``: each
  stage alone.

The 617 M graph has random weights. They emit as many labels a frame as they may, 10 by default, and
at nearly every frame: the worst case of the loop and of spelling. ``--max-symbols 1`` leaves 12
labels a second of audio, some three times as many as speech has.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from nemo.utils import logging as nemo_logging

from benchmarks.boosting import phrases
from benchmarks.choosing_on_gpu import time_choosing
from benchmarks.clips import DEVICE, ON_GPU, BenchmarkReport, make_clips, timed
from benchmarks.decoding_timeline import draw
from benchmarks.entrypoint_imports import (
    Untyped,
    decoding_pipeline,
    greedy_decoder,
    parakeet_graph,
    phrase_boosting,
)
from benchmarks.texts_on_gpu import LISTS, STRENGTH, compare_texts
from benchmarks.transcribe_on_gpu import describe_machine, small
from benchmarks.transcribe_settings import changed, forget_graphs, stock
from benchmarks.transcribe_stages import encoder_operations, kernels, matmul_rate, stages

if TYPE_CHECKING:
    from collections.abc import Callable

PIECES = ("passes", "timeline", "boosting", "texts", "choosing", "encoder", "stages")
SHIPPED = ("passes+boosting", "texts", "choosing", "encoder", "stages")
PASSES = 3
PLAIN, PRODUCTS, FUSED = WAYS = ("NeMo's modules", "folded, products", "folded, fused")
_ENCODER_SECONDS = 2000
_START_S = 15.0
_SHORTEST_PIECE_S = 20.0


class Benchmark:
    """The graph, its clips, and the pieces.

    Attributes:
        model: NeMo's.
        ours: one recogniser for all ways of running the encoder.
    """

    def __init__(self, report: BenchmarkReport, folder: Path, args: argparse.Namespace) -> None:
        self.report, self.folder, self.tiny = report, folder, args.tiny
        self.budget_s, self.pass_count = args.budget_s, args.passes
        self.low = torch.bfloat16 if ON_GPU else torch.float32
        shortest, longest = (1.0, 3.0) if args.tiny else (3.0, 15.0)
        self.clips = make_clips(folder, 48 if args.tiny else args.clips, shortest, longest)
        report.note("clips", f"{len(self.clips.paths)}, {sum(self.clips.seconds):.0f} s")
        torch.manual_seed(0)
        config = parakeet_graph.tdt_config(parakeet_graph.make_tokenizer(folder))
        config["decoding"]["greedy"]["max_symbols"] = args.max_symbols
        built, seconds = timed(
            lambda: parakeet_graph.build_model(small(config) if args.tiny else config)
        )
        self.model: Untyped = built.to(DEVICE).eval()
        report.note("model built, s", round(seconds, 1))
        self.ours: Untyped = None
        self.folded: Untyped = None

    def recognizer(self) -> Untyped:
        """Make the recogniser once."""
        if self.ours is None:
            self.ours, seconds = timed(
                lambda: greedy_decoder.GreedyRecognizer(self.model, self.low)
            )
            self.report.note("taken apart, folded and checked, s", round(seconds, 2))
            self.report.note("encoder", self.ours.encoder.describe())
            self.folded = self.ours.encoder.folded
        return self.ours

    def left(self, needed: float = 0.0) -> bool:
        """Return whether the budget has so many seconds left."""
        return bool(self.report.elapsed() + needed < self.budget_s)

    def take(self, way: str) -> None:
        """Run the encoder by a way from here on."""
        ours = self.recognizer()
        ours.encoder.folded = None if way == PLAIN else self.folded
        if way != PLAIN:
            attention = "products" if way == PRODUCTS or not ON_GPU else "fused"
            self.folded.how = self.folded.how._replace(attention=attention)

    def prepare(self, frames: int | None = None) -> Any:  # noqa: ANN401
        """Prepare for all clips; return the budget."""
        return decoding_pipeline.prepare(self.recognizer(), max(self.clips.seconds), frames)

    def decode(self, budget: Any) -> list[str]:  # noqa: ANN401
        """Decode all clips."""
        texts: list[str] = decoding_pipeline.transcribe(
            self.recognizer(), self.clips.paths, self.clips.seconds, budget
        )
        return texts

    # --- the encoder alone -------------------------------------------------------------------

    def encoder(self) -> None:
        """Time one batch of 8 s clips by each way."""
        ours, rows = self.recognizer(), 4 if self.tiny else _ENCODER_SECONDS // 8
        seconds = 2 if self.tiny else 8
        samples = seconds * ours.rate
        base: torch.Tensor | None = None
        with torch.inference_mode():
            signal = torch.randn(rows, samples).mul_(0.1)
            features, counts = ours.features(signal, torch.full((rows,), samples))
            for way in WAYS:
                self.take(way)
                output, frames = ours.encoder(features, counts)
                made = output[..., : int(frames.max())].float()
                base = made if base is None else base
                apart = (made - base).square().mean().sqrt() / base.square().mean().sqrt()
                times = 2 if self.tiny else 10
                do = partial(ours.encoder, features, counts)
                _, took = timed(partial(_repeat, do, times))
                self.report.row(
                    encoder=way,
                    rtfx=round(rows * seconds * times / took),
                    ms=round(took / times * 1000, 2),
                    apart=f"{float(apart):.2e}",
                )
            self.take(FUSED)
        kernels(self.report, ours, self.clips.first(2000), self.prepare())

    # --- files to texts ----------------------------------------------------------------------

    def passes(self) -> None:
        """Take turns: NeMo's modules, folded in two ways; then transcribe()."""
        self.take_turns()
        if self.left(20):
            self.report.attempt("transcribe()", self.stock_passes)

    def take_turns(self) -> None:
        """Time each way several times, alternating, after two passes that warm everything up."""
        budgets: dict[str, Any] = {}
        texts: dict[str, list[str]] = {}
        seconds: dict[str, list[float]] = {}
        for name in WAYS:
            self.take(name)
            budgets[name], prepared = timed(self.prepare)
            _, first = timed(partial(self.decode, budgets[name]))
            texts[name], second = timed(partial(self.decode, budgets[name]))
            seconds[name] = []
            self.report.note(
                f"{name}: s",
                {"prepared": round(prepared, 2), "first pass": round(first, 2)}
                | {"second": round(second, 2)},
            )
            self.report.note(f"{name} says", self.ours.describe())
        for _ in range(self.pass_count):
            for name, taken in seconds.items():
                if self.left(10):
                    self.take(name)
                    taken.append(timed(partial(self.decode, budgets[name]))[1])
        audio = sum(self.clips.seconds)
        for name, taken in seconds.items():
            if taken:
                self.report.row(
                    passes=name,
                    rtfx=round(audio / statistics.median(taken)),
                    rtfx_each=[round(audio / one) for one in taken],
                    times_first=round(
                        statistics.median(seconds[PLAIN]) / statistics.median(taken), 3
                    ),
                    changed=changed(texts[PLAIN], texts[name]),
                    budget=str(budgets[name]),
                    peak_mib=torch.cuda.max_memory_allocated() >> 20 if ON_GPU else 0,
                )

    def stock_passes(self) -> None:
        """Time transcribe() by hand: sorted, batch 256, 8 loader processes."""
        batch, workers = (8, 0) if self.tiny else (256, 8)
        by_hand = self.clips.by_duration()
        forget_graphs(self.model)
        stock(self.model, by_hand.first(2 * batch), batch, workers)
        _, took = timed(lambda: stock(self.model, by_hand, batch, workers))
        self.report.row(
            passes=f"transcribe(), batch {batch}, sorted by hand, {workers} loaders",
            rtfx=round(sum(by_hand.seconds) / took),
        )
        # It leaves parts in training mode and rounds the tables of features.
        self.model.eval()
        forget_graphs(self.model)
        featurizer = self.model.preprocessor.featurizer
        featurizer.dither, featurizer.pad_to = 0.0, 0

    def timeline(self) -> None:
        """Draw a pass by thread (benchmarks/decoding_timeline.py)."""
        self.take(FUSED)
        ours = self.recognizer()
        draw(
            self.report,
            ours,
            sum(self.clips.seconds),
            self.prepare,
            self.decode,
            partial(forget_graphs, self.model),
        )

    # --- texts of trained models -------------------------------------------------------------

    def texts(self) -> None:
        """Compare texts of the embedded bases in 32 bits (benchmarks/texts_on_gpu.py)."""
        compare_texts(self.report, self.folder, partial(self.left, 10), tiny=self.tiny)

    # --- boosting ----------------------------------------------------------------------------

    def boosting(self) -> None:
        """Time decoding with phrases and without, files to texts, taking turns."""
        ours = self.recognizer()
        boosters: dict[int, Any] = {0: None}
        for count in LISTS:
            wanted = phrases(count)
            boosters[count], took = timed(partial(phrase_boosting.Booster, self.model, wanted))
            self.report.note(f"{count} phrases: list built in s", round(took, 2))
        self.take(FUSED)
        budget = self.prepare()
        self.decode(budget)
        seconds: dict[int, list[float]] = {count: [] for count in boosters}
        texts: dict[int, list[str]] = {}
        capture: dict[int, float] = {}
        for turn in range(self.pass_count + 1):
            for count, booster in boosters.items():
                if not self.left(10):
                    break
                ours.boost(booster, STRENGTH)
                # The loop's graph is captured anew for another list, which is no decoding.
                _, capture[count] = timed(partial(self.warm_up_loop, ours))
                texts[count], took = timed(partial(self.decode, budget))
                if turn:
                    seconds[count].append(took)
                if turn == 1:
                    self.report.note(f"{count} phrases: how", ours.describe())
        ours.boost(None, 0.0)
        audio = sum(self.clips.seconds)
        for count, taken in seconds.items():
            if taken:
                self.report.row(
                    boosting=f"{count} phrases",
                    rtfx=round(audio / statistics.median(taken)),
                    rtfx_each=[round(audio / one) for one in taken],
                    times_unboosted=round(
                        statistics.median(taken) / statistics.median(seconds[0]), 3
                    ),
                    loop_ready_s=round(capture[count], 2),
                    changed=changed(texts[0], texts[count]),
                )

    def warm_up_loop(self, ours: Untyped) -> None:
        """Capture the loop's graph for the largest group."""
        with torch.inference_mode():
            ours.warm_up(decoding_pipeline.length_batching.frames(max(self.clips.seconds)))

    # --- choosing ----------------------------------------------------------------------------

    def choosing(self) -> None:
        """Time the program that decodes mixtures (benchmarks/choosing_on_gpu.py)."""
        limit_s = max(60.0, self.budget_s - self.report.elapsed())
        time_choosing(self.report, self.folder, self.model, self.clips, limit_s)

    # --- where the time goes -----------------------------------------------------------------

    def stages(self) -> None:
        """Time each stage alone, and the floor."""
        ours = self.recognizer()
        for way in (PLAIN, FUSED):
            self.take(way)
            budget = self.prepare()
            self.report.note("stages of", way)
            for _ in range(2):
                stages(self.report, ours, self.clips, budget)
            self.report.values[f"stages, {way}"] = self.report.values["stages alone, RTFx of each"]
        rate = matmul_rate(self.low)
        operations = encoder_operations(ours, 2.0 if self.tiny else 9.0)
        self.report.note(
            "floor",
            {
                "encoder operations per second of audio": f"{operations:.3e}",
                "measured operations a second": f"{rate:.3e}",
                "RTFx if nothing else took time": round(rate / operations),
            },
        )


def _repeat(do: Callable[[], object], times: int) -> None:
    for _ in range(times):
        do()


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--budget-s", type=float, default=240.0)
    parser.add_argument("--clips", type=int, default=2500)
    parser.add_argument("--passes", type=int, default=PASSES)
    parser.add_argument("--max-symbols", type=int, default=10, help="Labels a frame, at most.")
    parser.add_argument("--pieces", nargs="*", default=list(SHIPPED), help="joined by + or not")
    parser.add_argument("--here", action="store_true", help="in this process; as it calls itself")
    parser.add_argument("--tiny", action="store_true", help="a small graph and few clips")
    return parser.parse_args()


def stop_in_time(report: BenchmarkReport, budget_s: float) -> None:
    """End the process soon after its budget, with what is written."""

    def end() -> None:
        report.values["cut off"] = True
        report.write()
        faulthandler.dump_traceback()
        os._exit(0)

    timer = threading.Timer(budget_s + 20, end)
    timer.daemon = True
    timer.start()


def main() -> None:
    """Measure each piece in a process of its own, and gather their files."""
    args = parse()
    if args.here:
        measure(args)
        return
    report = BenchmarkReport(args.out)
    report.note("command", "python -m benchmarks.decoding_on_gpu " + " ".join(sys.argv[1:]))
    for pieces in args.pieces:
        left = args.budget_s - report.elapsed() - _START_S
        if left < _SHORTEST_PIECE_S:
            report.note(f"{pieces}: left out", "the budget is spent")
            continue
        out = args.out.with_suffix(f".{pieces}.json")
        command = [sys.executable, "-m", "benchmarks.decoding_on_gpu", "--here", "--out", str(out)]
        command += ["--pieces", *pieces.split("+"), "--budget-s", f"{left:.0f}"]
        command += ["--clips", str(args.clips), "--passes", str(args.passes)]
        command += ["--max-symbols", str(args.max_symbols)]
        command += ["--tiny"] if args.tiny else []
        ended = subprocess.run(command, check=False)
        report.values[pieces] = json.loads(out.read_text()) if out.exists() else None
        report.note(f"{pieces}: ended with", ended.returncode)


def measure(args: argparse.Namespace) -> None:
    """Measure the pieces in this process."""
    if unknown := [name for name in args.pieces if name not in PIECES]:
        sys.exit(f"--pieces: {', '.join(unknown)}: not one of {', '.join(PIECES)}")
    nemo_logging.setLevel(nemo_logging.ERROR)
    report = BenchmarkReport(args.out)
    stop_in_time(report, args.budget_s)
    describe_machine(report)
    report.note("command", "python -m benchmarks.decoding_on_gpu " + " ".join(sys.argv[1:]))
    with tempfile.TemporaryDirectory() as temporary:
        benchmark = Benchmark(report, Path(temporary), args)
        for name in args.pieces:
            if not benchmark.left(10):
                report.note(f"{name}: left out", "the budget is spent")
                continue
            began = time.monotonic()
            report.attempt(name, getattr(benchmark, name))
            gc.collect()
            report.note(f"{name}: took s", round(time.monotonic() - began, 1))


if __name__ == "__main__":
    main()
