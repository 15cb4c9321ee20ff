"""The parts of a NeMo recogniser that make labels of an encoding, where they can be used alone."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from nemo.collections.asr.models.ctc_models import EncDecCTCModel
from nemo.collections.asr.models.hybrid_rnnt_ctc_models import EncDecHybridRNNTCTCModel
from nemo.collections.asr.models.rnnt_models import EncDecRNNTModel
from omegaconf import open_dict

if TYPE_CHECKING:
    from collections.abc import Callable


def parts_of(model: Any) -> tuple[Callable[..., Any] | None, Any, str]:  # noqa: ANN401
    """Return the function after the encoder, the decoding object, and why neither can be used."""
    parts_by_method = {
        EncDecCTCModel._transcribe_forward: (_ctc, "decoding"),  # noqa: SLF001 - tells them apart
        EncDecRNNTModel._transcribe_forward: (transducer, "decoding"),  # noqa: SLF001
        EncDecHybridRNNTCTCModel._transcribe_forward: (  # noqa: SLF001
            (_hybrid_ctc, "ctc_decoding")
            if getattr(model, "cur_decoder", "") == "ctc"
            else (transducer, "decoding")
        ),
    }
    forward, name = parts_by_method.get(type(model)._transcribe_forward, (None, ""))  # noqa: SLF001
    if forward is None:
        return None, None, f"{type(model).__name__} is decoded by its own transcribe()"
    decoding = getattr(model, name)
    greedy = decoding.decoding
    strategy = str(decoding.cfg.get("strategy", ""))
    if strategy not in {"greedy", "greedy_batch"}:
        return None, None, f"its decoding is {strategy}, not greedy: by its own transcribe()"
    if getattr(greedy, "fusion_models", None) or getattr(greedy, "ngram_lm_batch", None):
        return (
            None,
            None,
            "its decoding heeds more than sound: by its own transcribe()",
        )
    if _has_records(decoding.cfg):
        decoding = _without_records(model, name, decoding.cfg)
    computer = getattr(decoding.decoding, "decoding_computer", None)
    if forward is transducer and computer is None:
        return None, None, "its greedy decoding has no loop over labels: by its own transcribe()"
    if getattr(computer, "record_all_steps", False):
        return None, None, "its decoding records every step: by its own transcribe()"
    return forward, decoding, ""


# What a decoder can be asked to tell beside its labels, which are the same without it. An archive
# whose model was asked once asks for ever.
_RECORDS = (
    "compute_timestamps",
    "preserve_alignments",
    "preserve_frame_confidence",
    "preserve_token_confidence",
    "preserve_word_confidence",
    "tdt_include_token_duration",
    "tdt_include_duration_confidence",
)
_HAVE_RECORDS = ("greedy", "confidence_cfg")


def _has_records(cfg: Any) -> bool:  # noqa: ANN401 - of a decoding
    """Return whether a decoding was asked for more than labels."""
    parts = [cfg, *(cfg.get(name) for name in _HAVE_RECORDS)]
    return any(part is not None and part.get(name) for part in parts for name in _RECORDS)


def _without_records(model: Any, name: str, cfg: Any) -> Any:  # noqa: ANN401
    """Return a decoding that makes labels alone; leave the archive as it is."""
    plain = copy.deepcopy(cfg)
    with open_dict(plain):
        for part in (plain, *(plain.get(name) for name in _HAVE_RECORDS)):
            for record in _RECORDS:
                if part is not None and part.get(record):
                    part[record] = False
    if isinstance(model, EncDecHybridRNNTCTCModel):
        kind = "ctc" if name == "ctc_decoding" else "rnnt"
        model.change_decoding_strategy(plain, decoder_type=kind)
    else:
        model.change_decoding_strategy(plain)
    return getattr(model, name)


def _ctc(model: Any, output: Any) -> Any:  # noqa: ANN401
    return model.decoder(encoder_output=output)


def _hybrid_ctc(model: Any, output: Any) -> Any:  # noqa: ANN401
    return model.ctc_decoder(encoder_output=output)


def transducer(_: Any, output: Any) -> Any:  # noqa: ANN401
    """Return the encoding as it is: a transducer's loop takes it frame by frame."""
    return output
