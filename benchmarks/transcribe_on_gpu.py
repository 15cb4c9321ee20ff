"""Our transcription against NeMo's transcribe() on the 617 M Parakeet-TDT graph, in one process.

    python -m benchmarks.transcribe_on_gpu --out FILE.json
    python -m benchmarks.transcribe_on_gpu --out FILE.json --tiny      # a small graph, on a CPU too

The weights are random: time depends on the graph alone, and with them nearly every frame emits,
which is the worst case for the decoder. Clips are real WAV files of 3 to 15 s. Every setting is
warmed up first. Slow settings decode a part of the clips; the best ``transcribe()`` setting and
ours decode all. The floor is arithmetic: the encoder's operations over the card's measured rate.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
import torch
from nemo.utils import logging as nemo_logging

from benchmarks.sft_on_gpu import build_model, make_tokenizer, tdt_config
from tasks.runtime import ENTRY

sys.path.insert(0, str(ENTRY))
import pipeline  # type: ignore[import-not-found]  # lies beside the program
import recogniser  # type: ignore[import-not-found]
import sound  # type: ignore[import-not-found]

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

RATE = 16_000
ON_GPU = torch.cuda.is_available()
DEVICE = "cuda" if ON_GPU else "cpu"


@dataclass(frozen=True)
class Clips:
    """WAV files and their seconds."""

    paths: list[str]
    seconds: list[float]

    def first(self, count: int) -> Clips:
        """So many of them; they are in random order."""
        return Clips(self.paths[:count], self.seconds[:count])

    def by_duration(self) -> Clips:
        """Longest first."""
        order = sorted(range(len(self.paths)), key=lambda place: -self.seconds[place])
        return Clips([self.paths[n] for n in order], [self.seconds[n] for n in order])


@dataclass
class Report:
    """What was measured so far; written anew after every setting."""

    out: Path
    started: float = field(default_factory=time.monotonic)
    values: dict[str, Any] = field(default_factory=dict)

    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def note(self, name: str, value: object) -> None:
        """Print a value and keep it."""
        self.values[name] = value
        print(f"[{self.elapsed():5.0f} s] {name}: {value}", flush=True)
        self.write()

    def row(self, **values: object) -> None:
        """Print one setting's figures and keep them."""
        self.values.setdefault("settings", []).append(values)
        print(f"[{self.elapsed():5.0f} s] {values}", flush=True)
        self.write()

    def write(self) -> None:
        """All of it as JSON."""
        self.values["wall_s"] = round(self.elapsed())
        self.out.write_text(json.dumps(self.values, indent=1, default=str) + "\n", encoding="utf-8")

    def attempt(self, name: str, do: Callable[[], Any]) -> Any:  # noqa: ANN401
        """Do it; a failure is noted, and the others go on."""
        try:
            return do()
        except Exception as failed:  # noqa: BLE001 - one setting must not end the others
            traceback.print_exc()
            self.row(setting=name, failed=f"{type(failed).__name__}: {str(failed)[:300]}")
            if ON_GPU:
                torch.cuda.empty_cache()
            return None


def make_clip(path: str, seconds: float, seed: int) -> None:
    """Noise whose loudness changes as a voice's does."""
    rng = np.random.default_rng(seed)
    samples = round(seconds * RATE)
    loudness = np.repeat(rng.uniform(0.0, 0.3, samples // 1600 + 1), 1600)[:samples]
    voice = rng.standard_normal(samples, dtype=np.float32) * loudness
    soundfile.write(path, voice.astype(np.float32), RATE, subtype="PCM_16")


def make_clips(folder: Path, count: int, shortest: float, longest: float) -> Clips:
    """So many clips, their lengths spread evenly, in random order."""
    draw = random.Random(0)  # noqa: S311 - repeatable
    seconds = [round(draw.uniform(shortest, longest), 2) for _ in range(count)]
    paths = [str(folder / f"{number:05}.wav") for number in range(count)]
    with ProcessPoolExecutor() as pool:
        list(pool.map(make_clip, paths, seconds, range(count), chunksize=32))
    return Clips(paths, seconds)


def wait() -> None:
    """Until the GPU has done all that was asked."""
    if ON_GPU:
        torch.cuda.synchronize()


def timed(do: Callable[[], Any]) -> tuple[Any, float]:
    """What it returned, and seconds."""
    wait()
    started = time.monotonic()
    found = do()
    wait()
    return found, time.monotonic() - started


def stock(model: Any, clips: Clips, batch: int, workers: int = 0) -> list[str]:  # noqa: ANN401
    """Plain transcribe()."""
    with torch.inference_mode():
        answer = model.transcribe(clips.paths, batch_size=batch, num_workers=workers, verbose=False)
    best = answer[0] if isinstance(answer, tuple) else answer
    return [getattr(one, "text", one) for one in best]


def forget_graphs(model: Any) -> None:  # noqa: ANN401
    """Graphs that were captured with other weights or for another size."""
    computer: Any = getattr(model.decoding.decoding, "decoding_computer", None)
    if hasattr(computer, "reset_cuda_graphs_state"):
        computer.reset_cuda_graphs_state()
    if ON_GPU:
        torch.cuda.empty_cache()


def run_stock(
    report: Report,
    model: Any,  # noqa: ANN401
    clips: Clips,
    name: str,
    batch: int,
    workers: int = 0,
) -> float:
    """One transcribe() setting, warmed up by two batches that hold the longest clips."""
    forget_graphs(model)
    stock(model, clips.by_duration().first(2 * batch), batch, workers)
    _, seconds = timed(lambda: stock(model, clips, batch, workers))
    return add_row(report, name, clips, seconds, batch=batch, workers=workers)


def texts_of(
    model: Any,  # noqa: ANN401
    clips: Clips,
    dtype: torch.dtype,
    *,
    overlap: bool = True,
    graphs: bool = True,
    pinned: bool = True,
) -> list[str]:
    """Texts of ours, as shipped or one batch after the other."""
    forget_graphs(model)
    computer: Any = model.decoding.decoding.decoding_computer
    ours = recogniser.Recogniser(model, dtype)
    if not graphs:
        computer.disable_cuda_graphs()
    try:
        budget = pipeline.prepare(ours, max(clips.seconds))
        if overlap:
            return list(pipeline.transcribe(ours, clips.paths, clips.seconds, budget))
        texts = [""] * len(clips.paths)
        plan = pipeline.batches.plan(clips.seconds, budget)
        with (
            torch.inference_mode(),
            sound.Reader(clips.paths, RATE, 4, pinned=pinned and ON_GPU) as reader,
        ):
            for batch in reader.batches(plan, 1):
                encoded = ours.encode(batch.signal, batch.lengths)
                wait()
                found = ours.spell(ours.decode([encoded]))
                for place, text in zip(batch.places, found, strict=True):
                    texts[place] = text
        return texts
    finally:
        computer.maybe_enable_cuda_graphs()


def run_ours(
    report: Report,
    model: Any,  # noqa: ANN401
    clips: Clips,
    name: str,
    dtype: torch.dtype,
    frames: int | None = None,
) -> tuple[list[str], float]:
    """One frame budget of ours; its warm-up is its own."""
    forget_graphs(model)
    ours = recogniser.Recogniser(model, dtype)
    events: list[str] = []
    budget, warm_up = timed(lambda: pipeline.prepare(ours, max(clips.seconds), frames))
    if ON_GPU:
        torch.cuda.reset_peak_memory_stats()
    texts, seconds = timed(
        lambda: pipeline.transcribe(
            ours,
            clips.paths,
            clips.seconds,
            budget,
            lambda event, **values: (
                events.append(f"{event} {values}") if event == "memory" else None
            ),
        )
    )
    rtfx = add_row(
        report,
        name,
        clips,
        seconds,
        budget=str(budget),
        warm_up_s=round(warm_up, 2),
        how=ours.describe(),
        peak_mib=torch.cuda.max_memory_allocated() >> 20 if ON_GPU else 0,
        out_of_memory=events,
    )
    return texts, rtfx


def add_row(report: Report, name: str, clips: Clips, seconds: float, **more: object) -> float:
    """A measured setting's line; its RTFx."""
    rtfx = sum(clips.seconds) / seconds
    report.row(
        setting=name,
        rtfx=round(rtfx, 1),
        clips=len(clips.paths),
        audio_s=round(sum(clips.seconds)),
        seconds=round(seconds, 2),
        **more,
    )
    return rtfx


def matmul_rate(dtype: torch.dtype) -> float:
    """Floating-point operations a second of a large matrix product."""
    size = 8192 if ON_GPU else 512
    left, right = (torch.randn(size, size, device=DEVICE, dtype=dtype) for _ in range(2))
    for _ in range(3):
        left @ right
    _, seconds = timed(lambda: [left @ right for _ in range(20)])
    return float(20 * 2 * size**3 / seconds)


def encoder_operations(ours: Any, seconds: float) -> float:  # noqa: ANN401
    """Floating-point operations of the encoder for one second of audio, counted while it runs."""
    from torch.utils.flop_counter import FlopCounterMode  # noqa: PLC0415

    samples = round(seconds * RATE)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        ours.encode(torch.zeros(4, samples), torch.full((4,), samples))
    return float(counter.get_total_flops() / (4 * seconds))


def stages(report: Report, ours: Any, clips: Clips, budget: Any) -> None:  # noqa: ANN401
    """Every stage alone, one after the other: where the time goes when nothing overlaps."""
    plan = list(pipeline.batches.plan(clips.seconds, budget))

    def read() -> list[Any]:
        readers = min(8, pipeline.cores())
        with sound.Reader(clips.paths, RATE, readers, pinned=ON_GPU) as reader:
            return list(reader.batches(plan, 3))

    with torch.inference_mode():
        read_batches, reading = timed(read)
        moved, moving = timed(
            lambda: [(one.signal.to(DEVICE), one.lengths.to(DEVICE)) for one in read_batches]
        )
        model = ours.model
        features, preprocessing = timed(
            lambda: [model.preprocessor(input_signal=s, length=n) for s, n in moved]
        )
        encoded, encoding = timed(
            lambda: [
                recogniser.Encoded(
                    *ours._forward(  # noqa: SLF001
                        model, *model.encoder(audio_signal=f.to(ours.dtype), length=n)
                    )
                )
                for f, n in features
            ]
        )
        groups: list[list[Any]] = [[]]
        for one in encoded:
            rows = sum(len(each.lengths) for each in groups[-1]) + len(one.lengths)
            if groups[-1] and rows > recogniser.GPU_DECODED_TOGETHER:
                groups.append([])
            groups[-1].append(one)
        ours.decode(groups[0])
        labels, decoding = timed(lambda: [ours.decode(group) for group in groups])
        _, spelling = timed(lambda: [ours.spell(one) for one in labels])
    found = {
        "audio": reading,
        "to the device": moving,
        "preprocessor": preprocessing,
        "encoder": encoding,
        "decoder": decoding,
        "text": spelling,
    }
    audio = sum(clips.seconds)
    report.note(
        "stages alone, RTFx of each",
        {name: round(audio / seconds) for name, seconds in found.items()},
    )
    report.note("stages alone, seconds", {name: round(s, 3) for name, s in found.items()})
    report.note(
        "labels a second of audio", round(sum(int(one.lengths.sum()) for one in labels) / audio, 1)
    )


def kernels(report: Report, ours: Any, clips: Clips, budget: Any) -> None:  # noqa: ANN401
    """The operations that take most of the device's time, by PyTorch's profiler."""
    from torch.profiler import ProfilerActivity, profile  # noqa: PLC0415

    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if ON_GPU else [])]
    (places, *_) = list(pipeline.batches.plan(clips.seconds, budget))
    with sound.Reader(clips.paths, RATE, 4, pinned=ON_GPU) as reader:
        (batch,) = reader.batches([places], 1)
    with torch.inference_mode():
        encoded = ours.encode(batch.signal, batch.lengths)
        wait()
        for name, do in (
            ("encode", lambda: ours.encode(batch.signal, batch.lengths)),
            ("decode", lambda: ours.decode([encoded])),
        ):
            with profile(activities=activities) as profiler:
                do()  # type: ignore[no-untyped-call]
                wait()
            key = "self_device_time_total" if ON_GPU else "self_cpu_time_total"
            table = profiler.key_averages().table(
                sort_by=key, row_limit=18, max_name_column_width=60
            )
            print(f"{name}, {len(places)} clips:\n{table}", flush=True)
            report.values[f"profile of {name}"] = table.splitlines()
    report.write()


def changed(before: Sequence[str], after: Sequence[str]) -> str:
    """How many texts differ."""
    return f"{sum(a != b for a, b in zip(before, after, strict=True))} of {len(before)}"


def demo_in_16_bits(report: Report, folder: Path) -> None:
    """The embedded base on the demo's cycle: rows that change and KER, in fp32 and bf16."""
    from asr_flywheel.demo.benchmark import synthesise_cycle  # noqa: PLC0415
    from tasks.bases import resolve  # noqa: PLC0415
    from tasks.hypotheses import hypothesis_for  # noqa: PLC0415
    from tasks.manifest import read_manifest  # noqa: PLC0415
    from tasks.scoring import score  # noqa: PLC0415

    cycle = folder / "demo" / "cycle1"
    synthesise_cycle(cycle)
    rows = read_manifest(cycle / "manifest.jsonl")
    paths = [str(cycle / row.audio_filepath) for row in rows]
    clips = Clips(paths, [soundfile.info(path).duration for path in paths])
    texts = {}
    for dtype in (torch.float32, torch.bfloat16):
        ours = recogniser.Recogniser(recogniser.restore(str(resolve("embedded")), DEVICE), dtype)
        if dtype is torch.float32:
            texts["transcribe(), fp32"] = stock(ours.model, clips, 16)
        budget = pipeline.prepare(ours, max(clips.seconds))
        texts[str(dtype)] = pipeline.transcribe(ours, clips.paths, clips.seconds, budget)
    plain = texts["transcribe(), fp32"]
    for name, found in texts.items():
        scores = score([hypothesis_for(row, text) for row, text in zip(rows, found, strict=True)])
        report.note(
            f"demo, embedded base, {name}",
            {"changed": changed(plain, found), "KER": scores.ker, "WER": scores.wer},
        )


def demo_by_itself(report: Report) -> None:
    """The demo's part in a process of its own, before anything else has been loaded."""
    with tempfile.TemporaryDirectory() as made:
        out = Path(made) / "demo.json"
        line = [sys.executable, "-m", "benchmarks.transcribe_on_gpu", "--demo", "--out", str(out)]
        done = subprocess.run(
            line, capture_output=True, text=True, check=False, timeout=300, cwd=ENTRY.parents[1]
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-1500:])
        for name, value in json.loads(out.read_text(encoding="utf-8")).items():
            if name.startswith("demo"):
                report.note(name, value)


def small(config: dict[str, Any]) -> dict[str, Any]:
    """The same graph, small enough for a CPU."""
    config["encoder"] |= {
        "d_model": 64,
        "n_layers": 2,
        "n_heads": 4,
        "subsampling_conv_channels": 32,
    }
    config["model_defaults"] |= {"enc_hidden": 64, "pred_hidden": 64, "joint_hidden": 64}
    config["decoder"]["prednet"] |= {"pred_hidden": 64, "pred_rnn_layers": 1}
    config["joint"]["jointnet"] |= {"joint_hidden": 64}
    return config


def describe_machine(report: Report) -> None:
    """Hardware, versions, command."""
    import nemo  # noqa: PLC0415

    report.note("date", time.strftime("%Y-%m-%d"))
    report.note("command", "python -m benchmarks.transcribe_on_gpu " + " ".join(sys.argv[1:]))
    if ON_GPU:
        report.note("gpu", torch.cuda.get_device_name())
        driver = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        found = subprocess.run(driver, capture_output=True, text=True, check=False)
        report.note("driver", found.stdout.strip().splitlines()[:1])
    report.note(
        "versions",
        {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "nemo": nemo.__version__,
            "cores": pipeline.cores(),
        },
    )


class Comparison:
    """The settings, in an order in which what matters most comes first.

    Attributes:
        few: clips for settings of 32 bits.
        some: clips for a sweep.
        every: all clips.
        low: the 16-bit type; on a CPU there is none worth having.
    """

    def __init__(self, report: Report, folder: Path, clips: int, *, tiny: bool) -> None:
        self.report = report
        self.folder = folder
        self.tiny = tiny
        self.low = torch.bfloat16 if ON_GPU else torch.float32
        shortest, longest = (1.0, 3.0) if tiny else (3.0, 15.0)
        self.every = make_clips(folder, 64 if tiny else clips, shortest, longest)
        self.few, self.some = self.every.first(16 if tiny else 400), self.every.first(2000)
        report.note("clips", f"{len(self.every.paths)}, {sum(self.every.seconds):.0f} s")
        config = tdt_config(make_tokenizer(folder))
        self.model = build_model(small(config) if tiny else config).to(DEVICE).eval()
        report.note("parameters", sum(one.numel() for one in self.model.parameters()))
        self.preprocessor = copy.deepcopy(self.model.preprocessor)
        self.texts: dict[str, list[str]] = {}
        self.rtfx: dict[str, float] = {}

    def compare_texts(self) -> None:
        """Ours against transcribe(), changed rows, with one part of ours after the other off."""
        report, model, few = self.report, self.model, self.few
        for dtype in dict.fromkeys([torch.float32, self.low]):
            forget_graphs(model.to(dtype))
            plain = report.attempt("texts", partial(stock, model, few, 32))
            again = report.attempt("texts again", partial(stock, model, few, 16))
            model.preprocessor = copy.deepcopy(self.preprocessor)
            for name, settings in (
                ("ours", {}),
                ("ours, batch after batch", {"overlap": False}),
                ("ours, batch after batch, no CUDA graphs", {"overlap": False, "graphs": False}),
                ("ours, batch after batch, pageable memory", {"overlap": False, "pinned": False}),
            ):
                do = partial(texts_of, model, few, dtype, **settings)
                texts = report.attempt(name, do)
                if plain and texts:
                    report.note(f"changed, transcribe() to {name}, {dtype}", changed(plain, texts))
            if plain and again:
                rows = changed(plain, again)
                report.note(f"changed, transcribe() at batch 32 to 16, {dtype}", rows)
        model.to(torch.float32)
        model.preprocessor = copy.deepcopy(self.preprocessor)

    def full_precision(self) -> None:
        """The default setting, and ours, with equal texts."""
        report, model, few = self.report, self.model, self.few
        plain = report.attempt("fp32 texts", lambda: stock(model, few, 32))
        name = "transcribe(), default (batch 4), fp32"
        default = report.attempt(name, lambda: run_stock(report, model, few, name, 4))
        ours = report.attempt(
            "ours fp32", lambda: run_ours(report, model, few, "ours, fp32", torch.float32)
        )
        self.rtfx["the default"] = default or 0.0
        self.texts |= {"transcribe(), fp32": plain or [], "ours, fp32": ours[0] if ours else []}

    def sweep(self) -> None:
        """transcribe() with 16-bit weights by batch size; the best one on all clips."""
        report, model, low = self.report, self.model.to(self.low), self.low
        found: dict[int, float] = {}
        for batch in [4, 8] if self.tiny else [32, 64, 128, 256]:
            name = f"transcribe(), batch {batch}, {low}"
            do = partial(run_stock, report, model, self.some, name, batch)
            found[batch] = report.attempt(name, do) or 0.0
        best = max(found, key=lambda batch: found[batch])
        self.rtfx["the best transcribe()"] = found[best]
        by_hand = self.every.by_duration()
        for clips, workers, how in (
            (self.every, 0, "all clips"),
            (by_hand, 0, "sorted by hand"),
            (by_hand, 8, "sorted by hand, 8 loader processes"),
        ):
            name = f"transcribe(), batch {best}, {low}, {how}"
            do = partial(run_stock, report, model, clips, name, best, workers)
            self.rtfx[f"transcribe(), {how}"] = report.attempt(name, do) or 0.0
        texts = report.attempt("16-bit texts", lambda: stock(model, self.few, 32))
        self.texts["transcribe(), 16 bits"] = texts or []
        # Its tables have been rounded to 16 bits as well.
        model.preprocessor = self.preprocessor

    def budgets(self) -> int | None:
        """Ours by frame budget, and as it is shipped; the best budget."""
        found: dict[int, float] = {}
        for frames in [500, 2000] if self.tiny else [100_000, 200_000, 400_000, 800_000]:
            name = f"ours, {self.low}, {frames} frames"
            do = partial(run_ours, self.report, self.model, self.every, name, self.low, frames)
            _, found[frames] = self.report.attempt(name, do) or ([], 0.0)
        name = f"ours, {self.low}, as shipped"
        do = partial(run_ours, self.report, self.model, self.every, name, self.low)
        texts, self.rtfx["ours"] = self.report.attempt(name, do) or ([], 0.0)
        self.texts["ours, 16 bits"] = texts[: len(self.few.paths)]
        return max(found, key=lambda frames: found[frames])

    def conclude(self) -> None:
        """Ratios and changed rows."""
        ours = self.rtfx["ours"]
        ratios = {name: round(ours / rtfx, 2) for name, rtfx in self.rtfx.items() if rtfx}
        self.report.note("ours as shipped, times", ratios)
        for before, after in (
            ("transcribe(), fp32", "ours, fp32"),
            ("transcribe(), 16 bits", "ours, 16 bits"),
            ("transcribe(), fp32", "transcribe(), 16 bits"),
            ("ours, fp32", "ours, 16 bits"),
        ):
            if self.texts.get(before) and self.texts.get(after):
                rows = changed(self.texts[before], self.texts[after])
                self.report.note(f"changed rows, {before} to {after}", rows)

    def explain(self, frames: int | None) -> None:
        """Where the time goes, and the floor."""
        report = self.report
        ours = recogniser.Recogniser(self.model, self.low)
        budget = pipeline.prepare(ours, max(self.every.seconds), frames)
        report.attempt("stages", lambda: stages(report, ours, self.some, budget))
        report.attempt("floor", lambda: self._floor(ours))
        report.attempt("profile", lambda: kernels(report, ours, self.some, budget))

    def _floor(self, ours: Any) -> None:  # noqa: ANN401
        rate, each = matmul_rate(self.low), encoder_operations(ours, 9.0)
        self.report.note(
            "floor",
            {
                "encoder operations per second of audio": f"{each:.3e}",
                "measured operations a second": f"{rate:.3e}",
                "RTFx if nothing else took time": round(rate / each),
                "share of it that is reached": round(self.rtfx["ours"] * each / rate, 3),
            },
        )

    def run(self) -> None:
        """Everything."""
        self.compare_texts()
        self.full_precision()
        self.sweep()
        best = self.budgets()
        self.conclude()
        self.explain(best)
        self.report.attempt("variants", partial(variants, self.report, self, best))
        if torch.cuda.device_count() > 1:
            self.report.attempt("two GPUs", lambda: two_gpus(self.report, self))
            self.model.to(self.low)
            self.model.preprocessor = copy.deepcopy(self.preprocessor)
        if not self.tiny:
            self.report.attempt("compiled", lambda: compiled(self.report, self, best))


def compiled(report: Report, given: Comparison, frames: int | None) -> None:
    """The encoder's layers through torch.compile, which takes its time first."""
    layers = given.model.encoder.layers
    for layer in layers:
        layer.compile(dynamic=True)
    try:
        run_ours(
            report,
            given.model,
            given.every,
            "ours, encoder layers compiled",
            given.low,
            frames,
        )
    finally:
        for layer in layers:
            layer._compiled_call_impl = None  # noqa: SLF001 - there is no public way back


def two_gpus(report: Report, given: Comparison) -> None:
    """The program itself: all clips on one GPU, and half of them on each of two at once."""
    model = given.folder / "model.nemo"
    given.model.to(torch.float32).save_to(str(model))
    clips = given.every
    shares = {
        "one GPU": [(0, clips)],
        "two GPUs": [
            (number, Clips(clips.paths[number::2], clips.seconds[number::2])) for number in (0, 1)
        ],
    }
    seconds = {}
    for name, jobs in shares.items():
        started = time.monotonic()
        running = [start_program(given.folder, model, gpu, share) for gpu, share in jobs]
        events = [finish_program(process) for process in running]
        seconds[name] = max(event["seconds"] for event in events)
        report.row(
            setting=f"the program, {name}",
            rtfx=round(sum(clips.seconds) / seconds[name]),
            seconds=seconds[name],
            with_loading_s=round(time.monotonic() - started, 1),
        )
    ratio = seconds["one GPU"] / seconds["two GPUs"]
    report.note("two shards at once on two GPUs, times one", round(ratio, 2))


def start_program(folder: Path, model: Path, gpu: int, clips: Clips) -> subprocess.Popen[str]:
    """tasks/entry/transcribe.py on one GPU."""
    request = folder / f"request-{gpu}-{len(clips.paths)}.json"
    sets = [
        {
            "audio": clips.paths,
            "durations": clips.seconds,
            "out": str(request.with_suffix(".jsonl")),
        }
    ]
    request.write_text(json.dumps({"jobs": [{"model": str(model), "sets": sets}]}))
    return subprocess.Popen(
        [sys.executable, str(ENTRY / "transcribe.py"), str(request)],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": str(gpu)},
        stdout=subprocess.PIPE,
        text=True,
    )


def finish_program(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Its last event."""
    out, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(out[-2000:])
    *_, last = [line for line in out.splitlines() if line.startswith('{"event": "set"')]
    found: dict[str, Any] = json.loads(last)
    return found


def variants(report: Report, given: Comparison, frames: int | None) -> None:
    """Settings that might become the default."""
    model, clips, dtype = given.model, given.every, given.low
    together = recogniser.GPU_DECODED_TOGETHER
    for rows in (1024, 4096):
        recogniser.GPU_DECODED_TOGETHER = rows
        run_ours(report, model, clips, f"ours, {rows} rows decoded together", dtype, frames)
    recogniser.GPU_DECODED_TOGETHER = together


def main() -> None:
    """Measure, print as it goes, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=5000)
    parser.add_argument("--tiny", action="store_true", help="a small graph and few clips")
    parser.add_argument("--demo", action="store_true", help="only the embedded base on the demo")
    given = parser.parse_args()
    nemo_logging.setLevel(nemo_logging.ERROR)
    report = Report(given.out)
    if given.demo:
        with tempfile.TemporaryDirectory() as made:
            demo_in_16_bits(report, Path(made))
        return
    describe_machine(report)
    if not given.tiny:
        report.attempt("demo", lambda: demo_by_itself(report))
    with tempfile.TemporaryDirectory() as made:
        Comparison(report, Path(made), given.clips, tiny=given.tiny).run()
    print(json.dumps(report.values.get("settings"), indent=1), flush=True)


if __name__ == "__main__":
    main()
