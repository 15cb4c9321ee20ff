"""Files to texts on a GPU: this tree, an older one, and the best ``transcribe()``, pass by pass.

    python -m benchmarks.decoding_against --out FILE.json [--against OLDER-TREE] [--clips 5000]

Each side is a process that holds one and the same 617 M Parakeet-TDT graph with random weights.
They emit as many labels a frame as they may, and at nearly every frame: the worst case of the loop.
``--max-symbols 1`` leaves 12 labels a second, some three times as many as speech has. One side
after the other loads, makes its graphs, and decodes everything twice (``warm_up_s``; a user pays
the first). Then the sides take turns, pass by pass; the median counts. What ``transcribe()`` gets
is done by hand: recordings sorted, batches of 256, 16-bit weights, loader processes. ``--tiny``
takes a small graph and few clips; that proves the benchmark, not the product.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.provenance import provenance
from tasks.common import atomic_files
from tasks.runtimes import hardware

OURS, OLDER, TRANSCRIBE = SIDES = ("ours", "older tree", "transcribe()")
_TREE = Path(__file__).resolve().parents[1]
_WARM_UPS = 2
_BATCH, _TINY_BATCH, _LOADERS = 256, 8, 8


class _Ours:
    """The programs of a tree, of this one or an older one, that decode."""

    def __init__(self, tree: Path, model: str) -> None:
        entry = tree / "tasks" / "entrypoints"
        if entry.is_dir():
            sys.path.insert(0, str(entry))
            # Of the tree that was given, and only there.
            import decoding_pipeline  # type: ignore[import-not-found]  # noqa: PLC0415
            import greedy_decoder  # type: ignore[import-not-found]  # noqa: PLC0415

            self.pipeline: Any = decoding_pipeline
            recognizer, parts = greedy_decoder.GreedyRecognizer, greedy_decoder
        else:
            sys.path.insert(0, str(tree / "tasks" / "entry"))
            # Their names up to the house.
            import pipeline  # type: ignore[import-not-found]  # noqa: PLC0415
            import recogniser  # type: ignore[import-not-found]  # noqa: PLC0415

            self.pipeline = pipeline
            recognizer, parts = recogniser.Recogniser, recogniser
        restored = parts.restore(model, _device())
        self.recognizer = recognizer(restored, _low())
        self.budget: Any = None

    def decode(self, paths: list[str], seconds: list[float]) -> list[str]:
        if self.budget is None:
            self.budget = self.pipeline.prepare(self.recognizer, max(seconds), None)
        texts: list[str] = self.pipeline.transcribe(self.recognizer, paths, seconds, self.budget)
        return texts

    def describe(self) -> str:
        return f"{self.recognizer.describe()}; {self.budget}"


class _Transcribe:
    """NeMo's own ``transcribe()``, with what can be done by hand."""

    def __init__(self, model: str) -> None:
        from nemo.collections.asr.models import ASRModel  # noqa: PLC0415 - seconds

        self.model: Any = ASRModel.restore_from(model, map_location=_device()).to(_low()).eval()
        self.batch, self.loaders = (_BATCH, _LOADERS) if _device() == "cuda" else (_TINY_BATCH, 0)

    def decode(self, paths: list[str], seconds: list[float]) -> list[str]:
        import torch  # noqa: PLC0415 - seconds

        order = sorted(range(len(paths)), key=lambda place: -seconds[place])
        with torch.inference_mode():
            answer = self.model.transcribe(
                [paths[place] for place in order],
                batch_size=self.batch,
                num_workers=self.loaders,
                verbose=False,
            )
        texts = dict(zip(order, (getattr(one, "text", one) for one in answer), strict=True))
        return [texts[place] for place in range(len(paths))]

    def describe(self) -> str:
        return f"batches of {self.batch}, {self.loaders} loader processes, 16-bit weights on a GPU"


def _device() -> str:
    import torch  # noqa: PLC0415 - seconds

    return "cuda" if torch.cuda.is_available() else "cpu"


def _low() -> Any:  # noqa: ANN401 - a torch.dtype
    import torch  # noqa: PLC0415 - seconds

    return torch.bfloat16 if torch.cuda.is_available() else torch.float32


def work(side: str, tree: Path, folder: Path) -> None:
    """Be the process of one side: a pass for each line of the input, its seconds in the output."""
    clips = json.loads((folder / "clips.json").read_text())
    paths, seconds = clips["paths"], clips["seconds"]
    began = time.monotonic()
    model = str(folder / "tdt.nemo")
    decoder = _Transcribe(model) if side == TRANSCRIBE else _Ours(tree, model)
    told: dict[str, Any] = {"loaded_s": round(time.monotonic() - began, 2), "warm_up_s": []}
    for _ in range(_WARM_UPS):
        started = time.monotonic()
        texts = decoder.decode(paths, seconds)
        told["warm_up_s"].append(round(time.monotonic() - started, 2))
    print(json.dumps({"answer": {**told, "how": decoder.describe()}}), flush=True)
    for _ in sys.stdin:
        started = time.monotonic()
        texts = decoder.decode(paths, seconds)
        answer = {"seconds": time.monotonic() - started}
        (folder / f"{SIDES.index(side)}.texts.json").write_text(json.dumps(texts))
        print(json.dumps({"answer": answer}), flush=True)


class _Process:
    """A side's process."""

    def __init__(self, side: str, tree: Path, folder: Path) -> None:
        line = [sys.executable, "-m", "benchmarks.decoding_against", "--out", "-", "--worker", side]
        self._process = subprocess.Popen(
            [*line, "--against", str(tree.resolve()), "--folder", str(folder)],
            cwd=_TREE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def answer(self) -> dict[str, Any]:
        """Return the next answer.

        Raises:
            RuntimeError: the process ended.
        """
        for line in self._process.stdout or ():
            if line.startswith('{"answer"'):
                found: dict[str, Any] = json.loads(line)["answer"]
                return found
        raise RuntimeError(f"the process ended with {self._process.wait()}")

    def decode(self) -> float:
        """Have everything decoded once; return the seconds."""
        assert self._process.stdin is not None  # noqa: S101 - a pipe
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self.answer()["seconds"])

    def end(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def main() -> None:
    """Make model and clips, let the sides take turns, write the file after each turn."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--against", type=Path, help="An exported older tree.")
    parser.add_argument("--clips", type=int, default=5000)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--max-symbols", type=int, default=10, help="Labels a frame, at most.")
    parser.add_argument("--budget-s", type=float, default=300.0)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--worker", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker is not None:
        work(args.worker, args.against, args.folder)
        return
    with tempfile.TemporaryDirectory(prefix="asr-flywheel-bench-") as temporary:
        measure(args, Path(temporary), time.monotonic() + args.budget_s)


def measure(args: argparse.Namespace, folder: Path, deadline: float) -> None:
    """Measure in a folder for model and clips, until the deadline."""
    seconds = _make(folder, args.clips, args.max_symbols, tiny=args.tiny)
    report: dict[str, Any] = {
        **provenance(hardware.detect()),
        "clips": len(seconds),
        "max_symbols": args.max_symbols,
        "audio_s": round(sum(seconds)),
        "sides": {},
    }
    trees = {OURS: _TREE, OLDER: args.against, TRANSCRIBE: _TREE}
    sides: dict[str, _Process] = {}
    figures = report["sides"]
    try:
        for side, tree in trees.items():
            if tree is None:
                continue
            process = sides[side] = _Process(side, tree, folder)
            try:
                figures[side] = {**process.answer(), "passes_s": []}
            except RuntimeError as ended:
                figures[side] = {"failed": str(ended)}
                del sides[side]
            print({side: figures[side]}, flush=True)
        for _ in range(args.passes):
            for side, process in sides.items():
                if time.monotonic() < deadline:
                    figures[side]["passes_s"].append(round(process.decode(), 3))
            _summarise(report, folder)
            atomic_files.write_json(args.out, report)
    finally:
        for process in sides.values():
            process.end()
    print(json.dumps(report["summary"], indent=1), flush=True)


def _make(folder: Path, clips: int, max_symbols: int, *, tiny: bool) -> list[float]:
    """Write model and clips; return the clips' seconds."""
    # They import torch; the measuring process forks no GPU of its own.
    from benchmarks.clips import make_clips  # noqa: PLC0415
    from benchmarks.entrypoint_imports import parakeet_graph  # noqa: PLC0415
    from benchmarks.transcribe_on_gpu import small  # noqa: PLC0415

    shortest, longest = (1.0, 3.0) if tiny else (3.0, 15.0)
    made = make_clips(folder, 24 if tiny else clips, shortest, longest)
    (folder / "clips.json").write_text(json.dumps({"paths": made.paths, "seconds": made.seconds}))
    config = parakeet_graph.tdt_config(parakeet_graph.make_tokenizer(folder))
    config["decoding"]["greedy"]["max_symbols"] = max_symbols
    model = parakeet_graph.build_model(small(config) if tiny else config)
    model.save_to(str(folder / "tdt.nemo"))
    return made.seconds


def _summarise(report: dict[str, Any], folder: Path) -> None:
    medians = {
        side: statistics.median(figures["passes_s"])
        for side, figures in report["sides"].items()
        if figures.get("passes_s")
    }
    texts = {
        side: json.loads((folder / f"{SIDES.index(side)}.texts.json").read_text())
        for side in medians
    }
    report["summary"] = {
        side: {
            "times real time": round(report["audio_s"] / median),
            "their time / ours": round(median / medians[OURS], 2) if OURS in medians else None,
            "texts unlike ours": sum(a != b for a, b in zip(texts[side], texts[OURS], strict=True))
            if OURS in medians
            else None,
        }
        for side, median in medians.items()
    }


if __name__ == "__main__":
    main()
