"""Where the seconds of one decoding pass go, by thread, and what a few settings change.

Each stage is wrapped: the calling thread's wait for audio, its starting of encoders and of loops,
the spelling thread's wait and work. What the GPU does between two encoders is told by its own
clock.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

import torch

from benchmarks.clips import ON_GPU, BenchmarkReport, timed
from benchmarks.entrypoint_imports import Untyped, audio_reader, decoding_pipeline, greedy_decoder
from benchmarks.transcribe_settings import changed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PASSES = 2


class Timeline:
    """Begin and end of every step of a pass, in seconds since the pass began."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.steps: dict[str, list[tuple[float, float]]] = {}
        self.encoders: list[tuple[Any, Any]] = []

    def timed(self, name: str, do: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a step."""

        def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            started = time.monotonic()
            try:
                return do(*args, **kwargs)
            finally:
                ended = time.monotonic()
                self.steps.setdefault(name, []).append((started - self.began, ended - self.began))

        return call

    def on_the_gpu(self, do: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap an encoder by two events of the GPU."""
        if not ON_GPU:
            return do

        def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            pair = [torch.cuda.Event(enable_timing=True) for _ in range(2)]  # type: ignore[no-untyped-call]
            pair[0].record()
            try:
                return do(*args, **kwargs)
            finally:
                pair[1].record()
                self.encoders.append((pair[0], pair[1]))

        return call

    def describe(self) -> dict[str, Any]:
        """Return each step's seconds in all, its first begin and its last end."""
        told: dict[str, Any] = {
            name: {
                "seconds": round(sum(end - start for start, end in spans), 3),
                "times": len(spans),
                "first begin": round(spans[0][0], 3),
                "last end": round(max(end for _, end in spans), 3),
            }
            for name, spans in self.steps.items()
        }
        for name in ("launch encoder", "start decoding", "spell"):
            told[f"{name}, each"] = [
                (round(start, 2), round(end, 2)) for start, end in self.steps.get(name, ())
            ]
        if self.encoders:
            own = sum(first.elapsed_time(last) for first, last in self.encoders) / 1000
            whole = self.encoders[0][0].elapsed_time(self.encoders[-1][1]) / 1000
            told["encoders on the GPU"] = {"seconds": round(own, 3), "of": round(whole, 3)}
        return told


@contextmanager
def _watched(ours: Untyped) -> Iterator[Timeline]:
    """Have every step of the next pass written down."""
    timeline = Timeline()
    reading = audio_reader.Reader.batches

    def batches(*args: Any, **kwargs: Any) -> Iterator[Any]:  # noqa: ANN401
        following = iter(reading(*args, **kwargs))
        step = timeline.timed("wait for audio", partial(next, following, None))
        while (batch := step()) is not None:
            yield batch

    ours.encode = timeline.timed("launch encoder", timeline.on_the_gpu(ours.encode))
    ours.start_decoding = timeline.timed("start decoding", ours.start_decoding)
    ours.spell = timeline.timed("spell", ours.spell)
    audio_reader.Reader.batches = batches
    try:
        yield timeline
    finally:
        audio_reader.Reader.batches = reading
        del ours.encode, ours.start_decoding, ours.spell


class Setting(NamedTuple):
    """What a pass is timed with.

    Attributes:
        rows: decoded together, at most.
        switch_s: that a thread waits for the interpreter, at most.
        readers: threads that read audio.
    """

    rows: int = 2048
    switch_s: float = 1e-4
    readers: int = 8

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Decode by it."""
        with (
            patch.object(greedy_decoder, "GPU_DECODED_TOGETHER", self.rows),
            patch.object(decoding_pipeline, "_SWITCH_S", self.switch_s),
            patch.object(decoding_pipeline, "_READERS", self.readers),
        ):
            yield


SETTINGS = (
    Setting(),
    Setting(switch_s=0.005),
    Setting(rows=4096),
    Setting(readers=2),
)


def draw(
    report: BenchmarkReport,
    ours: Untyped,
    audio_s: float,
    prepare: Callable[[], Any],
    decode: Callable[[Any], list[str]],
    forget: Callable[[], None],
) -> None:
    """Time passes by each setting, and write down where their seconds go.

    Args:
        report: gets the lines.
        ours: the recogniser.
        audio_s: seconds of all clips.
        prepare: warms up, and returns a budget.
        decode: all clips within it.
        forget: the graphs that were captured.
    """
    first: list[str] = []
    prepared = 0
    budget: Any = None
    for setting in SETTINGS:
        with setting.applied():
            if prepared != setting.rows:
                forget()
                budget = prepare()
                decode(budget)
                prepared = setting.rows
            taken = []
            for _ in range(_PASSES):
                texts, seconds = timed(partial(decode, budget))
                taken.append(round(seconds, 3))
            first = first or texts
            with _watched(ours) as timeline:
                _, watched = timed(partial(decode, budget))
            report.row(
                timeline=str(setting),
                rtfx=round(audio_s / sorted(taken)[len(taken) // 2]),
                passes_s=taken,
                watched_s=round(watched, 3),
                budget=str(budget),
                changed=changed(first, texts),
                where=timeline.describe(),
            )
