"""What unheard variants cost on a GPU, and how far they narrow KER's spread there.

    python -m benchmarks.variants_on_gpu --out FILE.json [--budget 200] [--cycle CYCLE]
        [--evaluate BASE[,TUNED] …] [--spread BASE …]

``evaluate``: base and tuned model decode the cycle's 240 rows by the stage of a run that does so
(tasks/transcription/offline.py), each row once and each row under eight variants, in turn. The wall
is the whole job's: NeMo's import, both models' loading, the decoding. A base without a tuned model
gets one whose weights differ from its own by a hundredth. ``spread``: drug KER over 32
outer shifts, plainly and with inner variants, as benchmarks/unheard_variants.py has it.

Without ``--cycle`` the demo's rows are spoken here, by hibari-tts. What does not fit into the
budget is left out, and said. The file is written anew after each piece.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from benchmarks.clips import BenchmarkReport
from tasks.data.cycle_folder import open_cycle
from tasks.models import catalog
from tasks.runtimes import hardware
from tasks.runtimes.local import LocalRuntime
from tasks.stages.evaluate import check_audio
from tasks.transcription import offline, variants
from tasks.transcription.hypothesis_cache import TranscriptStore
from tasks.transcription.rows import audio_set

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.transcription.audio_sets import AudioSet, Transcript

COUNTS = (1, variants.DEFAULT_VARIANTS)
ROUNDS = 2
SEED = 42
LONGER_S = 10.0
"""The target: eight variants of 240 rows take at most so much longer."""
_APART = 0.01


def describe_machine(report: BenchmarkReport) -> None:
    """Note hardware, versions and command."""
    report.note("date", time.strftime("%Y-%m-%d"))
    report.note("command", "python -m benchmarks.variants_on_gpu " + " ".join(sys.argv[1:]))
    if torch.cuda.is_available():
        report.note("gpu", torch.cuda.get_device_name())
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        process = subprocess.run(query, capture_output=True, text=True, check=False)
        report.note("driver", process.stdout.strip().splitlines()[:1])
    packages = ("torch", "nemo_toolkit", "numpy")
    versions = {name: metadata.version(name) for name in packages}
    report.note("versions", {"python": platform.python_version(), **versions})
    report.note("cores", hardware.detect().cores)


def make_tuned(base: Path, out: Path) -> Path:
    """Write a model whose weights differ from a base's by one part in a hundred."""
    from benchmarks.entrypoint_imports import mix_weights  # noqa: PLC0415 - imports torch's loader

    archive = mix_weights.Archive(str(base))
    draws = torch.Generator().manual_seed(SEED)
    weights = {
        name: tensor * (1 + _APART * torch.randn(tensor.shape, generator=draws)).to(tensor.dtype)
        if tensor.is_floating_point() and tensor.ndim > 1
        else tensor
        for name, tensor in archive.weights().items()
    }
    archive.write_with(weights, out)
    return out


def evaluate_base(
    report: BenchmarkReport, name: str, cycle: Path, made: Path, until: float
) -> None:
    """Time the evaluation of a base and a tuned model.

    Args:
        report: takes the figures.
        name: of the base, and after a comma the tuned model's file.
        cycle: whose rows are decoded.
        made: where a tuned model is written if none is named.
        until: when no further job is begun, in seconds of the report.
    """
    base, *tuned = (catalog.resolve(one) for one in name.split(","))
    models = [base, *(tuned or [make_tuned(base, made)])]
    evaluate(report, name, models, rows_of(cycle, base), until)


def evaluate(
    report: BenchmarkReport, name: str, models: Sequence[Path], audio: AudioSet, until: float
) -> None:
    """Time the job with one decode a row and with several, in turn."""
    walls: dict[int, list[float]] = {count: [] for count in COUNTS}
    for number in range(ROUNDS):
        # The order is turned round, so that what the first job warms favours neither.
        for count in COUNTS if number % 2 == 0 else reversed(COUNTS):
            longest = max((max(taken) for taken in walls.values() if taken), default=0.0)
            if report.elapsed() + longest > until:
                report.row(setting=name, variants=count, left_out="no budget")
                continue
            wall, transcripts, notes = decode_once(models, audio, count)
            walls[count].append(wall)
            report.row(
                setting=name,
                variants=count,
                rows=len(audio.audio),
                wall_s=round(wall, 2),
                decoding_s=round(sum(one.seconds for one in transcripts), 2),
                audio_s=round(sum(one.audio_seconds for one in transcripts)),
                how=[one.how for one in transcripts],
                notes=notes[-3:],
            )
    if all(walls.values()):
        one, several = (min(walls[count]) for count in COUNTS)
        longer = several - one
        report.note(
            f"{name}: seconds",
            {
                "one decode": round(one, 2),
                f"{COUNTS[1]} decodes": round(several, 2),
                "longer by": round(longer, 2),
                "target": LONGER_S,
                "met": longer <= LONGER_S,
            },
        )


def decode_once(
    models: Sequence[Path], audio: AudioSet, count: int
) -> tuple[float, tuple[Transcript, ...], list[str]]:
    """Decode all rows by all models into a new store; return the seconds, and what was told."""
    runtime = LocalRuntime(hardware.detect())
    several = replace(audio, shifts=(variants.shifts(count, SEED),) * len(audio.audio))
    notes: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        store = TranscriptStore(Path(folder) / "transcripts", "benchmark")
        started = time.monotonic()
        transcripts = offline.transcribe(
            models, audio if count == 1 else several, runtime, store, notes.append
        )
        return time.monotonic() - started, transcripts, notes


def measure_spread(report: BenchmarkReport, cycle: Path, models: Sequence[str]) -> None:
    """Note each model's spread of drug KER over outer shifts."""
    from nemo.utils import logging  # noqa: PLC0415 - takes ten seconds

    from benchmarks import unheard_variants  # noqa: PLC0415 - imports NeMo

    logging.setLevel(logging.ERROR)
    judged = unheard_variants.read_rows(cycle, unheard_variants.RATE)
    longest = max(len(signal) for signal in judged.signals) / unheard_variants.RATE + 0.2
    for path in map(catalog.resolve, models):
        started = time.monotonic()
        model = unheard_variants.SignalRecognizer(path, longest)
        table = unheard_variants.miss_table(judged, model, variants.FRAME)
        for count in (4, variants.DEFAULT_VARIANTS):
            found = unheard_variants.spread(table, variants.shifts(count, SEED))
            report.row(setting="spread", model=path.name, variants=count, **asdict(found))
        report.note(f"spread of {path.name}, s", round(time.monotonic() - started, 1))


def rows_of(cycle: Path, base: Path) -> AudioSet:
    """Return the cycle's recordings, checked as a run checks them."""
    checked = check_audio(open_cycle(cycle), base, ())
    return audio_set(checked.rows, (cycle.resolve(),))


def main() -> None:
    """Measure what was asked for, piece by piece."""
    parser = argparse.ArgumentParser(description="Unheard variants on a GPU.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--budget", type=float, default=200.0, help="seconds in all")
    parser.add_argument("--cycle", type=Path, help="cycle N of a demo; made here without it")
    parser.add_argument("--evaluate", nargs="*", default=["embedded", "embedded-tdt"])
    parser.add_argument("--spread", nargs="*", default=[], help="models: names or .nemo files")
    asked = parser.parse_args()
    report = BenchmarkReport(asked.out)
    report.attempt("machine", lambda: describe_machine(report))
    with tempfile.TemporaryDirectory() as folder:
        cycle = asked.cycle
        if cycle is None:
            from asr_flywheel.demo.dataset import synthesise_cycle  # noqa: PLC0415 - takes a while

            cycle = Path(folder) / "cycle1"
            synthesise_cycle(cycle)
            report.note("rows spoken after s", round(report.elapsed(), 1))
        for place, name in enumerate(asked.evaluate):
            # Each base gets an equal share of what is left.
            left = len(asked.evaluate) - place + bool(asked.spread)
            until = report.elapsed() + (asked.budget - report.elapsed()) / left
            tuned = Path(folder) / f"tuned-{place}.nemo"
            report.attempt(name, partial(evaluate_base, report, name, cycle, tuned, until))
        if asked.spread:
            report.attempt("spread", partial(measure_spread, report, cycle, asked.spread))
    report.note("done after s", round(report.elapsed(), 1))


if __name__ == "__main__":
    main()
