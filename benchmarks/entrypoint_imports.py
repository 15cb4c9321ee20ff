"""The modules of tasks/entrypoints, which import each other as neighbours of the program."""

from __future__ import annotations

import sys
from typing import Any

from tasks.runtimes.base import ENTRY

sys.path.insert(0, str(ENTRY))
import audio_reader  # type: ignore[import-not-found]
import compiled_layers  # type: ignore[import-not-found]
import decoding_pipeline  # type: ignore[import-not-found]
import encoder_runner  # type: ignore[import-not-found]
import folded_encoder  # type: ignore[import-not-found]
import greedy_decoder  # type: ignore[import-not-found]
import interpolate  # type: ignore[import-not-found]
import loss_pieces  # type: ignore[import-not-found]
import mix_weights  # type: ignore[import-not-found]
import padded_shapes  # type: ignore[import-not-found]
import parakeet_graph  # type: ignore[import-not-found]  # lies beside the program
import phrase_boosting  # type: ignore[import-not-found]
import weights_only  # type: ignore[import-not-found]

Untyped = Any
"""A model of NeMo's, or an object of these modules: neither tells a type."""

__all__ = [
    "Untyped",
    "audio_reader",
    "compiled_layers",
    "decoding_pipeline",
    "encoder_runner",
    "folded_encoder",
    "greedy_decoder",
    "interpolate",
    "loss_pieces",
    "mix_weights",
    "padded_shapes",
    "parakeet_graph",
    "phrase_boosting",
    "weights_only",
]
