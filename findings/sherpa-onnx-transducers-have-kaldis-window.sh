#!/usr/bin/env bash
# sherpa-onnx 2.0.1: the features of a NeMo transducer have Kaldi's window "povey", those of a NeMo CTC model Hann's.
#
# NeMo's preprocessor has a Hann window for both, and a transducer is trained on the same features as a CTC model.
# FeatureExtractorConfig has no option for the window. A click a quarter of the window (100 samples) from the middle of
# a frame has 0.25 of the energy of a click in the middle with a Hann window, and 0.25^0.85 = 0.31 with povey.
# Expected of an engine that loads NeMo models: 0.25. Seen: 0.31. Silence before a recording and high_freq=0, which put
# other differences right, change nothing of it: with them 217 of 240 texts of a small RNN-T were NeMo's, and all 240
# with NeMo's own features.
#
# The model here is no recogniser: its encoder hands the mean of its log-mel bands on, and its joiner writes "a" or the
# label "b" so that their log-probability tells that number.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet sherpa-onnx==2.0.1 onnx==1.23.2 numpy==2.4.6
"$dir/venv/bin/python" - "$dir" <<'PY'
import math
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import sherpa_onnx
from onnx import TensorProto, helper
from sherpa_onnx.lib._sherpa_onnx import OfflineRecognizer

folder = Path(sys.argv[1])
FLOAT, INT32, INT64 = TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64


def save(name, nodes, inputs, outputs, constants, facts=None):
    def info(them):
        return [helper.make_tensor_value_info(*one) for one in them]

    graph = helper.make_graph(
        [helper.make_node(kind, ins, outs, **more) for kind, ins, outs, more in nodes],
        name,
        info(inputs),
        info(outputs),
        [onnx.numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    helper.set_model_props(model, facts or {})
    onnx.checker.check_model(model)
    onnx.save(model, folder / f"{name}.onnx")


save(
    "encoder",
    [
        ("ReduceMean", ["audio_signal", "bins"], ["outputs"], {"keepdims": 1}),
        ("Identity", ["length"], ["encoded_lengths"], {}),
    ],
    [("audio_signal", FLOAT, ["n", 80, "t"]), ("length", INT64, ["n"])],
    [("outputs", FLOAT, ["n", 1, "t"]), ("encoded_lengths", INT64, ["n"])],
    {"bins": np.array([1], np.int64)},
    {
        "vocab_size": "2",
        "normalize_type": "",
        "subsampling_factor": "1",
        "pred_rnn_layers": "1",
        "pred_hidden": "1",
    },
)
save(
    "decoder",
    [
        ("Cast", ["targets"], ["floats"], {"to": FLOAT}),
        ("Unsqueeze", ["floats", "last"], ["outputs"], {}),
        ("Identity", ["target_length"], ["prednet_lengths"], {}),
        ("Identity", ["h"], ["h_out"], {}),
        ("Identity", ["c"], ["c_out"], {}),
    ],
    [
        ("targets", INT32, ["n", 1]),
        ("target_length", INT32, ["n"]),
        ("h", FLOAT, [1, "n", 1]),
        ("c", FLOAT, [1, "n", 1]),
    ],
    [
        ("outputs", FLOAT, ["n", 1, 1]),
        ("prednet_lengths", INT32, ["n"]),
        ("h_out", FLOAT, [1, "n", 1]),
        ("c_out", FLOAT, [1, "n", 1]),
    ],
    {"last": np.array([2], np.int64)},
)
# Logits of "a", "b" and the blank: (feature, 0, -100), so that "a" or "b" is written ten times a frame.
save(
    "joiner",
    [
        ("Mul", ["decoder_outputs", "zero"], ["nothing"], {}),
        ("Add", ["encoder_outputs", "nothing"], ["feature"], {}),
        ("Concat", ["feature", "nothing"], ["two"], {"axis": 2}),
        ("Add", ["nothing", "low"], ["blank"], {}),
        ("Concat", ["two", "blank"], ["three"], {"axis": 2}),
        ("Unsqueeze", ["three", "first"], ["logits"], {}),
    ],
    [("encoder_outputs", FLOAT, ["n", 1, 1]), ("decoder_outputs", FLOAT, ["n", 1, 1])],
    [("logits", FLOAT, ["n", 1, 1, 3])],
    {
        "zero": np.array(0, np.float32),
        "low": np.array(-100, np.float32),
        "first": np.array([1], np.int64),
    },
)
(folder / "tokens.txt").write_text("a 0\nb 1\n<blk> 2\n")
config = sherpa_onnx.OfflineModelConfig(
    transducer=sherpa_onnx.OfflineTransducerModelConfig(
        encoder_filename=str(folder / "encoder.onnx"),
        decoder_filename=str(folder / "decoder.onnx"),
        joiner_filename=str(folder / "joiner.onnx"),
    ),
    tokens=str(folder / "tokens.txt"),
    model_type="nemo_transducer",
)
recognizer = OfflineRecognizer(
    sherpa_onnx.OfflineRecognizerConfig(
        feat_config=sherpa_onnx.FeatureExtractorConfig(high_freq=0.0, snip_edges=True),
        model_config=config,
    )
)


def log_energy(click, frame):
    """Return the mean log energy of a frame that holds one click; each band has the same part."""
    samples = np.zeros(16000, np.float32)
    samples[click] = 0.9
    stream = recognizer.create_stream()
    stream.accept_waveform(16000, samples)
    recognizer.decode_stream(stream)
    result = stream.result
    place = [round(at * 100) for at in result.timestamps].index(frame)
    likely = result.ys_log_probs[place]
    larger = -math.log(math.expm1(-likely))  # "a" has feature - log(1 + e^feature)
    return larger if result.tokens[place] == "a" else -larger


# Of whole frames alone, frame 50 spans samples 8000 to 8399; the window's middle is between two samples.
middle, quarter = log_energy(8199, 50), log_energy(8299, 50)
seen = math.exp(quarter - middle)
hann = math.sin(math.pi * 299 / 399) ** 4 / math.sin(math.pi * 199 / 399) ** 4
print("sherpa-onnx", version("sherpa-onnx"), f"energy of a click at a quarter: {seen:.3f}")
print(f"Hann's window: {hann:.3f}; povey: {hann**0.85:.3f}")
assert abs(seen - hann**0.85) < 0.01 < abs(seen - hann), "the behaviour changed"
PY
