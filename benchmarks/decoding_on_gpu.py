"""What our decoding costs on a GPU: the encoder's ways, boosting, the choice of a mixture.

    python -m benchmarks.decoding_on_gpu --out FILE.json [--budget-s 420] [--pieces NAME …]
    python -m benchmarks.decoding_on_gpu --out FILE.json --tiny      # a small graph, on a CPU too

Pieces, in this order; the file is written after each line, and a piece that would begin after the
budget is left out:

- ``encoder``: the encoder alone on one batch, by each way to compute it;
- ``passes``: files to texts, the ways taking turns, and the best ``transcribe()``;
- ``texts``: the embedded bases in 32 bits, ours against ``transcribe()``, boosted and not;
- ``boosting``: decoding with phrases against decoding without, files to texts;
- ``choosing``: the program that decodes mixtures, on the choosing rows of 200;
- ``stages``: each stage alone; and ``levers``: settings that might become the default.

The 617 M graph has random weights, which emit at nearly every frame: the worst case of the loop.
In "speech-like" passes the joint's bias for blank is raised until a second has four labels.
"""

from __future__ import annotations

import argparse
import gc
import itertools
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
from benchmarks.clips import DEVICE, ON_GPU, BenchmarkReport, Clips, make_clips, timed, wait
from benchmarks.entrypoint_imports import (
    Untyped,
    decoding_pipeline,
    encoder_runner,
    greedy_decoder,
    parakeet_graph,
    phrase_boosting,
)
from benchmarks.nemo_boosting import boost_by_nemo
from benchmarks.transcribe_on_gpu import describe_machine, small
from benchmarks.transcribe_settings import changed, forget_graphs, stock
from benchmarks.transcribe_stages import encoder_operations, kernels, matmul_rate, stages
from tasks.runtimes.base import ENTRY

if TYPE_CHECKING:
    from collections.abc import Callable

PIECES = ("encoder", "passes", "texts", "boosting", "choosing", "stages", "levers")
PASSES = 5
STRENGTH = 1.0
_LISTS = (60, 5000)
_LABELS_A_SECOND = 4.0
_ENCODER_SECONDS = 2000
_CHOOSING_ROWS = {"selection": 40, "general": 50}
_READY = {encoder_runner.PLAIN, encoder_runner.FOLDED}
_VALUES = [0.2, 0.4, 0.6, 0.8, 1.0, 0.5, 0.7]


class Benchmark:
    """The graph, its clips, and the pieces.

    Attributes:
        model: NeMo's.
        ours: one recogniser for all ways of running the encoder.
    """

    def __init__(self, report: BenchmarkReport, folder: Path, args: argparse.Namespace) -> None:
        self.report, self.folder, self.tiny = report, folder, args.tiny
        self.budget_s, self.pass_count = args.budget_s, args.passes
        self.ways: list[str] = args.ways
        self.low = torch.bfloat16 if ON_GPU else torch.float32
        shortest, longest = (1.0, 3.0) if args.tiny else (3.0, 15.0)
        self.clips = make_clips(folder, 48 if args.tiny else args.clips, shortest, longest)
        report.note("clips", f"{len(self.clips.paths)}, {sum(self.clips.seconds):.0f} s")
        torch.manual_seed(0)
        config = parakeet_graph.tdt_config(parakeet_graph.make_tokenizer(folder))
        built, seconds = timed(
            lambda: parakeet_graph.build_model(small(config) if args.tiny else config)
        )
        self.model: Untyped = built.to(DEVICE).eval()
        report.note("model built, s", round(seconds, 1))
        self.archive = folder / "tdt.nemo"
        self.model.save_to(str(self.archive))
        self.ours: Untyped = None
        self.frames: int | None = None

    def recognizer(self) -> Untyped:
        """Make the recogniser once."""
        if self.ours is None:
            self.ours, seconds = timed(
                lambda: greedy_decoder.GreedyRecognizer(self.model, self.low)
            )
            self.report.note("taken apart, folded and checked, s", round(seconds, 2))
            self.report.note("folded", self.ours.encoder.way)
        return self.ours

    def left(self, needed: float = 0.0) -> bool:
        """Return whether the budget has so many seconds left."""
        return self.report.elapsed() + needed < self.budget_s

    def prepare(self, way: str, frames: int | None = None) -> Any:  # noqa: ANN401
        """Prepare for all clips by a way; return the budget."""
        return decoding_pipeline.prepare(
            self.recognizer(), max(self.clips.seconds), frames or self.frames, way=way
        )

    def decode(self, budget: Any) -> list[str]:  # noqa: ANN401
        """Decode all clips."""
        texts: list[str] = decoding_pipeline.transcribe(
            self.recognizer(), self.clips.paths, self.clips.seconds, budget
        )
        return texts

    # --- the encoder alone -------------------------------------------------------------------

    def encoder(self) -> None:
        """Time one batch of 8 s clips by each way, and each setting of the folded one."""
        ours, rows = self.recognizer(), 4 if self.tiny else _ENCODER_SECONDS // 8
        seconds = 2 if self.tiny else 8
        samples = seconds * ours.rate
        with torch.inference_mode():
            signal = torch.randn(rows, samples).mul_(0.1)
            features, counts = ours.features(signal, torch.full((rows,), samples))
            plain = partial(self.model.encoder, audio_signal=features.to(self.low), length=counts)
            base, frames = plain()
            base = base[..., : int(frames.max())]
            self.encoder_line("NeMo's modules", lambda: plain()[0], base, rows * seconds)
            runner = ours.encoder
            folded = runner._folded  # noqa: SLF001 - one part of it alone
            if folded is None:
                return
            shipped = folded.steps
            best: tuple[float, Any] = (float("inf"), shipped)
            axes = itertools.product(
                ("products", "fused"), ("channels", "time"), ("channels", "time")
            )
            for attention, convolution, subsampling in axes:
                if subsampling == "time" and shipped.how.packed:
                    continue
                how = shipped.how._replace(
                    attention=attention, convolution=convolution, subsampling=subsampling
                )
                folded.use(shipped._replace(how=how))
                name = f"folded: attention {attention}, convolution {convolution}, "
                name += f"subsampling {subsampling}"
                do = partial(self.encoder_line, name, partial(folded, features, counts), base)
                took = self.report.attempt(name, partial(do, rows * seconds))
                if took is not None and took < best[0]:
                    best = (took, folded.steps)
            self.report.note("fastest folded", str(best[1].how))
            for way in [way for way in self.ways if way not in _READY]:
                for attention in ("products", "fused"):
                    how = best[1].how._replace(attention=attention)
                    folded.use(best[1]._replace(how=how))
                    runner._eager = folded.steps  # noqa: SLF001 - as if it were shipped
                    runner._compiled = None  # noqa: SLF001
                    runner.way = encoder_runner.FOLDED
                    runner.release()
                    name = f"{way}, attention {attention}"
                    self.report.attempt(
                        name,
                        partial(self.time_way, name, way, features, counts, base, rows * seconds),
                    )
                    # The other attention is worth compiling only early.
                    if not self.left(0.75 * self.budget_s):
                        break
            runner._eager = best[1]  # noqa: SLF001 - the fastest is what the passes take
            runner.way = encoder_runner.PLAIN
            runner.take(encoder_runner.FOLDED, features.shape[-1])
            runner.release()
            runner._compiled = None  # noqa: SLF001
            folded.use(best[1])
            self.report.attempt("pieces of a layer", partial(self.pieces_of_a_layer, folded))

    def time_way(
        self,
        name: str,
        way: str,
        features: torch.Tensor,
        counts: torch.Tensor,
        base: torch.Tensor,
        audio: float,
    ) -> None:
        """Time a way that takes seconds before it is ready."""
        runner = self.ours.encoder
        before = runner.seconds
        runner.take(way, features.shape[-1])
        if runner.way != way:
            self.report.row(encoder=name, failed=runner.describe())
            return
        for _ in range(3):  # a graph is captured at the second use
            runner(features, counts)
        self.report.note(f"{name}: s until ready", round(runner.seconds - before, 2))
        self.encoder_line(name, lambda: runner(features, counts), base, audio)
        self.report.note(f"{name}: says", runner.describe())

    def encoder_line(
        self, name: str, do: Callable[[], Any], base: torch.Tensor, audio: float
    ) -> float:
        """Time it, and compare its output with NeMo's."""
        made = do()
        made = made[0] if isinstance(made, tuple) else made
        apart = (made[..., : base.shape[-1]].float() - base.float()).square().mean().sqrt()
        times = 2 if self.tiny else 10
        _, seconds = timed(lambda: [do() for _ in range(times)])
        began = time.monotonic()
        do()
        launched = time.monotonic() - began
        wait()
        took = seconds / times
        self.report.row(
            encoder=name,
            rtfx=round(audio / took),
            ms=round(took * 1000, 2),
            launch_ms=round(launched * 1000, 2),
            apart=f"{float(apart / base.float().square().mean().sqrt()):.2e}",
        )
        return took

    def pieces_of_a_layer(self, folded: Any) -> None:  # noqa: ANN401
        """Profile the folded encoder: which kernels take the device's time."""
        del folded
        ours = self.recognizer()
        budget = self.prepare(encoder_runner.FOLDED)
        kernels(self.report, ours, self.clips.first(2000), budget)

    # --- files to texts ----------------------------------------------------------------------

    def passes(self) -> None:
        """Take turns: NeMo's modules, folded, graphs, compiled; then the best transcribe()."""
        self.take_turns("random weights")
        if self.left(60):
            self.report.attempt("transcribe()", self.stock_passes)
        if self.left(90):
            self.report.attempt("speech-like", self.speech_like)

    def take_turns(self, label: str) -> None:
        """Time each way several times, alternating, after one pass that captures and compiles."""
        budgets: dict[str, Any] = {}
        texts: dict[str, list[str]] = {}
        seconds: dict[str, list[float]] = {}
        for way in self.ways:
            began = time.monotonic()

            def first(way: str = way) -> None:
                budgets[way] = self.prepare(way)
                texts[way] = self.decode(budgets[way])
                texts[way] = self.decode(budgets[way])

            self.report.attempt(f"{label}: {way}", first)
            if way in texts and self.ours.encoder.way in {way, encoder_runner.FOLDED}:
                seconds[way] = []
            self.report.note(
                f"{label}: {way} ready, two passes included, s", round(time.monotonic() - began, 1)
            )
            self.report.note(f"{label}: {way} says", self.ours.describe())
        audio = sum(self.clips.seconds)
        for _ in range(self.pass_count):
            for way, taken in seconds.items():
                if not self.left(15):
                    break
                self.ours.encoder.take(way, 0)
                _, took = timed(partial(self.decode, budgets[way]))
                taken.append(took)
        for way, taken in seconds.items():
            if taken:
                self.report.row(
                    passes=f"{label}: {way}",
                    rtfx=round(audio / statistics.median(taken)),
                    rtfx_each=[round(audio / one) for one in taken],
                    changed=changed(texts[encoder_runner.PLAIN], texts[way])
                    if encoder_runner.PLAIN in texts
                    else "",
                    budget=str(budgets[way]),
                    peak_mib=torch.cuda.max_memory_allocated() >> 20 if ON_GPU else 0,
                )
        rtfx = {way: audio / statistics.median(taken) for way, taken in seconds.items() if taken}
        plain = rtfx.get(encoder_runner.PLAIN)
        if plain:
            self.report.note(
                f"{label}: times NeMo's modules",
                {way: round(one / plain, 2) for way, one in rtfx.items()},
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

    def speech_like(self) -> None:
        """Raise the blank's bias until labels come as often as in speech; pass again."""
        ours, some = self.recognizer(), self.clips.first(64)
        ours.encoder.take(encoder_runner.FOLDED, 0)
        budget = self.prepare(encoder_runner.FOLDED)
        bias = self.model.joint.joint_net[-1].bias
        blank = int(self.model.decoder.blank_idx)
        before = bias.detach().clone()
        low, high = 0.0, 16.0
        rate = 0.0
        for _ in range(12):
            middle = (low + high) / 2
            with torch.no_grad():
                bias[blank] = before[blank] + middle
            ours.release()
            rate = self.labels_a_second(some, budget)
            low, high = (middle, high) if rate > _LABELS_A_SECOND else (low, middle)
        self.report.note("labels a second of audio, speech-like", round(rate, 2))
        try:
            self.pass_count = min(self.pass_count, 3)
            self.take_turns("speech-like")
        finally:
            with torch.no_grad():
                bias.copy_(before)
            ours.release()

    def labels_a_second(self, clips: Clips, budget: Any) -> float:  # noqa: ANN401
        """Count labels."""
        ours = self.ours
        counted = 0
        plan = decoding_pipeline.length_batching.plan(clips.seconds, budget)
        with (
            torch.inference_mode(),
            decoding_pipeline.Reader(clips.paths, ours.rate, 4, pinned=ON_GPU) as reader,
        ):
            for batch in reader.batches(plan, 1):
                labels = ours.decode([ours.encode(batch.signal, batch.lengths)])
                counted += int(labels.lengths.sum())
        return counted / sum(clips.seconds)

    # --- texts of trained models -------------------------------------------------------------

    def texts(self) -> None:
        """Compare texts of the embedded bases in 32 bits."""
        clips = self.demo()
        from tasks.models.catalog import embedded_path  # noqa: PLC0415

        ctc = embedded_path()
        paths = {kind: ctc.with_name(f"embedded_{kind}.nemo") for kind in ("ctc", "rnnt", "tdt")}
        for kind, path in paths.items():
            if not self.left(30):
                return
            self.report.attempt(kind, partial(self.texts_of, kind, path, clips))

    def demo(self) -> Clips:
        """Synthesise the demo's cycle."""
        from benchmarks.transcription import synthesise  # noqa: PLC0415

        recordings = synthesise(self.folder)
        count = 24 if self.tiny else len(recordings.paths)
        return Clips(recordings.paths[:count], recordings.seconds[:count])

    def texts_of(self, kind: str, path: Path, clips: Clips) -> None:
        """Compare one base's texts, by each way and with phrases."""
        model = greedy_decoder.restore(str(path), DEVICE)
        theirs = stock(model, clips, 16)
        # transcribe() leaves parts of a model in training mode; a graph would keep that.
        ours = greedy_decoder.GreedyRecognizer(greedy_decoder.restore(str(path), DEVICE))
        longest = max(clips.seconds)
        for way in self.ways:
            # Compiling takes its time; one of the three shows it.
            if way == encoder_runner.COMPILED and (kind != "tdt" or not self.left(90)):
                continue
            budget = decoding_pipeline.prepare(ours, longest, 8000, way=way)
            decode = partial(decoding_pipeline.transcribe, ours, clips.paths, clips.seconds, budget)
            decode()
            made, took = timed(decode)
            self.report.row(
                texts=f"{kind}, fp32, {way}, against transcribe()",
                changed=changed(theirs, made),
                rtfx=round(sum(clips.seconds) / took),
                how=ours.describe(),
            )
        ours.encoder.take(encoder_runner.FOLDED, 0)
        for count in _LISTS:
            wanted = phrases(count)
            booster = phrase_boosting.Booster(ours.model, wanted)
            ours.boost(booster, STRENGTH)
            made = decoding_pipeline.transcribe(ours, clips.paths, clips.seconds, budget)
            describe = ours.describe()
            boosted = greedy_decoder.restore(str(path), DEVICE)
            boost_by_nemo(boosted, wanted, STRENGTH)
            self.report.row(
                texts=f"{kind}, fp32, {count} phrases, against NeMo's own boosting",
                changed=changed(stock(boosted, clips, 16), made),
                by_boosting=changed(theirs, made),
                how=describe,
            )
            del boosted
        ours.boost(None, 0.0)

    # --- boosting ----------------------------------------------------------------------------

    def boosting(self) -> None:
        """Time decoding with phrases and without, files to texts, taking turns."""
        ours = self.recognizer()
        boosters: dict[int, Any] = {0: None}
        for count in _LISTS:
            wanted = phrases(count)
            boosters[count], took = timed(partial(phrase_boosting.Booster, self.model, wanted))
            self.report.note(f"{count} phrases: list built in s", round(took, 2))
        budget = self.prepare(encoder_runner.GRAPHS)
        self.decode(budget)
        seconds: dict[int, list[float]] = {count: [] for count in boosters}
        texts: dict[int, list[str]] = {}
        capture: dict[int, float] = {}
        for turn in range(min(self.pass_count, 3) + 1):
            for count, booster in boosters.items():
                if not self.left(20):
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
        """Time the program that decodes mixtures of a base and a perturbed copy."""
        tuned = self.folder / "tuned.nemo"
        restored = greedy_decoder.restore(str(self.archive), "cpu")
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in restored.parameters():
                noise = torch.randn(parameter.shape, generator=generator) * parameter.std() * 0.02
                parameter.add_(torch.nan_to_num(noise))
        restored.save_to(str(tuned))
        del restored
        answers = self.folder / "answers"
        answers.mkdir()
        starts = itertools.accumulate(_CHOOSING_ROWS.values(), initial=0)
        sets = [
            {
                "name": name,
                "audio": self.clips.paths[start : start + count],
                "durations": self.clips.seconds[start : start + count],
            }
            for start, (name, count) in zip(starts, _CHOOSING_ROWS.items(), strict=False)
        ]
        request = self.folder / "choose.request.json"
        request.write_text(
            json.dumps(
                {
                    "base": str(self.archive),
                    "tuned": str(tuned),
                    "sets": sets,
                    "values": _VALUES[:5],
                    "answers": str(answers),
                    "out": str(self.folder / "adapted.nemo"),
                }
            )
        )
        for number, answer in enumerate([{"values": _VALUES[5:]}, {"ship": 0.5}], start=1):
            (answers / f"answer-{number}.json").write_text(json.dumps(answer))
        began = time.monotonic()
        process = subprocess.run(
            [sys.executable, str(ENTRY / "interpolate.py"), str(request)],
            capture_output=True,
            text=True,
            check=False,
            timeout=max(60, self.budget_s - self.report.elapsed()),
        )
        whole = time.monotonic() - began
        if process.returncode:
            raise RuntimeError(process.stdout[-1500:] + process.stderr[-1500:])
        events = [json.loads(line) for line in process.stdout.splitlines() if line[:1] == "{"]
        lines = (self.folder / "choose.phases.jsonl").read_text().splitlines()
        moments = [*map(json.loads, lines), {"phase": "end", "time": time.time()}]
        phases: dict[str, float] = {}
        for moment, following in itertools.pairwise(moments):
            took = following["time"] - moment["time"]
            phases[moment["phase"]] = phases.get(moment["phase"], 0.0) + took
        steps = -(-200 // 16)
        self.report.row(
            choosing=f"{len(_VALUES)} values, {sum(_CHOOSING_ROWS.values())} rows",
            whole_s=round(whole, 1),
            candidates_s=[one["seconds"] for one in events if one["event"] == "candidate"],
            phases_s={name: round(seconds, 2) for name, seconds in phases.items()},
            how=next((one["how"] for one in events if one["event"] == "model"), ""),
            steps_of_an_epoch_of_200_rows=steps,
            needed_s_a_step_for_less_than_an_epoch=round(whole / steps, 2),
        )

    # --- where the time goes -----------------------------------------------------------------

    def stages(self) -> None:
        """Time each stage alone, and the floor."""
        ours = self.recognizer()
        for way in (encoder_runner.PLAIN, encoder_runner.GRAPHS):
            budget = self.prepare(way)
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

    def levers(self) -> None:
        """Time settings that might become the default; one pass each after one that warms up."""
        ours = self.recognizer()

        def line(name: str, frames: int | None = None, way: str = encoder_runner.GRAPHS) -> None:
            if not self.left(20):
                return
            ours.encoder.release()
            forget_graphs(self.model)
            budget = self.prepare(way, frames)
            self.decode(budget)
            taken = [timed(partial(self.decode, budget))[1] for _ in range(2)]
            audio = sum(self.clips.seconds)
            self.report.row(lever=name, rtfx=[round(audio / one) for one in taken])

        for frames in [2000] if self.tiny else [50_000, 100_000, 400_000]:
            self.report.attempt("frames", partial(line, f"{frames} frames", frames))
        for coarseness in (1, 4):
            ours.encoder.coarseness = coarseness
            self.report.attempt("steps", partial(line, f"steps of length times {coarseness}"))
        ours.encoder.coarseness = 2
        before = sys.getswitchinterval()
        for interval in (0.0005, 0.0001):
            sys.setswitchinterval(interval)
            self.report.attempt("switch", partial(line, f"switch interval {interval} s"))
        sys.setswitchinterval(before)
        shipped = greedy_decoder.GPU_DECODED_TOGETHER
        for rows in (1024, 4096):
            greedy_decoder.GPU_DECODED_TOGETHER = rows
            self.report.attempt("rows", partial(line, f"{rows} rows decoded together"))
        greedy_decoder.GPU_DECODED_TOGETHER = shipped
        readers = decoding_pipeline._READERS  # noqa: SLF001 - a lever
        for count in (4, 16):
            decoding_pipeline._READERS = count  # noqa: SLF001
            self.report.attempt("readers", partial(line, f"{count} readers"))
        decoding_pipeline._READERS = readers  # noqa: SLF001


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--budget-s", type=float, default=420.0)
    parser.add_argument("--clips", type=int, default=5000)
    parser.add_argument("--passes", type=int, default=PASSES)
    parser.add_argument("--pieces", nargs="*", choices=PIECES, default=list(PIECES))
    parser.add_argument(
        "--ways",
        nargs="*",
        choices=encoder_runner.WAYS,
        default=list(encoder_runner.WAYS),
        help="of running the encoder",
    )
    parser.add_argument("--tiny", action="store_true", help="a small graph and few clips")
    return parser.parse_args()


def stop_in_time(report: BenchmarkReport, budget_s: float) -> None:
    """End the process soon after its budget, with what is written."""

    def end() -> None:
        report.values["cut off"] = True
        report.write()
        os._exit(0)

    timer = threading.Timer(budget_s + 20, end)
    timer.daemon = True
    timer.start()


def main() -> None:
    """Measure the pieces, print as it goes, and write the file."""
    args = parse()
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
