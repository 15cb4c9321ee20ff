"""A bundle whose model knows no speech: it writes which mel band is the loudest, frame by frame.

It is a valid CTC model of onnx-asr, made in milliseconds. Its texts depend on every eighth frame:
two recordings have two texts, and one recording has one.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tasks.models.nemo_archive import Decoder
from tasks.serving.edge import bundle
from tasks.serving.edge.bundle import EdgeEngine, EdgePrecision

if TYPE_CHECKING:
    from pathlib import Path

BANDS = 80
STEP = 8
_FLOAT, _INT64 = TensorProto.FLOAT, TensorProto.INT64


def write_bundle(folder: Path, name: str = "bands", **fields: object) -> Path:
    """Write the bundle; fields of its record may be changed."""
    folder.mkdir(parents=True)
    onnx.save(_graph(), str(folder / "model.onnx"))
    words = [f"▁b{band}" for band in range(BANDS)]
    lines = [f"{token} {place}\n" for place, token in enumerate([*words, "<blk>"])]
    (folder / "vocab.txt").write_text("".join(lines), encoding="utf-8")
    config = {
        "model_type": "nemo-conformer-ctc",
        "features_size": BANDS,
        "subsampling_factor": STEP,
    }
    (folder / "config.json").write_text(json.dumps(config))
    record = {
        "engine": "onnx-asr",
        "decoder": "ctc",
        "precision": "fp32",
        "sample_rate": 16000,
        "model_name": name,
        "source_sha256": "0" * 64,
        "lead_silence": 0,
        "features": {},
        **fields,
    }
    names = bundle.required_names(EdgeEngine.ONNX_ASR, Decoder.CTC, EdgePrecision.FP32)
    bundle.write_record(folder, record, names)
    return folder


def _graph() -> onnx.ModelProto:
    """Make a graph whose "log probabilities" are the features of each eighth frame, and a blank."""
    constants = {
        "from": np.array([0]),
        "to": np.array([np.iinfo(np.int64).max]),
        "axis": np.array([1]),
        "step": np.array([STEP]),
        "blank_shift": np.array([0.5], np.float32),
    }
    nodes = [
        helper.make_node("Transpose", ["audio_signal"], ["frames"], perm=[0, 2, 1]),
        helper.make_node("Slice", ["frames", "from", "to", "axis", "step"], ["kept"]),
        helper.make_node("ReduceMean", ["kept"], ["mean"], axes=[2], keepdims=1),
        helper.make_node("Add", ["mean", "blank_shift"], ["blank"]),
        helper.make_node("Concat", ["kept", "blank"], ["logprobs"], axis=2),
    ]
    graph = helper.make_graph(
        nodes,
        "bands",
        [
            helper.make_tensor_value_info("audio_signal", _FLOAT, ["batch", BANDS, "time"]),
            helper.make_tensor_value_info("length", _INT64, ["batch"]),
        ],
        [helper.make_tensor_value_info("logprobs", _FLOAT, ["batch", "frames", BANDS + 1])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    return model
