"""Time of each stage of our transcription: each alone, its kernels, the arithmetic."""

from __future__ import annotations

from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.clips import DEVICE, ON_GPU, RATE, BenchmarkReport, Clips, timed, wait
from benchmarks.entrypoint_imports import Untyped, audio_reader, decoding_pipeline


def matmul_rate(dtype: torch.dtype) -> float:
    """Measure the floating-point operations a second of a large matrix product."""
    size = 8192 if ON_GPU else 512
    left, right = (torch.randn(size, size, device=DEVICE, dtype=dtype) for _ in range(2))
    for _ in range(3):
        left @ right
    _, seconds = timed(lambda: [left @ right for _ in range(20)])
    return float(20 * 2 * size**3 / seconds)


def encoder_operations(ours: Untyped, seconds: float) -> float:
    """Count the encoder's floating-point operations for one second of audio, while it runs."""
    samples = round(seconds * RATE)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        ours.encode(torch.zeros(4, samples), torch.full((4,), samples))
    return float(counter.get_total_flops() / (4 * seconds))


def stages(report: BenchmarkReport, ours: Untyped, clips: Clips, budget: Untyped) -> None:
    """Time every stage alone, one after the other, when nothing overlaps."""
    plan = list(decoding_pipeline.length_batching.plan(clips.seconds, budget))

    def read() -> list[Any]:
        readers = min(8, decoding_pipeline.cores())
        with audio_reader.Reader(clips.paths, RATE, readers, pinned=ON_GPU) as reader:
            return list(reader.batches(plan, 3))

    with torch.inference_mode():
        read_batches, reading = timed(read)
        moved, moving = timed(
            lambda: [
                (audio_batch.signal.to(DEVICE), audio_batch.lengths.to(DEVICE))
                for audio_batch in read_batches
            ]
        )
        features, preprocessing = timed(lambda: [ours.features(s, n) for s, n in moved])
        encoded, encoding = timed(lambda: [ours.encode_features(f, n) for f, n in features])
        groups: list[list[Any]] = [[]]
        for batch in encoded:
            rows = sum(len(other.lengths) for other in groups[-1]) + len(batch.lengths)
            if groups[-1] and rows > ours.together:
                groups.append([])
            groups[-1].append(batch)
        ours.decode(groups[0])
        labels, decoding = timed(lambda: [ours.decode(group) for group in groups])
        _, spelling = timed(lambda: [ours.spell(group_labels) for group_labels in labels])
    seconds_by_stage = {
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
        {name: round(audio / seconds) for name, seconds in seconds_by_stage.items()},
    )
    report.note(
        "stages alone, seconds", {name: round(s, 3) for name, s in seconds_by_stage.items()}
    )
    report.note(
        "labels a second of audio",
        round(sum(int(group_labels.lengths.sum()) for group_labels in labels) / audio, 1),
    )


def kernels(report: BenchmarkReport, ours: Untyped, clips: Clips, budget: Untyped) -> None:
    """List the operations that take most of the device's time, by PyTorch's profiler."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if ON_GPU else [])]
    (places, *_) = list(decoding_pipeline.length_batching.plan(clips.seconds, budget))
    with audio_reader.Reader(clips.paths, RATE, 4, pinned=ON_GPU) as reader:
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
