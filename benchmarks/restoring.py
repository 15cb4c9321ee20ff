"""NeMo's restoring of a .nemo: its weights read, as NeMo does, and mapped, as ours does.

    python -m benchmarks.restoring [--model FILE.nemo] [--pairs 3] [--json FILE]

Without ``--model``, the 617 M Parakeet-TDT graph with random weights. Each restoring has a process
of its own, whose memory is new to it; importing NeMo is not counted. The two ways take turns. The
first pair is not counted: the system's copy of the file may not be in memory before.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.provenance import provenance
from tasks.common import atomic_files
from tasks.runtimes import hardware

READ, MAPPED = "read", "mapped"


def restore(model: str, way: str) -> dict[str, object]:
    """Restore a model once; return the seconds it took and a hash of its weights."""
    import torch  # noqa: PLC0415 - the parent needs none
    from nemo.collections.asr.models import ASRModel  # noqa: PLC0415 - likewise

    if way == MAPPED:
        from benchmarks.entrypoint_imports import weights_only  # noqa: PLC0415 - likewise

        weights_only.load_tensors_only()
    began = time.perf_counter()
    restored = ASRModel.restore_from(model, map_location="cpu")
    seconds = time.perf_counter() - began
    digest = hashlib.sha256()
    for tensor in restored.state_dict().values():
        digest.update(tensor.detach().reshape(-1).view(torch.uint8).numpy())
    return {"seconds": round(seconds, 2), "weights_sha256": digest.hexdigest()}


def measure(model: Path, way: str) -> dict[str, object]:
    """Restore in a process of its own."""
    line = [sys.executable, "-m", "benchmarks.restoring", "--as-child", way, "--model", str(model)]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(model: Path, pairs: int) -> dict[str, object]:
    """Return the seconds of either way, and the ratio of their medians."""
    taken: dict[str, list[float]] = {READ: [], MAPPED: []}
    hashes = set()
    for number in range(pairs + 1):
        for way, seconds in taken.items():
            found = measure(model, way)
            hashes.add(found["weights_sha256"])
            if number:
                seconds.append(float(str(found["seconds"])))
    if len(hashes) != 1:
        raise SystemExit(f"{model}: the two ways restore other weights")
    read, mapped = median(taken[READ]), median(taken[MAPPED])
    return {
        "model_mib": model.stat().st_size >> 20,
        "seconds": taken,
        "read / mapped": round(read / mapped, 2),
    }


def main() -> None:
    """Compare, print the ratio, and write the figures if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--as-child", choices=(READ, MAPPED), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.as_child:
        print(json.dumps(restore(str(arguments.model), arguments.as_child)))
        return
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model
        if model is None:
            from benchmarks.entrypoint_imports import parakeet_graph  # noqa: PLC0415 - needs torch

            model = parakeet_graph.make_model(Path(folder))
        found = compare(model, arguments.pairs)
    print(json.dumps(found), flush=True)
    if arguments.json:
        atomic_files.write_json(arguments.json, {**provenance(hardware.detect()), **found})


if __name__ == "__main__":
    main()
