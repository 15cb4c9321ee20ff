"""Greedy decoding of exported graphs with features that were made elsewhere.

An engine takes samples; here NeMo's own features go into its graphs, so that a difference of texts
lies either in the graphs or before them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import onnxruntime

from tasks.models.nemo_archive import Decoder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tasks.serving.edge.nemo_export import Features, NemoExport

_USUAL_SYMBOLS = 10
"""Labels a frame at most where a model names no number; NeMo's own usual limit."""


class GraphDecoder(Protocol):
    """Exported graphs, ready to decode."""

    def decode(self, features: Features) -> str:
        """Return the text of one recording's features, (bins, frames)."""


def load(exported: NemoExport, decoder: Decoder, most_symbols: int | None = None) -> GraphDecoder:
    """Load NeMo's export.

    Args:
        exported: the graphs.
        decoder: of the model.
        most_symbols: labels a frame at most, instead of the model's own limit.
    """
    if decoder is Decoder.CTC:
        return _Ctc(exported, _session(exported.folder / "model.onnx"))
    return _Transducer(
        exported,
        _session(exported.folder / "encoder-model.onnx"),
        _session(exported.folder / "decoder_joint-model.onnx"),
        most_symbols or exported.facts.get("max_symbols") or _USUAL_SYMBOLS,
    )


def _session(path: Path) -> Any:  # noqa: ANN401 - onnxruntime ships no types
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def spell(labels: Sequence[str], ids: Sequence[int]) -> str:
    """Return the text of some labels."""
    return "".join(labels[one] for one in ids).replace("▁", " ").strip()


def _inputs(features: Features) -> dict[str, Any]:
    length = np.array([features.shape[1]], dtype=np.int64)
    return {"audio_signal": features[None].astype(np.float32), "length": length}


@dataclass(frozen=True, slots=True)
class _Ctc:
    exported: NemoExport
    model: Any

    def decode(self, features: Features) -> str:
        (logprobs,) = self.model.run(["logprobs"], _inputs(features))
        # The encoder's frames: as many as subsampling makes of the features, rounded up.
        frames = -(-features.shape[1] // self.exported.subsampling)
        best = logprobs[0, :frames].argmax(axis=-1)
        blank = len(self.exported.labels)
        changed = np.diff(best, prepend=blank) != 0
        return spell(self.exported.labels, best[changed & (best != blank)].tolist())


@dataclass(frozen=True, slots=True)
class _Transducer:
    exported: NemoExport
    encoder: Any
    decoder_joint: Any
    most_symbols: int

    def decode(self, features: Features) -> str:
        output, lengths = self.encoder.run(["outputs", "encoded_lengths"], _inputs(features))
        facts, blank = self.exported.facts, len(self.exported.labels)
        durations = facts.get("durations") or ()
        shape = (facts["prediction_layers"], 1, facts["prediction_hidden"])
        state = [np.zeros(shape, np.float32), np.zeros(shape, np.float32)]
        written: list[int] = []
        frame, here = 0, 0
        while frame < int(lengths[0]):
            logits, *following = self._step(output[:, :, frame : frame + 1], written, state, blank)
            label = int(logits[: blank + 1].argmax())
            skip = durations[int(logits[blank + 1 :].argmax())] if durations else 0
            if label != blank:
                written.append(label)
                state = following
                here += 1
            if skip == 0 and (label == blank or here >= self.most_symbols):
                skip = 1
            if skip:
                frame, here = frame + skip, 0
        return spell(self.exported.labels, written)

    def _step(
        self, frame: Features, written: Sequence[int], state: Sequence[Any], blank: int
    ) -> tuple[Any, ...]:
        outputs, first, second = self.decoder_joint.run(
            ["outputs", "output_states_1", "output_states_2"],
            {
                "encoder_outputs": frame,
                "targets": np.array([[written[-1] if written else blank]], np.int32),
                "target_length": np.array([1], np.int32),
                "input_states_1": state[0],
                "input_states_2": state[1],
            },
        )
        return outputs.squeeze(), first, second
