"""What an engine computes otherwise than NeMo, each put into NeMo's own features or decoding.

If the exported graph then writes the engine's text, and NeMo's own text without it, the difference
of the two texts is due to that one thing. None of these is an option of sherpa-onnx 2.0.1
(csrc/offline-recognizer-transducer-nemo-impl.h, csrc/offline-stream.cc).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tasks.serving.causes import CauseName
from tasks.serving.edge import engine_files
from tasks.serving.edge.bundle import EdgeEngine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.models.nemo_archive import Decoder

_POVEY = 0.85
"""Kaldi's default window "povey" is a Hann window to this power."""
_FLOOR = 2.0**-23
"""kaldi-native-fbank takes the logarithm of at least this (a float's epsilon); NeMo adds 2^-24."""


@dataclass(frozen=True, slots=True)
class Substitute:
    """One thing of an engine in the place of NeMo's.

    Attributes:
        cause: what a row is attributed to.
        says: what was substituted, for the report.
        features: changed settings of NeMo's features, as export_onnx.py takes them.
        most_symbols: labels a frame at most; None for the model's own limit.
    """

    cause: CauseName
    says: str
    features: Mapping[str, float] = field(default_factory=dict)
    most_symbols: int | None = None

    @property
    def name(self) -> str:
        """The name of the file with its features."""
        return self.cause.value.replace(" ", "-")


def of_engine(engine: EdgeEngine, decoder: Decoder) -> tuple[Substitute, ...]:
    """List what an engine computes otherwise for a kind of decoder, whatever its options."""
    if engine is not EdgeEngine.SHERPA_ONNX:
        return ()
    found = []
    if decoder.has_transducer:
        says = "the window that sherpa-onnx has for transducers (povey) in NeMo's features"
        found.append(Substitute(CauseName.WINDOW, says, {"window_power": _POVEY}))
    says = "sherpa-onnx's floor of the logarithm in NeMo's features"
    found.append(Substitute(CauseName.LOG_FLOOR, says, {"clamped_at": _FLOOR}))
    if (most := engine_files.SHERPA_SYMBOLS_PER_FRAME.get(decoder)) is not None:
        says = f"at most {most} labels a frame, with NeMo's features"
        found.append(Substitute(CauseName.GREEDY, says, most_symbols=most))
    return tuple(found)


def of_features(engine: EdgeEngine, decoder: Decoder) -> Mapping[str, Mapping[str, float]]:
    """Return the settings of features that are computed for these, by name."""
    return {one.name: one.features for one in of_engine(engine, decoder) if one.features}
