"""Looking into a .nemo file without NeMo: its decoder, sample rate and what it can spell.

A .nemo is a tar archive that holds model_config.yaml, the weights and the tokenizer's files.
Importing NeMo for this would cost ten seconds; reading the archive costs milliseconds.
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

import sentencepiece
import yaml

from tasks.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_CONFIG_NAME = "model_config.yaml"
_WEIGHTS_NAME = "model_weights.ckpt"


class Decoder(StrEnum):
    """The decoder families that the specification's tables tell apart."""

    CTC = "ctc"
    RNNT = "rnnt"
    TDT = "tdt"
    HYBRID_RNNT_CTC = "hybrid-rnnt-ctc"
    HYBRID_TDT_CTC = "hybrid-tdt-ctc"

    @property
    def has_transducer(self) -> bool:
        """Whether a transducer (RNN-T or TDT) is among the model's decoders."""
        return self is not Decoder.CTC

    @property
    def is_tdt(self) -> bool:
        """Whether the transducer predicts durations, whose loss needs CUDA."""
        return self in (Decoder.TDT, Decoder.HYBRID_TDT_CTC)


@dataclass(frozen=True)
class NemoArchive:
    """The configuration of one .nemo file.

    Attributes:
        path: the file.
        config: its model_config.yaml, as plain Python values.
        tokenizer_model: the serialised SentencePiece model, or None for a character model.
        has_weights: whether the archive holds weights.
    """

    path: Path
    config: Mapping[str, Any]
    tokenizer_model: bytes | None
    has_weights: bool = True

    @cached_property
    def decoder(self) -> Decoder:
        """The decoder, from the class and the loss that the configuration names."""
        is_tdt = bool(self._signs["tdt"])
        if self._signs["hybrid"]:
            return Decoder.HYBRID_TDT_CTC if is_tdt else Decoder.HYBRID_RNNT_CTC
        if self._signs["transducer"]:
            return Decoder.TDT if is_tdt else Decoder.RNNT
        return Decoder.CTC

    @property
    def decoder_evidence(self) -> tuple[str, ...]:
        """The fields that tell the decoder; empty where none does and CTC is a mere guess.

        A model of another kind, such as an attention decoder, names none of these.
        """
        wanted = {
            Decoder.CTC: ("ctc",),
            Decoder.RNNT: ("transducer",),
            Decoder.TDT: ("tdt", "transducer"),
            Decoder.HYBRID_RNNT_CTC: ("hybrid",),
            Decoder.HYBRID_TDT_CTC: ("hybrid", "tdt"),
        }[self.decoder]
        return tuple(sign for kind in wanted for sign in self._signs[kind])

    @cached_property
    def _signs(self) -> dict[str, list[str]]:
        """What the configuration says of each kind of decoder, as ``field: value``."""
        found: dict[str, list[str]] = {"hybrid": [], "transducer": [], "tdt": [], "ctc": []}
        for keys in (("target",), ("decoder", "_target_"), ("joint", "_target_")):
            value = str(_dig(self.config, *keys) or "")
            name = value.lower()
            sign = f"{'.'.join(keys)}: {value}"
            if "hybrid" in name:
                found["hybrid"].append(sign)
            elif "rnnt" in name or "transducer" in name:
                found["transducer"].append(sign)
            elif "ctc" in name or "convasrdecoder" in name:
                found["ctc"].append(sign)
        if _dig(self.config, "joint") is not None:
            if _dig(self.config, "aux_ctc") is not None:
                found["hybrid"].append("joint and aux_ctc")
            found["transducer"].append("joint")
        found["tdt"] = self._duration_signs()
        return found

    def _duration_signs(self) -> list[str]:
        """What says that a transducer predicts durations."""
        found = []
        loss = str(_dig(self.config, "loss", "loss_name") or "").lower()
        if loss.startswith("tdt"):  # also its slower twin, tdt_pytorch
            found.append(f"loss.loss_name: {loss}")
        if str(_dig(self.config, "decoding", "model_type") or "").lower() == "tdt":
            found.append("decoding.model_type: tdt")
        places = (("model_defaults", "tdt_durations"), ("decoding", "durations"))
        return found + [
            f"{'.'.join(keys)}: {durations}"
            for keys in places
            if (durations := _dig(self.config, *keys))
        ]

    @cached_property
    def is_cache_aware(self) -> bool:
        """Whether the encoder is a streaming one with limited, cached context."""
        encoder = self.config.get("encoder") or {}
        return (
            str(encoder.get("att_context_style") or "").startswith("chunked_limited")
            or encoder.get("conv_context_size") == "causal"
            or bool(encoder.get("causal_downsampling"))
        )

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return int(self.config.get("sample_rate") or 16000)

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """The decoder's output symbols."""
        for keys in (
            ("decoder", "vocabulary"),
            ("aux_ctc", "decoder", "vocabulary"),
            ("joint", "vocabulary"),
            ("labels",),
        ):
            if symbols := _dig(self.config, *keys):
                return tuple(str(symbol) for symbol in symbols)
        return ()

    @cached_property
    def unknown_in(self) -> Callable[[str], list[str]]:
        """A function that lists the parts of a text that this model cannot spell."""
        if self.tokenizer_model is None:
            known = frozenset("".join(self.vocabulary)) | {" "}
            return lambda text: sorted({char for char in text if char not in known})
        processor = sentencepiece.SentencePieceProcessor(model_proto=self.tokenizer_model)
        unknown_id = processor.unk_id()

        def unknown(text: str) -> list[str]:
            ids = processor.encode(text, out_type=int)
            pieces = processor.encode(text, out_type=str)  # an unknown piece is the text itself
            found = {p for i, p in zip(ids, pieces, strict=True) if i == unknown_id}
            return sorted(piece.strip("\u2581") or piece for piece in found)

        return unknown


def _dig(config: Mapping[str, Any], *keys: str) -> Any:  # noqa: ANN401 - YAML has any type
    value: Any = config
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def open_archive(path: Path, *, needs_weights: bool = True) -> NemoArchive:
    """Read a .nemo's configuration and tokenizer.

    Args:
        path: the file.
        needs_weights: False where its configuration alone is asked for.

    Raises:
        InputError: no such file, not a .nemo, truncated, or without configuration or weights.
    """
    remedy = "Fix: name a whole .nemo file; copy or download it again if this one was cut short."
    try:
        with tarfile.open(path, "r:*") as archive:
            # Walking the whole archive finds one that was cut short.
            members = {member.name.removeprefix("./"): member for member in archive.getmembers()}
            weights = members.get(_WEIGHTS_NAME)
            if _CONFIG_NAME not in members or (needs_weights and weights is None):
                raise InputError(
                    f"{path}: not a .nemo: it lacks {_CONFIG_NAME} or its weights. {remedy}"
                )
            config = yaml.safe_load(_read(archive, members[_CONFIG_NAME]))
            if not isinstance(config, dict):
                raise InputError(f"{path}: its {_CONFIG_NAME} is not a mapping. {remedy}")
            tokenizer = _tokenizer_member(config)
            model = _read(archive, members[tokenizer]) if tokenizer in members else None
            ends = 0 if weights is None else weights.offset_data + weights.size
            if ends > path.stat().st_size and not _compressed(path):
                raise InputError(f"{path}: cut short inside its weights. {remedy}")
    except FileNotFoundError as missing:
        raise InputError(f"{path}: there is no such model. {remedy}") from missing
    except (OSError, tarfile.TarError, EOFError, yaml.YAMLError) as wrong:
        raise InputError(f"{path}: not readable as a .nemo archive ({wrong}). {remedy}") from wrong
    return NemoArchive(path, config, model, weights is not None)


def _compressed(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    if stream is None:
        raise tarfile.ReadError(f"{member.name} is not a file")
    return stream.read()


def _tokenizer_member(config: Mapping[str, Any]) -> str:
    return str(_dig(config, "tokenizer", "model_path") or "").removeprefix("nemo:")
