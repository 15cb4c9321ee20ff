"""Graphs in int8, by onnxruntime's own quantisation."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

QUANTISED = ("MatMul", "Gemm")
"""Convolutions stay in fp32: onnxruntime's ConvInteger has no fast kernel for the depthwise ones of
a Conformer, and they hold few of its weights."""


def quantise(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Quantise the weights of linear layers; their inputs are quantised while the model runs.

    Weights become uint8: on processors without VNNI, int8 weights saturate the 16-bit sums of
    unsigned with signed products (onnxruntime's page "Quantize ONNX models").
    """
    # onnxruntime advises a pre-processing of the graph, by the root logger, at each call.
    logging.getLogger().addFilter(_is_no_advice)
    try:
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "int8.onnx"
            quantize_dynamic(
                graph,
                target,
                op_types_to_quantize=list(QUANTISED),
                weight_type=QuantType.QUInt8,
            )
            return onnx.load(target)
    finally:
        logging.getLogger().removeFilter(_is_no_advice)


def _is_no_advice(record: logging.LogRecord) -> bool:
    return "pre-processing" not in record.getMessage()
