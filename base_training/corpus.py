"""The base model's speech: every line of the training text, spoken by a voice of its own.

Shards appear one by one, complete, so that training can begin on the first while the rest are
still being spoken. Run ``python -m base_training.corpus --text FILE --out DIR``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from asr_flywheel.demo import synthesis
from asr_flywheel.demo.voices import VOICES, Voice

SHARD_LINES = 500
LOWEST, HIGHEST = 84, 119
SLOWEST, FASTEST = 0.88, 1.14


@dataclass(frozen=True)
class ShardTask:
    """Lines to speak into one shard.

    Attributes:
        path: The shard's file.
        first: Index of the first line in the text.
        lines: The lines.
        demo_voices: Speak with the benchmark's voices instead of random ones.
    """

    path: Path
    first: int
    lines: tuple[str, ...]
    demo_voices: bool


@cache
def _synthesiser() -> synthesis.Synthesiser:
    return synthesis.Synthesiser()


def speak_shard(task: ShardTask) -> float:
    """Speak and write one shard; returns its hours.

    The file holds ``audio``, int16 of shape (total,), all utterances end to end; ``lengths``,
    samples of each; ``lines``, the index of each one's text.
    """
    pieces = []
    for index, line in enumerate(task.lines, start=task.first):
        rng = random.Random(index)
        voice = rng.choice(VOICES) if task.demo_voices else random_voice(rng)
        pieces.append(synthesis.to_pcm(_synthesiser().speak(line, voice, seed=index)))
    unfinished = task.path.with_suffix(".tmp")
    with unfinished.open("wb") as file:
        np.savez(
            file,
            audio=np.concatenate(pieces),
            lengths=np.array([len(piece) for piece in pieces], np.int32),
            lines=np.arange(task.first, task.first + len(pieces), dtype=np.int32),
        )
    unfinished.rename(task.path)
    return sum(map(len, pieces)) / synthesis.SAMPLE_RATE / 3600


def random_voice(rng: random.Random) -> Voice:
    """Draw a voice from the range that the benchmark's voices lie in."""
    return Voice("any", rng.randint(LOWEST, HIGHEST), rng.uniform(SLOWEST, FASTEST))


def main() -> None:
    """Speak a text file's lines, up to a number of hours."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--hours", type=float, default=1e9, help="stop at this much speech")
    parser.add_argument("--workers", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--demo-voices", action="store_true", help="the benchmark's voices only")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    lines = args.text.read_text(encoding="ascii").splitlines()
    tasks = (
        ShardTask(
            args.out / f"shard_{first // SHARD_LINES:05d}.npz",
            first,
            tuple(lines[first : first + SHARD_LINES]),
            args.demo_voices,
        )
        for first in range(0, len(lines), SHARD_LINES)
    )
    started = time.monotonic()
    hours = 0.0
    with multiprocessing.get_context("spawn").Pool(args.workers) as pool:
        for spoken in pool.imap_unordered(speak_shard, tasks):
            hours += spoken
            if hours >= args.hours:
                break
        pool.terminate()
    print(f"corpus: {hours:.2f} h of speech in {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
