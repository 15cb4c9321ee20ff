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
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import soundfile
import torch
from nemo.utils import logging as nemo_logging

from benchmarks.clips import DEVICE, ON_GPU, BenchmarkReport, Clips, make_clips
from benchmarks.entrypoint_imports import decoding_pipeline, greedy_decoder, parakeet_graph
from benchmarks.transcribe_settings import (
    changed,
    forget_graphs,
    run_ours,
    run_stock,
    stock,
    texts_of,
)
from benchmarks.transcribe_stages import encoder_operations, kernels, matmul_rate, stages
from tasks.runtimes.base import ENTRY


def demo_in_16_bits(report: BenchmarkReport, folder: Path) -> None:
    """Decode the demo's cycle by the embedded base in fp32 and bf16: changed rows and KER."""
    from asr_flywheel.demo.dataset import synthesise_cycle  # noqa: PLC0415
    from tasks.data.manifest import read_manifest  # noqa: PLC0415
    from tasks.evaluation.hypotheses import hypothesis_for  # noqa: PLC0415
    from tasks.evaluation.scoring import score  # noqa: PLC0415
    from tasks.models.catalog import resolve  # noqa: PLC0415

    cycle = folder / "demo" / "cycle1"
    synthesise_cycle(cycle)
    rows = read_manifest(cycle / "manifest.jsonl")
    paths = [str(cycle / row.audio_filepath) for row in rows]
    clips = Clips(paths, [soundfile.info(path).duration for path in paths])
    texts = {}
    for dtype in (torch.float32, torch.bfloat16):
        ours = greedy_decoder.GreedyRecognizer(
            greedy_decoder.restore(str(resolve("embedded")), DEVICE), dtype
        )
        if dtype is torch.float32:
            texts["transcribe(), fp32"] = stock(ours.model, clips, 16)
        budget = decoding_pipeline.prepare(ours, max(clips.seconds))
        texts[str(dtype)] = decoding_pipeline.transcribe(ours, clips.paths, clips.seconds, budget)
    plain = texts["transcribe(), fp32"]
    for name, hyps in texts.items():
        scores = score([hypothesis_for(row, text) for row, text in zip(rows, hyps, strict=True)])
        report.note(
            f"demo, embedded base, {name}",
            {"changed": changed(plain, hyps), "KER": scores.ker, "WER": scores.wer},
        )


def run_demo_in_own_process(report: BenchmarkReport) -> None:
    """Run the demo's part in a process of its own, before anything else has been loaded."""
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "demo.json"
        line = [sys.executable, "-m", "benchmarks.transcribe_on_gpu", "--demo", "--out", str(out)]
        process = subprocess.run(
            line, capture_output=True, text=True, check=False, timeout=300, cwd=ENTRY.parents[1]
        )
        if process.returncode:
            raise RuntimeError(process.stderr[-1500:])
        for name, value in json.loads(out.read_text(encoding="utf-8")).items():
            if name.startswith("demo"):
                report.note(name, value)


def small(config: dict[str, Any]) -> dict[str, Any]:
    """Shrink the graph for a CPU."""
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


def describe_machine(report: BenchmarkReport) -> None:
    """Note hardware, versions and command."""
    import nemo  # noqa: PLC0415

    report.note("date", time.strftime("%Y-%m-%d"))
    report.note("command", "python -m benchmarks.transcribe_on_gpu " + " ".join(sys.argv[1:]))
    if ON_GPU:
        report.note("gpu", torch.cuda.get_device_name())
        driver = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        process = subprocess.run(driver, capture_output=True, text=True, check=False)
        report.note("driver", process.stdout.strip().splitlines()[:1])
    report.note(
        "versions",
        {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "nemo": nemo.__version__,
            "cores": decoding_pipeline.cores(),
        },
    )


class SettingsSweep:
    """The settings, in an order in which what matters most comes first.

    Attributes:
        few: clips for settings of 32 bits.
        some: clips for a sweep.
        every: all clips.
        low: the 16-bit type; on a CPU there is none worth having.
    """

    def __init__(self, report: BenchmarkReport, folder: Path, clips: int, *, tiny: bool) -> None:
        self.report = report
        self.folder = folder
        self.tiny = tiny
        self.low = torch.bfloat16 if ON_GPU else torch.float32
        shortest, longest = (1.0, 3.0) if tiny else (3.0, 15.0)
        self.every = make_clips(folder, 64 if tiny else clips, shortest, longest)
        self.few, self.some = self.every.first(16 if tiny else 400), self.every.first(2000)
        report.note("clips", f"{len(self.every.paths)}, {sum(self.every.seconds):.0f} s")
        config = parakeet_graph.tdt_config(parakeet_graph.make_tokenizer(folder))
        self.model = parakeet_graph.build_model(small(config) if tiny else config).to(DEVICE).eval()
        report.note("parameters", sum(parameter.numel() for parameter in self.model.parameters()))
        self.preprocessor = copy.deepcopy(self.model.preprocessor)
        self.texts: dict[str, list[str]] = {}
        self.rtfx: dict[str, float] = {}

    def compare_texts(self) -> None:
        """Compare texts of ours and transcribe(), with one part of ours after the other off."""
        report, model, clips = self.report, self.model, self.few
        for dtype in dict.fromkeys([torch.float32, self.low]):
            forget_graphs(model.to(dtype))
            plain = report.attempt("texts", partial(stock, model, clips, 32))
            second = report.attempt("texts again", partial(stock, model, clips, 16))
            model.preprocessor = copy.deepcopy(self.preprocessor)
            for name, settings in (
                ("ours", {}),
                ("ours, batch after batch", {"overlap": False}),
                ("ours, batch after batch, no CUDA graphs", {"overlap": False, "graphs": False}),
                ("ours, batch after batch, pageable memory", {"overlap": False, "pinned": False}),
            ):
                do = partial(texts_of, model, clips, dtype, **settings)
                texts = report.attempt(name, do)
                if plain and texts:
                    report.note(f"changed, transcribe() to {name}, {dtype}", changed(plain, texts))
            if plain and second:
                rows = changed(plain, second)
                report.note(f"changed, transcribe() at batch 32 to 16, {dtype}", rows)
        model.to(torch.float32)
        model.preprocessor = copy.deepcopy(self.preprocessor)

    def full_precision(self) -> None:
        """Time the default setting, and ours, with equal texts."""
        report, model, clips = self.report, self.model, self.few
        plain = report.attempt("fp32 texts", lambda: stock(model, clips, 32))
        name = "transcribe(), default (batch 4), fp32"
        default = report.attempt(name, lambda: run_stock(report, model, clips, name, 4))
        ours = report.attempt(
            "ours fp32", lambda: run_ours(report, model, clips, "ours, fp32", torch.float32)
        )
        self.rtfx["the default"] = default or 0.0
        self.texts |= {"transcribe(), fp32": plain or [], "ours, fp32": ours[0] if ours else []}

    def sweep(self) -> None:
        """Time transcribe() with 16-bit weights by batch size; the best one on all clips."""
        report, model, low = self.report, self.model.to(self.low), self.low
        rtfx_by_batch: dict[int, float] = {}
        for batch in [4, 8] if self.tiny else [32, 64, 128, 256]:
            name = f"transcribe(), batch {batch}, {low}"
            do = partial(run_stock, report, model, self.some, name, batch)
            rtfx_by_batch[batch] = report.attempt(name, do) or 0.0
        best = max(rtfx_by_batch, key=lambda batch: rtfx_by_batch[batch])
        self.rtfx["the best transcribe()"] = rtfx_by_batch[best]
        by_hand = self.every.by_duration()
        for clips, workers, label in (
            (self.every, 0, "all clips"),
            (by_hand, 0, "sorted by hand"),
            (by_hand, 8, "sorted by hand, 8 loader processes"),
        ):
            name = f"transcribe(), batch {best}, {low}, {label}"
            do = partial(run_stock, report, model, clips, name, best, workers)
            self.rtfx[f"transcribe(), {label}"] = report.attempt(name, do) or 0.0
        texts = report.attempt("16-bit texts", lambda: stock(model, self.few, 32))
        self.texts["transcribe(), 16 bits"] = texts or []
        # Its tables have been rounded to 16 bits as well.
        model.preprocessor = self.preprocessor

    def budgets(self) -> int | None:
        """Time ours by frame budget, and as it is shipped; return the best budget."""
        rtfx_by_frames: dict[int, float] = {}
        for frames in [500, 2000] if self.tiny else [100_000, 200_000, 400_000, 800_000]:
            name = f"ours, {self.low}, {frames} frames"
            do = partial(run_ours, self.report, self.model, self.every, name, self.low, frames)
            _, rtfx_by_frames[frames] = self.report.attempt(name, do) or ([], 0.0)
        name = f"ours, {self.low}, as shipped"
        do = partial(run_ours, self.report, self.model, self.every, name, self.low)
        texts, self.rtfx["ours"] = self.report.attempt(name, do) or ([], 0.0)
        self.texts["ours, 16 bits"] = texts[: len(self.few.paths)]
        return max(rtfx_by_frames, key=lambda frames: rtfx_by_frames[frames])

    def conclude(self) -> None:
        """Note ratios and changed rows."""
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
        """Note the time of each stage, and the floor."""
        report = self.report
        ours = greedy_decoder.GreedyRecognizer(self.model, self.low)
        budget = decoding_pipeline.prepare(ours, max(self.every.seconds), frames)
        report.attempt("stages", lambda: stages(report, ours, self.some, budget))
        report.attempt("floor", lambda: self._floor(ours))
        report.attempt("profile", lambda: kernels(report, ours, self.some, budget))

    def _floor(self, ours: Any) -> None:  # noqa: ANN401
        rate, operations = matmul_rate(self.low), encoder_operations(ours, 9.0)
        self.report.note(
            "floor",
            {
                "encoder operations per second of audio": f"{operations:.3e}",
                "measured operations a second": f"{rate:.3e}",
                "RTFx if nothing else took time": round(rate / operations),
                "share of it that is reached": round(self.rtfx["ours"] * operations / rate, 3),
            },
        )

    def run(self) -> None:
        """Run all settings."""
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


def two_gpus(report: BenchmarkReport, sweep: SettingsSweep) -> None:
    """Time the program itself: all clips on one GPU, and half of them on each of two at once."""
    model = sweep.folder / "model.nemo"
    sweep.model.to(torch.float32).save_to(str(model))
    clips = sweep.every
    shares = {
        "one GPU": [(0, clips)],
        "two GPUs": [
            (number, Clips(clips.paths[number::2], clips.seconds[number::2])) for number in (0, 1)
        ],
    }
    seconds = {}
    for name, jobs in shares.items():
        started = time.monotonic()
        running = [start_program(sweep.folder, model, gpu, share) for gpu, share in jobs]
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
    """Start tasks/entrypoints/transcribe.py on one GPU."""
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
    """Wait for the program and return its last event."""
    out, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(out[-2000:])
    *_, last = [line for line in out.splitlines() if line.startswith('{"event": "set"')]
    event: dict[str, Any] = json.loads(last)
    return event


def variants(report: BenchmarkReport, sweep: SettingsSweep, frames: int | None) -> None:
    """Time settings that might become the default."""
    model, clips, dtype = sweep.model, sweep.every, sweep.low
    for rows in (1024, 4096):
        with patch.object(greedy_decoder, "GPU_DECODED_TOGETHER", rows):
            run_ours(report, model, clips, f"ours, {rows} rows decoded together", dtype, frames)


def main() -> None:
    """Measure, print as it goes, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=5000)
    parser.add_argument("--tiny", action="store_true", help="a small graph and few clips")
    parser.add_argument("--demo", action="store_true", help="only the embedded base on the demo")
    args = parser.parse_args()
    nemo_logging.setLevel(nemo_logging.ERROR)
    report = BenchmarkReport(args.out)
    if args.demo:
        with tempfile.TemporaryDirectory() as temporary:
            demo_in_16_bits(report, Path(temporary))
        return
    describe_machine(report)
    if not args.tiny:
        report.attempt("demo", lambda: run_demo_in_own_process(report))
    with tempfile.TemporaryDirectory() as temporary:
        SettingsSweep(report, Path(temporary), args.clips, tiny=args.tiny).run()
    print(json.dumps(report.values.get("settings"), indent=1), flush=True)


if __name__ == "__main__":
    main()
