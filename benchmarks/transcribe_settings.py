"""Time one setting of transcribe(), or of ours: warmed up, decoded, timed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from benchmarks.clips import ON_GPU, RATE, BenchmarkReport, Clips, add_row, timed, wait
from benchmarks.entrypoint_imports import Untyped, audio_reader, decoding_pipeline, greedy_decoder

if TYPE_CHECKING:
    from collections.abc import Sequence


def stock(model: Untyped, clips: Clips, batch: int, workers: int = 0) -> list[str]:
    """Decode by plain transcribe()."""
    with torch.inference_mode():
        answer = model.transcribe(clips.paths, batch_size=batch, num_workers=workers, verbose=False)
    best = answer[0] if isinstance(answer, tuple) else answer
    return [getattr(hypothesis, "text", hypothesis) for hypothesis in best]


def forget_graphs(model: Untyped) -> None:
    """Drop graphs that were captured with other weights or for another size."""
    computer: Any = getattr(model.decoding.decoding, "decoding_computer", None)
    if hasattr(computer, "reset_cuda_graphs_state"):
        computer.reset_cuda_graphs_state()
    if ON_GPU:
        torch.cuda.empty_cache()


def run_stock(
    report: BenchmarkReport,
    model: Untyped,
    clips: Clips,
    name: str,
    batch: int,
    workers: int = 0,
) -> float:
    """Time one transcribe() setting, warmed up by two batches that hold the longest clips."""
    forget_graphs(model)
    stock(model, clips.by_duration().first(2 * batch), batch, workers)
    _, seconds = timed(lambda: stock(model, clips, batch, workers))
    return add_row(report, name, clips, seconds, batch=batch, workers=workers)


def texts_of(
    model: Untyped,
    clips: Clips,
    dtype: torch.dtype,
    *,
    overlap: bool = True,
    graphs: bool = True,
    pinned: bool = True,
) -> list[str]:
    """Return texts of ours, as shipped or one batch after the other."""
    forget_graphs(model)
    computer: Any = model.decoding.decoding.decoding_computer
    ours = greedy_decoder.GreedyRecognizer(model, dtype)
    if not graphs:
        computer.disable_cuda_graphs()
    try:
        budget = decoding_pipeline.prepare(ours, max(clips.seconds))
        if overlap:
            return list(decoding_pipeline.transcribe(ours, clips.paths, clips.seconds, budget))
        texts = [""] * len(clips.paths)
        plan = decoding_pipeline.length_batching.plan(clips.seconds, budget)
        with (
            torch.inference_mode(),
            audio_reader.Reader(clips.paths, RATE, 4, pinned=pinned and ON_GPU) as reader,
        ):
            for batch in reader.batches(plan, 1):
                encoded = ours.encode(batch.signal, batch.lengths)
                wait()
                spelt = ours.spell(ours.decode([encoded]))
                for place, text in zip(batch.places, spelt, strict=True):
                    texts[place] = text
        return texts
    finally:
        computer.maybe_enable_cuda_graphs()


def run_ours(
    report: BenchmarkReport,
    model: Untyped,
    clips: Clips,
    name: str,
    dtype: torch.dtype,
    frames: int | None = None,
) -> tuple[list[str], float]:
    """Time one frame budget of ours; its warm-up is its own."""
    forget_graphs(model)
    ours = greedy_decoder.GreedyRecognizer(model, dtype)
    events: list[str] = []
    budget, warm_up = timed(lambda: decoding_pipeline.prepare(ours, max(clips.seconds), frames))
    if ON_GPU:
        torch.cuda.reset_peak_memory_stats()
    texts, seconds = timed(
        lambda: decoding_pipeline.transcribe(
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


def changed(before: Sequence[str], after: Sequence[str]) -> str:
    """Count the texts that differ."""
    return f"{sum(a != b for a, b in zip(before, after, strict=True))} of {len(before)}"
