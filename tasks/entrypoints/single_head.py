"""Split one head off a hybrid model as a model of its own.

Usage: single_head.py REQUEST.json

The request: {"model": path, "head": "ctc" or "transducer", "out": path}. A hybrid holds an encoder,
a transducer (decoder and joint) and a CTC decoder. The archive is written anew with one head under
the names of NeMo's class for it; that class must restore it, strictly, before the program ends.
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
from pathlib import Path
from typing import Any

import torch
import yaml
from nemo.collections.asr.models import (
    ASRModel,
    EncDecCTCModel,
    EncDecCTCModelBPE,
    EncDecRNNTBPEModel,
    EncDecRNNTModel,
)
from weights_only import load_tensors_only  # type: ignore[import-not-found]  # lies beside this file

CONFIG, WEIGHTS = "model_config.yaml", "model_weights.ckpt"
_CTC_PART = "ctc_decoder."
_TRANSDUCER_PARTS = ("decoder.", "joint.")


def single_config(config: dict[str, Any], head: str) -> dict[str, Any]:
    """Return the configuration of one head's model."""
    pieces = "tokenizer" in config
    if head == "ctc":
        auxiliary = config["aux_ctc"]
        dropped = {"aux_ctc", "joint", "loss", "decoder", "decoding", "model_defaults"}
        changed = {
            "target": _path(EncDecCTCModelBPE if pieces else EncDecCTCModel),
            "decoder": auxiliary["decoder"],
            "decoding": auxiliary.get("decoding") or {"strategy": "greedy_batch"},
        }
    else:
        dropped = {"aux_ctc"}
        changed = {"target": _path(EncDecRNNTBPEModel if pieces else EncDecRNNTModel)}
    remaining = {name: value for name, value in config.items() if name not in dropped}
    return {**remaining, **changed}


def _path(model: type) -> str:
    return f"{model.__module__}.{model.__qualname__}"


def single_weights(weights: dict[str, Any], head: str) -> dict[str, Any]:
    """Return the weights of one head's model, by the names that it gives them."""
    if head != "ctc":
        return {name: value for name, value in weights.items() if not name.startswith(_CTC_PART)}
    return {
        "decoder." + name.removeprefix(_CTC_PART) if name.startswith(_CTC_PART) else name: value
        for name, value in weights.items()
        if not name.startswith(_TRANSDUCER_PARTS)
    }


def convert(model: Path, head: str, out: Path) -> None:
    """Write one head's model; everything else in the archive, as the tokenizer, stays."""
    with tarfile.open(model, "r:*") as source, tarfile.open(out, "w") as target:
        for member in source:
            if not member.isreg():
                continue
            stream = source.extractfile(member)
            if stream is None:
                continue
            name = member.name.removeprefix("./")
            if name == CONFIG:
                content = yaml.safe_dump(single_config(yaml.safe_load(stream), head)).encode()
            elif name == WEIGHTS:
                weights = torch.load(
                    io.BytesIO(stream.read()), map_location="cpu", weights_only=True
                )
                buffer = io.BytesIO()
                torch.save(single_weights(weights, head), buffer)
                content = buffer.getvalue()
            else:
                content = stream.read()
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(content)
            target.addfile(entry, io.BytesIO(content))
    ASRModel.restore_from(str(out), map_location="cpu", strict=True)


def main() -> None:
    """Convert what the request names."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    load_tensors_only(trust=request.get("trust", False))
    convert(Path(request["model"]), request["head"], Path(request["out"]))


if __name__ == "__main__":
    main()
