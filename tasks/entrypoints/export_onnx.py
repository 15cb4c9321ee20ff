"""Export a model as ONNX by NeMo's own exporter, with what an engine must know of it.

Usage: export_onnx.py REQUEST.json

The request: {"model": path, "out": folder, "parts": bool, "features": [path, ...], "substitutes":
{name: {"window_power": power, "clamped_at": least}}}. The folder gets

- of a CTC model ``model.onnx``; of a transducer ``encoder-model.onnx`` and
  ``decoder_joint-model.onnx``, and with "parts" ``encoder.onnx``, ``decoder.onnx`` and
  ``joiner.onnx``;
- ``features.npz``, the features that NeMo makes of each recording that is named, by its place in
  the list: (bins, frames); ``features-NAME.npz`` the same with its window to a power, or with the
  logarithm of at least a value instead of the model's guard against zero;
- ``export.json``, last: labels, feature settings and sizes that the graphs do not hold.
"""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nemo
import numpy as np
import torch
from audio_reader import read  # type: ignore[import-not-found]  # lies beside this file
from nemo.collections.asr.models import ASRModel
from nemo.collections.asr.models.rnnt_models import EncDecRNNTModel
from weights_only import load_tensors_only  # type: ignore[import-not-found]  # likewise

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_SETTINGS = (
    "sample_rate",
    "win_length",
    "hop_length",
    "n_fft",
    "nfilt",
    "normalize",
    "preemph",
    "log",
    "log_zero_guard_type",
    "log_zero_guard_value",
    "mag_power",
    "dither",
    "pad_to",
    "exact_pad",
    "frame_splicing",
)


def describe(model: Any) -> dict[str, Any]:  # noqa: ANN401 - NeMo ships no types
    """Return what an engine must know and the graphs do not say."""
    featurizer = model.preprocessor.featurizer
    settings = {name: getattr(featurizer, name, None) for name in _SETTINGS}
    window = model.cfg.preprocessor.get("window", "hann")
    facts = {
        "nemo_version": nemo.__version__,
        "torch_version": torch.__version__,
        "features": {**settings, "window": window},
        "subsampling_factor": int(model.encoder.subsampling_factor),
    }
    if not isinstance(model, EncDecRNNTModel):
        return {**facts, "labels": list(model.decoder.vocabulary)}
    greedy = model.cfg.decoding.get("greedy") or {}
    return {
        **facts,
        "labels": list(model.joint.vocabulary),
        "prediction_layers": int(model.decoder.pred_rnn_layers),
        "prediction_hidden": int(model.decoder.pred_hidden),
        "durations": list(model.cfg.decoding.get("durations") or []),
        "max_symbols": greedy.get("max_symbols"),
    }


def export(model: Any, out: Path, *, parts: bool) -> None:  # noqa: ANN401 - NeMo ships no types
    """Write the graphs, by the names that NeMo gives them."""
    model.export(str(out / "model.onnx"))
    if parts:
        for name, part in (
            ("encoder", model.encoder),
            ("decoder", model.decoder),
            ("joiner", model.joint),
        ):
            part.export(str(out / f"{name}.onnx"))


def write_features(model: Any, audio: Sequence[str], out: Path) -> None:  # noqa: ANN401 - likewise
    """Write the features of recordings, each made alone."""
    arrays = {}
    rate = int(model.preprocessor.featurizer.sample_rate)
    for number, path in enumerate(audio):
        samples = torch.from_numpy(np.asarray(read(path, rate), dtype=np.float32))
        features, length = model.preprocessor(
            input_signal=samples[None], length=torch.tensor([len(samples)])
        )
        arrays[str(number)] = features[0, :, : int(length[0])].numpy()
    np.savez(out, **arrays)


@contextmanager
def substituted(featurizer: Any, changed: Mapping[str, float]) -> Iterator[None]:  # noqa: ANN401 - likewise
    """Compute features with other settings for a while."""
    window = featurizer.window.clone()
    guard = featurizer.log_zero_guard_type, featurizer.log_zero_guard_value
    featurizer.window.copy_(window ** changed.get("window_power", 1.0))
    if "clamped_at" in changed:
        featurizer.log_zero_guard_type = "clamp"
        featurizer.log_zero_guard_value = changed["clamped_at"]
    yield
    featurizer.window.copy_(window)
    featurizer.log_zero_guard_type, featurizer.log_zero_guard_value = guard


def main() -> None:
    """Export what the request names."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    load_tensors_only(trust=request.get("trust", False))
    out = Path(request["out"])
    model: Any = ASRModel.restore_from(request["model"], map_location="cpu")
    model.eval()
    model.freeze()
    facts = describe(model)
    if audio := request.get("features"):
        with torch.inference_mode():
            write_features(model, audio, out / "features.npz")
            for name, changed in request.get("substitutes", {}).items():
                with substituted(model.preprocessor.featurizer, changed):
                    write_features(model, audio, out / f"features-{name}.npz")
    facts["substitutes"] = list(request.get("substitutes", {}))
    export(model, out, parts=bool(request.get("parts")))
    (out / "export.json").write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    main()
