"""The targets in riva-build for each decoder of a .nemo."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.models.nemo_archive import Decoder

STREAMING_FAMILY = "nemotron-streaming-*"


@dataclass(frozen=True, slots=True)
class Target:
    """The serving target of a decoder.

    Attributes:
        flag: what riva-build is told.
        family: the NIM containers that serve it, as a pattern of their names.
        conversion: the inline nemo2riva block.
        mode: riva-build's configuration: offline or streaming.
        more: what riva-build is told besides.
    """

    flag: str
    family: str
    conversion: str
    mode: str = "offline"
    more: tuple[str, ...] = ()


_TARGETS = {
    Decoder.CTC: Target(
        "decoder=greedy_ctc", "parakeet-*-ctc-*", "{format: onnx, onnx_opset: 19, max_dim: 1000}"
    ),
    Decoder.RNNT: Target("decoder=nemo", "parakeet-rnnt-*", "{format: nemo}"),
    Decoder.TDT: Target("decoder=nemo", "parakeet-tdt-*", "{format: nemo}"),
}
_STREAMING_TARGET = Target(
    "decoder=nemo",
    STREAMING_FAMILY,
    "{format: nemo}",
    "streaming",
    ("nemo_decoder.use_stateful_decoding=true",),
)
_HEADS = {Decoder.HYBRID_RNNT_CTC: Decoder.RNNT, Decoder.HYBRID_TDT_CTC: Decoder.TDT}


def target(decoder: Decoder, *, cache_aware: bool = False) -> Target:
    """Return a decoder's serving target; a hybrid is served by its transducer."""
    if cache_aware and decoder.has_transducer:
        return _STREAMING_TARGET
    return _TARGETS[_HEADS.get(decoder, decoder)]
