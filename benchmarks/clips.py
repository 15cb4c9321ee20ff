"""Clips and report of the transcription benchmarks."""

from __future__ import annotations

import json
import random
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
import torch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RATE = 16_000
ON_GPU = torch.cuda.is_available()
DEVICE = "cuda" if ON_GPU else "cpu"


@dataclass(frozen=True)
class Clips:
    """WAV files and their seconds."""

    paths: list[str]
    seconds: list[float]

    def first(self, count: int) -> Clips:
        """Return the first clips; they are in random order."""
        return Clips(self.paths[:count], self.seconds[:count])

    def by_duration(self) -> Clips:
        """Return the clips, the longest first."""
        order = sorted(range(len(self.paths)), key=lambda place: -self.seconds[place])
        return Clips([self.paths[n] for n in order], [self.seconds[n] for n in order])


@dataclass
class BenchmarkReport:
    """A benchmark's figures so far; written anew after every setting."""

    out: Path
    started: float = field(default_factory=time.monotonic)
    values: dict[str, Any] = field(default_factory=dict)

    def elapsed(self) -> float:
        """Return the seconds since the start."""
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
        """Write all figures as JSON."""
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
    """Write noise whose loudness changes as a voice's does."""
    rng = np.random.default_rng(seed)
    samples = round(seconds * RATE)
    loudness = np.repeat(rng.uniform(0.0, 0.3, samples // 1600 + 1), 1600)[:samples]
    voice = rng.standard_normal(samples, dtype=np.float32) * loudness
    soundfile.write(path, voice.astype(np.float32), RATE, subtype="PCM_16")


def make_clips(folder: Path, count: int, shortest: float, longest: float) -> Clips:
    """Write clips with lengths spread evenly, in random order."""
    draw = random.Random(0)  # noqa: S311 - repeatable
    seconds = [round(draw.uniform(shortest, longest), 2) for _ in range(count)]
    paths = [str(folder / f"{number:05}.wav") for number in range(count)]
    with ProcessPoolExecutor() as pool:
        list(pool.map(make_clip, paths, seconds, range(count), chunksize=32))
    return Clips(paths, seconds)


def wait() -> None:
    """Wait until the GPU has done all that was queued."""
    if ON_GPU:
        torch.cuda.synchronize()


def timed(do: Callable[[], Any]) -> tuple[Any, float]:
    """Call a function; return its result and the seconds."""
    wait()
    started = time.monotonic()
    result = do()
    wait()
    return result, time.monotonic() - started


def add_row(
    report: BenchmarkReport, name: str, clips: Clips, seconds: float, **figures: object
) -> float:
    """Add the line of a measured setting; return its RTFx."""
    rtfx = sum(clips.seconds) / seconds
    report.row(
        setting=name,
        rtfx=round(rtfx, 1),
        clips=len(clips.paths),
        audio_s=round(sum(clips.seconds)),
        seconds=round(seconds, 2),
        **figures,
    )
    return rtfx
