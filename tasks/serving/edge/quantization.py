"""Graphs in int8, by onnxruntime's own quantisation."""

from __future__ import annotations

import logging
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tasks.serving.edge.nemo_export import Features

QUANTISED = ("MatMul", "Gemm")
"""Convolutions stay in fp32: onnxruntime's ConvInteger has no fast kernel for the depthwise ones of
a Conformer, and they hold few of its weights. Quantised statically they cost 19 more of 240 texts
and saved no time (docs/log/2026-11-29-edge.md)."""


def quantise(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Quantise the weights of linear layers; their inputs are quantised while the model runs.

    Weights become uint8: on processors without VNNI, int8 weights saturate the 16-bit sums of
    unsigned with signed products (onnxruntime's page "Quantize ONNX models").
    """
    with _without_advice(), tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "int8.onnx"
        quantize_dynamic(
            graph,
            target,
            op_types_to_quantize=list(QUANTISED),
            weight_type=QuantType.QUInt8,
        )
        return onnx.load(target)


def quantise_static(graph: Path, calibration: Sequence[Features]) -> onnx.ModelProto:
    """Quantise linear layers with ranges that recordings set beforehand.

    Weights become int8 for each output, in seven bits: without VNNI eight would saturate
    (``reduce_range``; see ``quantise``).

    Args:
        graph: of a CTC model, or of a transducer's encoder.
        calibration: features of recordings, (bins, frames) each.
    """
    with _without_advice(), tempfile.TemporaryDirectory() as folder:
        prepared, target = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        quant_pre_process(graph, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            target,
            _Calibration(calibration),
            op_types_to_quantize=list(QUANTISED),
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
        )
        return onnx.load(target)


class _Calibration(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
    """Features as the inputs of a graph, one recording at a time."""

    def __init__(self, features: Sequence[Features]) -> None:
        self._left = iter(features)

    def get_next(self) -> dict[str, Any] | None:
        """Return the next recording; None at the end."""
        features = next(self._left, None)
        if features is None:
            return None
        return {
            "audio_signal": features[None].astype(np.float32),
            "length": np.array([features.shape[1]], np.int64),
        }


@contextmanager
def _without_advice() -> Iterator[None]:
    """Hide that onnxruntime advises a pre-processing of the graph, by the root logger."""
    root = logging.getLogger()
    root.addFilter(_is_no_advice)
    try:
        yield
    finally:
        root.removeFilter(_is_no_advice)


def _is_no_advice(record: logging.LogRecord) -> bool:
    return "pre-process" not in record.getMessage()
