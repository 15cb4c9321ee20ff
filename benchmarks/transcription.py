"""Our transcription against NeMo's, on the embedded base and the demo's recordings, on a CPU.

The settings take turns, so that a busy machine troubles all of them alike, and the best turn of
each counts: wall time, after a warm-up on a few recordings, the model loaded once. The texts must
be equal.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import soundfile

from asr_flywheel.demo.dataset import synthesise_cycle
from benchmarks.rows import BenchmarkRow
from tasks.common import atomic_files
from tasks.models.catalog import resolve
from tasks.runtimes.base import ENTRY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

TURNS = 2
_WARM_UP = 24
_UNIT = "x real time"
_STOCK = Path("examples/asr/transcribe_speech.py")
_MEASURED = re.compile(r"Model RTFx on the dataset: ([0-9.]+)")


@dataclass(frozen=True)
class Recordings:
    """Paths and seconds."""

    paths: list[str]
    seconds: list[float]


def rows(nemo: Path | None = None, turns: int = TURNS) -> Iterator[BenchmarkRow]:
    """Time ours against transcribe() and, if a checkout of NeMo is named, its own script.

    Raises:
        AssertionError: a text differs.
    """
    with tempfile.TemporaryDirectory(prefix="asr-flywheel-bench-") as temporary:
        recordings = synthesise(Path(temporary))
        yield from _compare_with_transcribe(recordings, turns)
        if nemo is not None:
            yield _compare_with_script(recordings, nemo, Path(temporary))


def synthesise(folder: Path) -> Recordings:
    """Synthesise the demo's cycle."""
    cycle = folder / "cycle1"
    synthesise_cycle(cycle)
    rows = atomic_files.read_jsonl(cycle / "manifest.jsonl")
    paths = [str(cycle / row["audio_filepath"]) for row in rows]
    return Recordings(paths, [soundfile.info(path).duration for path in paths])


def _compare_with_transcribe(recordings: Recordings, turns: int) -> Iterator[BenchmarkRow]:
    import torch  # noqa: PLC0415 - the other benchmarks need not wait for it
    from nemo.utils import logging  # noqa: PLC0415

    from benchmarks.entrypoint_imports import decoding_pipeline, greedy_decoder  # noqa: PLC0415 - likewise

    logging.setLevel(logging.ERROR)
    cores = len(os.sched_getaffinity(0))
    model = greedy_decoder.restore(str(resolve("embedded")), "cpu")
    by_length = sorted(range(len(recordings.paths)), key=lambda n: -recordings.seconds[n])
    # A model of its own: the recogniser changes what it is given.
    ours = greedy_decoder.GreedyRecognizer(greedy_decoder.restore(str(resolve("embedded")), "cpu"))

    def stock(order: Sequence[int], batch: int) -> list[str]:
        torch.set_num_threads(cores)
        paths = [recordings.paths[place] for place in order]
        hypotheses = model.transcribe(paths, batch_size=batch, verbose=False)
        return [
            text.text for _, text in sorted(zip(order, hypotheses, strict=True), key=itemgetter(0))
        ]

    def ours_in_order(order: Sequence[int]) -> list[str]:
        paths = [recordings.paths[place] for place in order]
        seconds = [recordings.seconds[place] for place in order]
        budget = decoding_pipeline.prepare(ours, max(recordings.seconds))
        return list(decoding_pipeline.transcribe(ours, paths, seconds, budget))

    as_given = range(len(by_length))
    settings: dict[str, tuple[Sequence[int], Callable[[Sequence[int]], list[str]]]] = {
        "ours": (as_given, ours_in_order),
        "transcribe() as documented, batch 4": (as_given, lambda order: stock(order, 4)),
        "transcribe(), batch 16, sorted by hand": (by_length, lambda order: stock(order, 16)),
    }
    for order, do in settings.values():
        do(order[:_WARM_UP])
    best = dict.fromkeys(settings, 0.0)
    texts: dict[str, list[str]] = {}
    for _ in range(turns):
        for name, (order, do) in settings.items():
            began = time.monotonic()
            texts[name] = do(order)
            took = time.monotonic() - began
            best[name] = max(best[name], sum(recordings.seconds) / took)
    our_texts = texts.pop("ours")
    for name, their_texts in texts.items():
        changed = sum(a != b for a, b in zip(our_texts, their_texts, strict=True))
        if changed:
            raise AssertionError(f"{changed} texts differ from those of {name}")
        note = f"{len(our_texts)} texts, all equal"
        yield BenchmarkRow(f"transcription: {name}", best["ours"], best[name], _UNIT, note)


def _compare_with_script(recordings: Recordings, nemo: Path, folder: Path) -> BenchmarkRow:
    """Time NeMo's own program, started as a user starts it; by its own measure of speed."""
    manifest = folder / "stock.jsonl"
    atomic_files.write_jsonl(
        manifest,
        (
            {"audio_filepath": path, "duration": seconds, "text": ""}
            for path, seconds in zip(recordings.paths, recordings.seconds, strict=True)
        ),
    )
    settings = {
        "model_path": resolve("embedded"),
        "dataset_manifest": manifest,
        "output_filename": folder / "stock-out.jsonl",
        "batch_size": 32,
        "calculate_rtfx": "true",
        "warmup_steps": 1,
    }
    process = subprocess.run(
        [
            sys.executable,
            str(nemo / _STOCK),
            *(f"{key}={value}" for key, value in settings.items()),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    match = _MEASURED.search(process.stdout + process.stderr)
    if match is None:
        raise RuntimeError(f"{nemo / _STOCK}:\n{(process.stdout + process.stderr)[-2000:]}")
    ours = _time_own_program(recordings, folder)
    return BenchmarkRow(
        "transcription: NeMo's transcribe_speech.py, batch 32", ours, float(match[1]), _UNIT
    )


def _time_own_program(recordings: Recordings, folder: Path) -> float:
    """Time our own program, started as a run starts it; by the speed that it reports."""
    request_set = {
        "audio": recordings.paths,
        "durations": recordings.seconds,
        "out": str(folder / "ours.jsonl"),
    }
    request = folder / "request.json"
    atomic_files.write_json(
        request, {"jobs": [{"model": str(resolve("embedded")), "sets": [request_set]}]}
    )
    process = subprocess.run(
        [sys.executable, str(ENTRY / "transcribe.py"), str(request)],
        capture_output=True,
        text=True,
        check=True,
    )
    events: list[dict[str, Any]] = [
        json.loads(line)
        for line in process.stdout.splitlines()
        if line.startswith('{"event": "set"')
    ]
    return float(events[-1]["audio_seconds"] / events[-1]["seconds"])
