"""Engines on a CPU against our NeMo decoding: speed, latency, memory, size, equal texts.

    python -m benchmarks.edge_runtimes MODEL.nemo MANIFEST BUNDLE …
        [--threads N] [--batch N] [--workers N] [--json FILE]

Every arm runs in a process of its own, so that its peak memory is its own; the arms take turns, and
the best turn of each counts. The model is loaded and warmed up first. Throughput is of all
recordings: one by one, and in batches of like length; NeMo makes its own batches. With workers, an
engine decodes as many batches at once, each with its share of the threads. Latency is of one
recording at a time. Processor seconds count as well, since they depend less on what else the
machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import soundfile

from tasks.common import atomic_files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

TURNS = 3
_WARM_UP = 8
_BATCH = 4
"""Recordings of an engine's batch: with 16 a second of audio cost a sixth more than with 4."""


def _resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    found = work()
    return found, time.perf_counter() - wall, time.process_time() - processor


def _by_length(seconds: Sequence[float], batch: int) -> list[list[int]]:
    order = sorted(range(len(seconds)), key=lambda place: -seconds[place])
    return [order[start : start + batch] for start in range(0, len(order), batch)]


def measure_bundle(request: dict[str, Any]) -> dict[str, Any]:
    """Measure one bundle in this process."""
    from tasks.serving.edge import recognizers  # noqa: PLC0415 - the other arm has no engine
    from tasks.serving.edge.bundle import open_bundle  # noqa: PLC0415 - likewise

    bundle = open_bundle(Path(request["bundle"]))
    workers = request["workers"]
    threads = max(1, request["threads"] // workers)
    recognizer, loading, _ = _timed(lambda: recognizers.load(bundle, threads=threads))
    read = [recognizers.read_samples(Path(path)) for path in request["audio"]]
    samples, rate = [one for one, _ in read], read[0][1]
    for one in samples[:_WARM_UP]:
        recognizer.recognise(one, rate)
    latencies = []

    def one_by_one() -> list[str]:
        texts = []
        for one in samples:
            started = time.perf_counter()
            texts.append(recognizer.recognise(one, rate))
            latencies.append(time.perf_counter() - started)
        return texts

    texts, wall, processor = _timed(one_by_one)
    memory = _resident()
    groups = _by_length(request["seconds"], request["batch"])
    recognizer.recognise_together([samples[place] for place in groups[0]], rate)

    def decode(group: list[int]) -> list[str]:
        texts: list[str] = recognizer.recognise_together([samples[place] for place in group], rate)
        return texts

    with ThreadPoolExecutor(workers) as pool:
        _, batch_wall, batch_processor = _timed(lambda: list(pool.map(decode, groups)))
    return {
        "texts": texts,
        "load_s": loading,
        "bytes": bundle.bytes,
        "peak_bytes": memory,
        "latencies": latencies,
        "one_by_one": [wall, processor],
        "batches": [batch_wall, batch_processor],
    }


def measure_nemo(request: dict[str, Any]) -> dict[str, Any]:
    """Measure our NeMo decoding in this process, as transcribe.py does it."""
    import torch  # noqa: PLC0415 - the other arms have none
    from nemo.utils import logging  # noqa: PLC0415 - likewise

    # Both import torch.
    from benchmarks.entrypoint_imports import decoding_pipeline, greedy_decoder  # noqa: PLC0415

    logging.setLevel(logging.ERROR)
    torch.set_num_threads(request["threads"])
    model, loading, _ = _timed(
        lambda: greedy_decoder.GreedyRecognizer(greedy_decoder.restore(request["model"], "cpu"))
    )
    audio, seconds = request["audio"], request["seconds"]
    budget = decoding_pipeline.prepare(model, max(seconds))

    def decode(places: Sequence[int]) -> list[str]:
        several = decoding_pipeline.transcribe_variants(
            model,
            [audio[place] for place in places],
            [seconds[place] for place in places],
            [(0,)] * len(places),
            budget,
            lambda *_, **__: None,
        )
        return [texts[0] for texts in several]

    decode(range(_WARM_UP))
    latencies = []

    def one_by_one() -> None:
        for place in range(len(audio)):
            started = time.perf_counter()
            decode([place])
            latencies.append(time.perf_counter() - started)

    _, wall, processor = _timed(one_by_one)
    texts, batch_wall, batch_processor = _timed(lambda: decode(range(len(audio))))
    return {
        "texts": texts,
        "load_s": loading,
        "bytes": Path(request["model"]).stat().st_size,
        "peak_bytes": _resident(),
        "latencies": latencies,
        "one_by_one": [wall, processor],
        "batches": [batch_wall, batch_processor],
    }


def run(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Measure one arm in a process of its own."""
    path = folder / "request.json"
    path.write_text(json.dumps(request), encoding="utf-8")
    line = [sys.executable, "-m", "benchmarks.edge_runtimes", "--arm", str(path)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(request["threads"])}
    subprocess.run(line, check=True, env=environment, stdout=subprocess.DEVNULL)
    return dict(atomic_files.read_json(path.with_suffix(".out")))


def summarise(
    turns: Sequence[dict[str, Any]], audio: float, texts: Sequence[str]
) -> dict[str, Any]:
    """Return an arm's figures: the best turn of each."""
    best = {
        name: [min(turn[name][place] for turn in turns) for place in range(2)]
        for name in ("one_by_one", "batches")
    }
    latencies = min((turn["latencies"] for turn in turns), key=statistics.median)
    return {
        "equal_texts": sum(a == b for a, b in zip(turns[0]["texts"], texts, strict=True)),
        "rows": len(texts),
        "megabytes": round(turns[0]["bytes"] / 1e6, 1),
        "peak_megabytes": round(min(turn["peak_bytes"] for turn in turns) / 1e6),
        "load_s": round(min(turn["load_s"] for turn in turns), 2),
        "latency_ms_median": round(1000 * statistics.median(latencies), 1),
        "latency_ms_95": round(1000 * statistics.quantiles(latencies, n=20)[-1], 1),
        "rtfx_one_by_one": round(audio / best["one_by_one"][0], 1),
        "rtfx_batches": round(audio / best["batches"][0], 1),
        "processor_ms_a_second_one_by_one": round(1000 * best["one_by_one"][1] / audio, 2),
        "processor_ms_a_second_batches": round(1000 * best["batches"][1] / audio, 2),
    }


def compare(
    model: Path, manifest: Path, bundles: Sequence[Path], settings: Mapping[str, int]
) -> dict[str, Any]:
    """Measure all arms, each as often, in turns."""
    rows = atomic_files.read_jsonl(manifest)
    audio = [str(manifest.parent / row["audio_filepath"]) for row in rows]
    seconds = [soundfile.info(path).duration for path in audio]
    common = {"audio": audio, "seconds": seconds, **settings}
    requests: dict[str, dict[str, Any]] = {"NeMo fp32": {**common, "model": str(model)}}
    for bundle in bundles:
        record = atomic_files.read_json(bundle / "bundle.json")
        name = f"{record['engine']} {record['precision']}"
        requests[name] = {**common, "bundle": str(bundle)}
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in requests}
    with tempfile.TemporaryDirectory(prefix="asr-flywheel-bench-") as folder:
        for _ in range(TURNS):
            for name, request in requests.items():
                turns[name].append(run(request, Path(folder)))
                print(f"{name}: one turn", flush=True)
    texts = turns["NeMo fp32"][0]["texts"]
    return {
        **settings,
        "audio_s": round(sum(seconds), 1),
        "arms": {name: summarise(of_arm, sum(seconds), texts) for name, of_arm in turns.items()},
    }


def main() -> None:
    """Measure what the command line names, or one arm of it."""
    if sys.argv[1] == "--arm":
        path = Path(sys.argv[2])
        request = json.loads(path.read_text(encoding="utf-8"))
        found = measure_bundle(request) if "bundle" in request else measure_nemo(request)
        path.with_suffix(".out").write_text(json.dumps(found), encoding="utf-8")
        return
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--batch", type=int, default=_BATCH)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    settings = {name: vars(given)[name] for name in ("threads", "batch", "workers")}
    found = compare(given.model, given.manifest, given.bundles, settings)
    print(json.dumps(found, indent=2))
    if given.json is not None:
        atomic_files.write_json(given.json, found)


if __name__ == "__main__":
    main()
