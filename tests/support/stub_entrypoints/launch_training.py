"""Stands in for tasks/entrypoints/launch_training.py: the same request, events and files, no NeMo.

Usage: launch_training.py REQUEST.json

It makes the same checks as the real launcher, writes one event a batch and an epoch, and leaves the
same files. Its .nemo is the base's configuration and tokenizer with the note of what was trained;
transcribe.py beside this file reads that note. It learns: the more epochs, the more terms.

A file ``hold_training`` in the cycle's folder, where its manifest.jsonl lies, keeps it in its first
batch while it is there. It goes on from the checkpoint that an earlier start left.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import finetune_script  # type: ignore[import-not-found]  # lies beside this file
import yaml

_BATCH = 4
_VERSION = "none: stub"
_HOLD = "hold_training"
_LONGEST_HOLD_S = 600.0


def check(request: dict[str, Any]) -> None:
    """Make sure of what the real launcher makes sure of.

    Raises:
        SystemExit: a key of the YAML or an audio file is not there, or rows would be dropped.
    """
    config = yaml.safe_load(Path(request["config"]).read_text(encoding="utf-8"))
    for key in request["keys"]:
        node: Any = config
        for name in key.split("."):
            node = node.get(name, ...) if isinstance(node, dict) else ...
        if node is ...:
            sys.exit(f"{request['config']}: the script's YAML has no key {key}")
    shortest, longest = request["limits"]
    for side, path in request["manifests"].items():
        rows = read(path)
        for row in rows:
            if not Path(row["audio_filepath"]).is_file():
                sys.exit(f"{path}: {row['audio_filepath']!r} does not resolve where training runs")
        kept = sum(shortest <= row["duration"] <= longest for row in rows)
        if kept < request["rows"][side]:
            sys.exit(f"{side}: would load {kept} of {request['rows'][side]} rows")


def read(path: str) -> list[dict[str, Any]]:
    """Return the rows of a JSONL file."""
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def hold(audio: Path) -> None:
    """Wait while the cycle's folder, one of the two above its audio, says so."""
    until = time.monotonic() + _LONGEST_HOLD_S
    while any((folder / _HOLD).exists() for folder in list(audio.parents)[:2]):
        if time.monotonic() > until:
            sys.exit(f"held for more than {_LONGEST_HOLD_S:.0f} s")
        time.sleep(0.05)


def train(request: dict[str, Any]) -> None:
    """Write the events of a training, its checkpoint after each epoch, and the model."""
    events, folder = Path(request["events"]), Path(request["checkpoints"])
    folder.mkdir(parents=True, exist_ok=True)
    last = folder / f"{Path(request['model_name']).stem}-last.ckpt"
    done = json.loads(last.read_text()) if last.is_file() else {"epoch": 0, "step": 0}
    rows = {side: read(path) for side, path in request["manifests"].items()}
    batches = -(-len(rows["train"]) // _BATCH)

    def write(event: str, **values: object) -> None:
        with events.open("a", encoding="utf-8") as out:
            out.write(json.dumps({"event": event, "time": time.time(), **values}) + "\n")

    step = done["step"]
    write(
        "start",
        epoch=done["epoch"],
        step=step,
        batches_per_epoch=batches,
        rows=len(rows["train"]),
        parameters=finetune_script.PARAMETERS,
        devices=1,
        cuda_graphs=None,
        compiled_layers=None,
        nemo=_VERSION,
        torch=_VERSION,
    )
    for epoch in range(done["epoch"], request["epochs"]):
        loss = 40.0 / (epoch + 1)
        for _ in range(batches):
            step += 1
            write(
                "step",
                epoch=epoch,
                step=step,
                batch=step,
                lr=1e-4,
                loss=loss - 1e-3 * step,
                seconds=0.001,
                gpu_memory_mib=0,
            )
            hold(Path(rows["train"][0]["audio_filepath"]))
        write(
            "epoch",
            epoch=epoch,
            step=step,
            train_loss=loss,
            val_loss=loss + 1,
            val_wer=finetune_script.word_error_rate(epoch + 1),
            seconds=0.001 * batches,
            gpu_memory_mib=0,
            gpu_reserved_mib=0,
            gpu_utilisation=None,
        )
        last.write_text(json.dumps({"epoch": epoch + 1, "step": step}))
    audio = [Path(row["audio_filepath"]) for row in rows["train"]]
    trained = {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in audio}
    model = folder / request["model_name"]
    finetune_script.write_model(
        Path(request["base"]), model, request["epochs"], request["seed"], trained
    )
    write("end", epoch=request["epochs"], step=step, stopped_early=False)


def main() -> None:
    """Check and train."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    check(request)
    train(request)


if __name__ == "__main__":
    main()
