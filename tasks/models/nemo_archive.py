"""Read a .nemo file's decoder, sample rate and spelling without NeMo.

A .nemo is a tar archive that holds model_config.yaml, the weights and the tokenizer's files.
Importing NeMo for this would cost ten seconds; reading the archive costs milliseconds.
"""

from __future__ import annotations

import lzma
import re
import sys
import tarfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

import sentencepiece
import yaml

from tasks.common.errors import InputError
from tasks.common.parameter_names import name_of
from tasks.models import pickle_scan
from tasks.models.tar_members import read_members

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_CONFIG_NAME = "model_config.yaml"
_WEIGHTS_NAME = "model_weights.ckpt"
_PICKLED = (".ckpt", ".pt", ".pth", ".pkl", ".pickle", ".bin")
_MOST_CONFIG_BYTES = 16 << 20
_MOST_TOKENIZER_BYTES = 256 << 20
_REMEDY = "Fix: name a whole .nemo file; copy or download it again if this one was cut short."
# NeMo instantiates what these name.
_CLASS_KEYS = ("target", "_target_", "cls")
_CLASS = re.compile(r"(nemo\.(collections|core)|torch\.(nn|optim))(\.[A-Za-z_]\w*)*\.[A-Z]\w*")
# Any module's imports are its attributes: nemo.….os.system is a path through one of these.
_NOT_THROUGH = sys.stdlib_module_names - {"collections"}


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
    def has_ctc(self) -> bool:
        """Whether a CTC head is among the model's decoders."""
        return self not in (Decoder.RNNT, Decoder.TDT)

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
        """The fields that name the decoder; empty where CTC is a mere guess.

        A model of another kind, such as an attention decoder, names none of these.
        """
        sign_kinds = {
            Decoder.CTC: ("ctc",),
            Decoder.RNNT: ("transducer",),
            Decoder.TDT: ("tdt", "transducer"),
            Decoder.HYBRID_RNNT_CTC: ("hybrid",),
            Decoder.HYBRID_TDT_CTC: ("hybrid", "tdt"),
        }[self.decoder]
        return tuple(sign for kind in sign_kinds for sign in self._signs[kind])

    @cached_property
    def _signs(self) -> dict[str, list[str]]:
        """The configuration's signs of each kind of decoder, as ``field: value``."""
        signs: dict[str, list[str]] = {"hybrid": [], "transducer": [], "tdt": [], "ctc": []}
        for keys in (("target",), ("decoder", "_target_"), ("joint", "_target_")):
            value = str(_dig(self.config, *keys) or "")
            name = value.lower()
            sign = f"{'.'.join(keys)}: {value}"
            if "hybrid" in name:
                signs["hybrid"].append(sign)
            elif "rnnt" in name or "transducer" in name:
                signs["transducer"].append(sign)
            elif "ctc" in name or "convasrdecoder" in name:
                signs["ctc"].append(sign)
        if _dig(self.config, "joint") is not None:
            if _dig(self.config, "aux_ctc") is not None:
                signs["hybrid"].append("joint and aux_ctc")
            signs["transducer"].append("joint")
        signs["tdt"] = self._duration_signs()
        return signs

    def _duration_signs(self) -> list[str]:
        """List the fields by which a transducer is known to predict durations."""
        signs = []
        loss = str(_dig(self.config, "loss", "loss_name") or "").lower()
        if loss.startswith("tdt"):  # also its slower twin, tdt_pytorch
            signs.append(f"loss.loss_name: {loss}")
        if str(_dig(self.config, "decoding", "model_type") or "").lower() == "tdt":
            signs.append("decoding.model_type: tdt")
        places = (("model_defaults", "tdt_durations"), ("decoding", "durations"))
        return signs + [
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
    def encoder_layers(self) -> int:
        """The number of the encoder's layers; 0 where the configuration does not tell it."""
        layers = _dig(self.config, "encoder", "n_layers")
        return layers if isinstance(layers, int) else 0

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
            symbols = frozenset("".join(self.vocabulary)) | {" "}
            return lambda text: sorted({char for char in text if char not in symbols})
        processor = sentencepiece.SentencePieceProcessor(model_proto=self.tokenizer_model)
        unknown_id = processor.unk_id()

        def unknown(text: str) -> list[str]:
            ids = processor.encode(text, out_type=int)
            pieces = processor.encode(text, out_type=str)  # an unknown piece is the text itself
            unknown_pieces = {p for i, p in zip(ids, pieces, strict=True) if i == unknown_id}
            return sorted(piece.strip("\u2581") or piece for piece in unknown_pieces)

        return unknown

    @cached_property
    def read_back(self) -> Callable[[str], str]:
        """A function that returns a text as this model's tokenizer gives it back."""
        if self.tokenizer_model is None:
            return str  # characters are their own symbols
        processor = sentencepiece.SentencePieceProcessor(model_proto=self.tokenizer_model)
        return lambda text: str(processor.decode(processor.encode(text, out_type=int)))


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
    with _open_members(path) as (archive, members):
        weights = members.get(_WEIGHTS_NAME)
        if _CONFIG_NAME not in members or (needs_weights and weights is None):
            raise InputError(
                f"{path}: not a .nemo: it lacks {_CONFIG_NAME} or its weights. {_REMEDY}"
            )
        config = yaml.safe_load(_read(archive, members[_CONFIG_NAME], _MOST_CONFIG_BYTES))
        if not isinstance(config, dict):
            raise InputError(f"{path}: its {_CONFIG_NAME} is not a mapping. {_REMEDY}")
        tokenizer = members.get(_tokenizer_member(config))
        model = None if tokenizer is None else _read(archive, tokenizer, _MOST_TOKENIZER_BYTES)
    return NemoArchive(path, config, model, weights is not None)


def check_safe(path: Path) -> None:
    """Refuse a .nemo that could run code of its own when NeMo restores it.

    Raises:
        InputError: its weights hold more than tensors, or its configuration names a class that is
            not NeMo's or torch's; what ``open_archive`` raises.
    """
    model_archive = open_archive(path)
    danger = next(_foreign_classes(model_archive.config), "")
    with _open_members(path) as (archive, members):
        for name, member in members.items():
            if not danger and member.isreg() and name.endswith(_PICKLED):
                stream = archive.extractfile(member)
                if stream is not None and (
                    description := pickle_scan.find_danger(stream, member.size)
                ):
                    danger = f"{name} is {description}"
    if danger:
        raise InputError(
            f"{path}: may run code when it is loaded: {danger}. Fix: take the model from a maker "
            "who saves weights alone; if you trust this one as you trust a program: "
            f"{name_of('trust')}."
        )


def _foreign_classes(config: object) -> Iterator[str]:
    """Yield each class of the configuration that restoring would take from elsewhere."""
    # YAML's aliases make one value appear in many places: each is looked at once.
    pending, visited_ids = [config], set[int]()
    while pending:
        value = pending.pop()
        if id(value) in visited_ids:
            continue
        visited_ids.add(id(value))
        if isinstance(value, list):
            pending.extend(value)
        elif isinstance(value, dict):
            pending.extend(value.values())
            for key in _CLASS_KEYS:
                class_name = value.get(key)
                if isinstance(class_name, str) and (key == "_target_" or "." in class_name):
                    safe_match = _CLASS.fullmatch(class_name)
                    if safe_match is None or not _NOT_THROUGH.isdisjoint(class_name.split(".")[1:]):
                        yield f"{_CONFIG_NAME} has {key}: {class_name}"


@contextmanager
def _open_members(path: Path) -> Iterator[tuple[tarfile.TarFile, dict[str, tarfile.TarInfo]]]:
    """Open an archive with its members; an unreadable archive is bad input."""
    try:
        with tarfile.open(path, "r:*") as archive:
            members = read_members(archive, path)
            ends = max((member.offset_data + member.size for member in members.values()), default=0)
            if ends > path.stat().st_size and not _is_compressed(path):
                raise InputError(f"{path}: cut short inside its weights. {_REMEDY}")
            yield archive, members
    except FileNotFoundError as missing:
        raise InputError(f"{path}: there is no such model. {_REMEDY}") from missing
    except (
        OSError,
        tarfile.TarError,
        EOFError,
        yaml.YAMLError,
        zlib.error,
        lzma.LZMAError,
    ) as wrong:
        raise InputError(f"{path}: not readable as a .nemo archive ({wrong}). {_REMEDY}") from wrong


def _is_compressed(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(6).startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0"))


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo, most: int) -> bytes:
    stream = archive.extractfile(member)
    if stream is None:
        raise tarfile.ReadError(f"{member.name} is not a file")
    if member.size > most:
        raise tarfile.ReadError(f"{member.name} has {member.size} bytes, more than {most}")
    return stream.read()


def _tokenizer_member(config: Mapping[str, Any]) -> str:
    return str(_dig(config, "tokenizer", "model_path") or "").removeprefix("nemo:")
