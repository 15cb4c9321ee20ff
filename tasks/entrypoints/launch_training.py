"""Starts an untouched fine-tuning script with a seed, and writes down what happens.

Usage: launch_training.py REQUEST.json

The stock script sets no seed, keeps no record that a program could read, and drops rows in silence.
This launcher checks what the script will find, seeds everything, hangs one callback into
Lightning's Trainer, and then runs the script as ``__main__``. The request:

    {"script", "config": paths, "arguments": [Hydra argument, ...], "keys": [key that the YAML must
    have, ...], "manifests": {"train", "validation"}, "rows": {"train", "validation"}, "limits":
    [shortest, longest seconds], "seed", "events": path, "base": path, "checkpoints": folder,
    "epochs", "precision", "keeps_last": whether the last checkpoint is the model, "average":
    whether the mean of the kept checkpoints is; "heartbeat": path and "abandoned_after_s" where
    nobody else ends an abandoned job; "locks": folder and "locks_wait_s" where a GPU is promised;
    "compile": {"rows", "by_length", "fused_adamw"} where layers are to be compiled, see
    compiled_layers.py; "frozen_share", over 0 where lower layers are not to be trained,
    see frozen_layers.py; "distillation": {"manifest": path, "weight", "rows", "seed"} where the
    base's outputs on general English are taught, see distillation.py}

With several GPUs it becomes torchrun, which starts it once more for each of them. It ends an
earlier, killed start's checkpoints so that the script can go on from them; see checkpoints.py.

The events file is that of training_events.py; here it gets one more line:

    {"event": "averaged", "time", "checkpoints": [{"epoch", "step", "weights_sha256"}, ...]}
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import sys
import time
from pathlib import Path
from typing import Any

import checkpoints  # type: ignore[import-not-found]  # lies beside this file
import compiled_layers  # type: ignore[import-not-found]  # likewise
import cuda_graphs  # type: ignore[import-not-found]  # likewise
import distillation  # type: ignore[import-not-found]  # likewise
import frozen_layers  # type: ignore[import-not-found]  # likewise
import gpu_locks  # type: ignore[import-not-found]  # likewise
import job_phases  # type: ignore[import-not-found]  # likewise
import lightning.pytorch as pl
import nemo
import nemo_audio_formats  # type: ignore[import-not-found]  # likewise
import numpy as np
import nvrtc_guard  # type: ignore[import-not-found]  # likewise
import torch
from background_checkpoints import (  # type: ignore[import-not-found]  # likewise
    BackgroundCheckpointIO,
)
from gpu_monitor import Utilisation  # type: ignore[import-not-found]  # likewise
from heartbeat import watch  # type: ignore[import-not-found]  # likewise
from omegaconf import OmegaConf
from training_events import EventWriter, RowsLostError  # type: ignore[import-not-found]  # likewise
from weights_only import load_tensors_only  # type: ignore[import-not-found]  # likewise


def check(request: dict[str, Any]) -> None:
    """Make sure of what the script will find, before the model is loaded.

    Raises:
        SystemExit: the script, a key of its YAML or an audio file is not there.
        RowsLostError: rows that NeMo would drop.
    """
    print(f"NeMo {nemo.__version__}, torch {torch.__version__}, CUDA {torch.version.cuda}")
    if not Path(request["script"]).is_file():
        sys.exit(f"{request['script']}: there is no such script in this image")
    config = OmegaConf.to_container(OmegaConf.load(request["config"]))
    for key in request["keys"]:
        node: Any = config
        for name in key.split("."):
            node = node.get(name, ...) if isinstance(node, dict) else ...
        if node is ...:
            sys.exit(f"{request['config']}: the script's YAML has no key {key}")
    shortest, longest = request["limits"]
    if "distillation" in request:
        _read_rows(request["distillation"]["manifest"])
    for side, path in request["manifests"].items():
        rows = _read_rows(path)
        rows_loaded = sum(shortest <= row["duration"] <= longest for row in rows)
        print(f"{side}: {rows_loaded} of {request['rows'][side]} rows")
        if rows_loaded < request["rows"][side]:
            raise RowsLostError(
                f"{side}: NeMo would load {rows_loaded} of {request['rows'][side]} rows"
            )


def _read_rows(path: str) -> list[dict[str, Any]]:
    """Read a manifest whose audio has to be there."""
    with Path(path).open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    for row in rows:
        if not Path(row["audio_filepath"]).is_file():
            sys.exit(f"{path}: {row['audio_filepath']!r} does not resolve where training runs")
    return rows


def become_torchrun() -> None:
    """Start this program once for each GPU.

    Left to itself, Lightning would start the plain script for the other ranks, without a seed and
    without the watch on their losses.
    """
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=gpu"]
    os.execv(sys.executable, [sys.executable, *torchrun, *sys.argv])  # noqa: S606


def take_up(request: dict[str, Any]) -> bool:
    """Go on from what an earlier start left; whether there is nothing left to train."""
    folder = Path(request["checkpoints"])
    checkpoints.mend(folder)
    out = folder / request["model_name"]
    progress = checkpoints.finish(
        folder,
        Path(request["base"]),
        request["epochs"],
        out,
        keeps_last=request.get("keeps_last", False),
    )
    if progress is None:
        return False
    write_event(request, "end", **progress, stopped_early=False)
    average(request)
    return True


def average(request: dict[str, Any]) -> None:
    """Put the mean of the kept checkpoints in the place of the script's model, if asked for."""
    if not request.get("average"):
        return
    folder = Path(request["checkpoints"])
    averaged = checkpoints.average(folder, folder / request["model_name"])
    write_event(request, "averaged", checkpoints=averaged)


def write_event(request: dict[str, Any], event: str, **values: object) -> None:
    """Write an event that no callback sees."""
    with Path(request["events"]).open("a", encoding="utf-8") as events:
        events.write(json.dumps({"event": event, "time": time.time(), **values}) + "\n")


def begin(request: dict[str, Any]) -> None:
    """Prepare the run in one process for all ranks; exit if nothing is left to train."""
    check(request)
    if "locks" in request:
        gpu_locks.require(request["precision"])
        if torch.cuda.device_count() == 1:
            # It takes some ten seconds, in which another job may still use the GPU.
            importlib.import_module("nemo.collections.asr")
        with job_phases.within("wait"):
            gpu_locks.hold(request["locks"], request["locks_wait_s"])
    if take_up(request):
        sys.exit()
    if torch.cuda.device_count() > 1:
        become_torchrun()


def seed(value: int, events: Path) -> None:
    """Seed everything, for NumPy by how often this run was started before.

    NeMo's batches by length draw from NumPy's generator alone: seeded alike, the first epoch after
    a resume would have the batches of the run's first one again.
    """
    pl.seed_everything(value, workers=True)
    lines = events.read_text(encoding="utf-8").splitlines() if events.is_file() else []
    starts = sum('"event": "start"' in line for line in lines)
    np.random.seed((value + starts) % 2**32)  # noqa: NPY002 - the generator that NeMo draws from


def _compiler(request: dict[str, Any]) -> Any:  # noqa: ANN401 - a CompileCallback or None
    """Return the callback that compiles layers, where the request asks for it."""
    if "compile" not in request:
        return None
    compiled_layers.keep_caches_in(Path(request["events"]).parent / "compiler")
    compiled_layers.grow_segments()
    order = compiled_layers.CompileOrder(**request["compile"])
    return compiled_layers.CompileCallback(order, Path(request["manifests"]["train"]))


def main() -> None:
    """Check, seed, hang in the callback, run the script."""
    job_phases.begin()
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if "heartbeat" in request:
        watch(request["heartbeat"], request["abandoned_after_s"])
    load_tensors_only(trust=request.get("trust", False))
    rank = os.environ.get("LOCAL_RANK")
    if rank is None:
        begin(request)
    importlib.import_module("nemo.collections.asr")
    job_phases.enter("load")
    seed(request["seed"], Path(request["events"]))
    nvrtc_guard.install()  # validation decodes, and the script writes models afterwards
    cuda_graphs.install()
    nemo_audio_formats.by_content()
    create = pl.Trainer.__init__
    compiler = _compiler(request)
    writer = EventWriter(
        Path(request["events"]),
        request["rows"],
        Utilisation(gpu_locks.names() if rank in {None, "0"} else []),
        graphs=gpu_locks.graphs_allowed(),
        compiler=compiler,
    )
    # The writer comes last: it tells what the others have done.
    hung = [writer] if compiler is None else [compiler, writer]
    if share := request.get("frozen_share"):
        hung.insert(0, frozen_layers.FreezeCallback(share))
    if order := request.get("distillation"):
        hung.insert(0, distillation.DistillationCallback(**order))

    checkpoint_io = BackgroundCheckpointIO()

    def create_with_events(trainer: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        callbacks = kwargs.pop("callbacks", None) or []
        create(trainer, *args, callbacks=[*callbacks, *hung], **kwargs)
        trainer.strategy.checkpoint_io = checkpoint_io

    # The script makes its own Trainer and offers no other place for a callback.
    pl.Trainer.__init__ = create_with_events  # type: ignore[method-assign,assignment]
    pl.Trainer.save_checkpoint = checkpoints.write_once(  # type: ignore[method-assign]
        job_phases.within("save")(pl.Trainer.save_checkpoint)
    )
    sys.argv = [request["script"], *request["arguments"]]
    runpy.run_path(request["script"], run_name="__main__")
    checkpoint_io.wait()
    if rank in {None, "0"}:
        average(request)


if __name__ == "__main__":
    main()
