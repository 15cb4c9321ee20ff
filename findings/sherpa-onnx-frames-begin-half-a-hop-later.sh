#!/usr/bin/env bash
# sherpa-onnx 2.0.1: the frames of a NeMo model are taken five milliseconds later than NeMo takes them.
#
# NeMo's features are a centred STFT: the middle of frame k is sample 160 k (hop 160 at 16 kHz). sherpa-onnx makes them
# by Kaldi's rule without snipped edges, whose frame k has its middle at sample 160 k + 80. A model that was trained
# with the one hears the other. Expected of an engine that loads NeMo models: the middle of frame 50 at sample 8000.
# Seen: 8080, and 8000 if 80 zeros are put before the recording.
#
# A graph of a few nodes stands for a CTC model here: it writes "a" or "b" for a frame that holds a click, by the
# frame's parity, and the blank otherwise. So the texts' time stamps tell which frames hear a click at a sample.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet sherpa-onnx==2.0.1 onnx==1.23.2 numpy==2.4.6
"$dir/venv/bin/python" - "$dir" <<'PY'
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import sherpa_onnx
from onnx import TensorProto, helper

folder = Path(sys.argv[1])


def constant(name, value):
    return onnx.numpy_helper.from_array(np.array(value), name)


nodes = [
    ("ReduceMax", ["audio_signal", "bins"], ["level"], {"keepdims": 0}),
    ("Greater", ["level", "threshold"], ["loud"], {}),
    ("Not", ["loud"], ["quiet"], {}),
    ("Shape", ["audio_signal"], ["shape"], {}),
    ("Gather", ["shape", "two"], ["frames"], {}),
    ("Range", ["zero", "frames", "one"], ["places"], {}),
    ("Mod", ["places", "two"], ["parity"], {}),
    ("Equal", ["parity", "zero"], ["even"], {}),
    ("Not", ["even"], ["odd"], {}),
    ("And", ["loud", "even"], ["a"], {}),
    ("And", ["loud", "odd"], ["b"], {}),
]
for name in ("a", "b", "quiet"):
    nodes.append(("Cast", [name], [f"{name}_f"], {"to": TensorProto.FLOAT}))
    nodes.append(("Unsqueeze", [f"{name}_f", "last"], [f"{name}_u"], {}))
nodes.append(("Concat", ["a_u", "b_u", "quiet_u"], ["logprobs"], {"axis": 2}))
graph = helper.make_graph(
    [helper.make_node(kind, ins, outs, **more) for kind, ins, outs, more in nodes],
    "clicks",
    [
        helper.make_tensor_value_info("audio_signal", TensorProto.FLOAT, ["n", 80, "t"]),
        helper.make_tensor_value_info("length", TensorProto.INT64, ["n"]),
    ],
    [helper.make_tensor_value_info("logprobs", TensorProto.FLOAT, ["n", "t", 3])],
    [
        constant("bins", np.array([1], np.int64)),
        constant("threshold", np.float32(-6.0)),
        constant("zero", np.int64(0)),
        constant("one", np.int64(1)),
        constant("two", np.int64(2)),
        constant("last", np.array([2], np.int64)),
    ],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
facts = {"vocab_size": 3, "subsampling_factor": 1, "normalize_type": ""}
helper.set_model_props(model, {name: str(value) for name, value in facts.items()})
onnx.save(model, folder / "model.onnx")
(folder / "tokens.txt").write_text("a 0\nb 1\n<blk> 2\n")
recognizer = sherpa_onnx.OfflineRecognizer.from_nemo_ctc(
    str(folder / "model.onnx"), str(folder / "tokens.txt")
)


def hears(click, frame, lead):
    samples = np.zeros(16000, np.float32)
    samples[click] = 0.5
    stream = recognizer.create_stream()
    stream.accept_waveform(16000, np.concatenate([np.zeros(lead, np.float32), samples]))
    recognizer.decode_stream(stream)
    return frame in [round(at * 100) for at in stream.result.timestamps]


def middle(frame, lead):
    heard = [click for click in range(7700, 8400, 4) if hears(click, frame, lead)]
    return (heard[0] + heard[-1]) / 2


plain, with_silence = middle(50, 0), middle(50, 80)
print("sherpa-onnx", version("sherpa-onnx"), "middle of frame 50: sample", plain)
print("with 80 zeros in front: sample", with_silence, "(NeMo: 8000)")
assert abs(plain - 8080) < 8 and abs(with_silence - 8000) < 8, "the behaviour changed"
PY
