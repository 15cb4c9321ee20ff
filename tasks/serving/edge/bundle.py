"""An edge bundle: the folder with an exported model that an engine on a CPU loads.

``bundle.json`` lies beside the engine's own files and holds the SHA-256 of each of them.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files, hashing
from tasks.common.errors import InputError
from tasks.common.installation import install_fix
from tasks.common.schemas import Schema
from tasks.models.nemo_archive import Decoder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

BUNDLE_NAME = "bundle.json"
_LIBRARIES = ("onnx", "onnxruntime", "onnx_asr", "sherpa_onnx", "soxr")
_AGAIN = (
    "Fix: copy the whole folder again, or make it again with `asr-flywheel handoff CYCLE --format`."
)


class EdgeEngine(StrEnum):
    """Whose form the files have."""

    ONNX_ASR = "onnx-asr"
    SHERPA_ONNX = "sherpa-onnx"
    ONNX = "onnx"


class EdgePrecision(StrEnum):
    """The numbers that the graph multiplies."""

    FP32 = "fp32"
    INT8 = "int8"
    """Weights of the linear layers in 8 bits, their inputs quantised for each utterance."""
    INT8_STATIC = "int8-static"
    """The same, with ranges of the inputs that rows of the training set have set beforehand."""

    @property
    def suffix(self) -> str:
        """What a graph's file has before .onnx, with a dot; "" for fp32."""
        return "" if self is EdgePrecision.FP32 else f".{self.value}"


@dataclass(frozen=True, slots=True)
class Framing:
    """What is done to a recording so that an engine's frames lie where NeMo's are.

    Attributes:
        lead: samples of silence before each recording, at 16 kHz.
        trail: samples of silence after it.
        snipped: whether frames that reach over an end are left out; the engine mirrors otherwise.
    """

    lead: int = 0
    trail: int = 0
    snipped: bool = False

    def as_dict(self) -> dict[str, int | bool]:
        """Return the framing as bundle.json holds it."""
        return {
            "lead_silence": self.lead,
            "trail_silence": self.trail,
            "snip_edges": self.snipped,
        }


@dataclass(frozen=True, slots=True)
class EdgeBundle:
    """An exported model whose files are what bundle.json says.

    Attributes:
        folder: that holds it.
        engine: whose form the files have.
        decoder: CTC, RNN-T or TDT.
        precision: of the graphs.
        sample_rate: Hz that the model listens at.
        model_name: for reports and answers.
        source_sha256: of the .nemo that was exported.
        framing: silence around each recording, and the rule for frames at its ends.
        features: the settings of the model's features, as the .nemo has them.
        files: SHA-256 by file name.
        record: all of bundle.json.
    """

    folder: Path
    engine: EdgeEngine
    decoder: Decoder
    precision: EdgePrecision
    sample_rate: int
    model_name: str
    source_sha256: str
    framing: Framing
    features: Mapping[str, Any]
    files: Mapping[str, str]
    record: Mapping[str, Any]

    @property
    def model_type(self) -> str:
        """The model's type as ``onnx_asr.load_model`` takes it."""
        return f"nemo-conformer-{self.decoder.value}"

    @property
    def quantization(self) -> str | None:
        """The value of ``onnx_asr.load_model(quantization=…)``."""
        return self.precision.suffix.removeprefix(".") or None

    @property
    def fingerprint(self) -> str:
        """A SHA-256 over the hashes of all files: of what is served."""
        return hashing.fingerprint(dict(self.files))

    @property
    def bytes(self) -> int:
        """Size of all files together."""
        return sum((self.folder / name).stat().st_size for name in self.files)


def require_extra() -> None:
    """Refuse an environment without the extra ``edge``, before anything imports its libraries.

    Raises:
        InputError: one of them is not installed.
    """
    missing = [name for name in _LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"{', '.join(missing)}: not installed in this environment. Fix: {install_fix('edge')}."
        )


def graph_names(engine: EdgeEngine, decoder: Decoder, precision: EdgePrecision) -> tuple[str, ...]:
    """List the ONNX files that an engine loads: one for CTC, else encoder, decoder and joint."""
    if decoder is Decoder.CTC:
        stems: tuple[str, ...] = ("model",)
    elif engine is EdgeEngine.SHERPA_ONNX:
        stems = ("encoder", "decoder", "joiner")
    else:
        stems = ("encoder-model", "decoder_joint-model")
    return tuple(f"{stem}{precision.suffix}.onnx" for stem in stems)


def required_names(
    engine: EdgeEngine, decoder: Decoder, precision: EdgePrecision
) -> tuple[str, ...]:
    """List the files without which an engine cannot load a model."""
    others = {
        EdgeEngine.ONNX_ASR: ("vocab.txt", "config.json"),
        EdgeEngine.SHERPA_ONNX: ("tokens.txt",),
        EdgeEngine.ONNX: ("vocab.txt",),
    }[engine]
    return (*graph_names(engine, decoder, precision), *others)


def open_bundle(folder: Path) -> EdgeBundle:
    """Open a bundle and check that its files are complete and unchanged.

    Raises:
        InputError: there is no bundle, it is damaged, or a file is missing or was changed.
    """
    path = folder / BUNDLE_NAME
    if not path.is_file():
        raise InputError(
            f"{folder}: has no {BUNDLE_NAME}: it is no exported model. Fix: make one with "
            "`asr-flywheel handoff CYCLE --format onnx-asr`."
        )
    record = atomic_files.read_json(path)
    if not isinstance(record, dict):
        raise InputError(f"{path}: holds no JSON object. {_AGAIN}")
    Schema.EDGE_BUNDLE.check(record, path)
    try:
        bundle = EdgeBundle(
            folder=folder,
            engine=EdgeEngine(record["engine"]),
            decoder=Decoder(record["decoder"]),
            precision=EdgePrecision(record["precision"]),
            sample_rate=int(record["sample_rate"]),
            model_name=str(record["model_name"]),
            source_sha256=str(record["source_sha256"]),
            # A bundle of an earlier version has silence in front only.
            framing=Framing(
                int(record["lead_silence"]),
                int(record.get("trail_silence", 0)),
                bool(record.get("snip_edges", False)),
            ),
            features=dict(record["features"]),
            files={str(name): str(digest) for name, digest in record["files"].items()},
            record=record,
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: is damaged ({error!r}). {_AGAIN}") from error
    _check_files(bundle, path)
    return bundle


def _check_files(bundle: EdgeBundle, path: Path) -> None:
    for name in required_names(bundle.engine, bundle.decoder, bundle.precision):
        if name not in bundle.files:
            raise InputError(f"{path}: lists no {name}, which {bundle.engine} loads. {_AGAIN}")
    for name, digest in bundle.files.items():
        if PurePath(name).name != name:
            raise InputError(f"{path}: lists {name!r}, which is no name of a file in it. {_AGAIN}")
        file = bundle.folder / name
        if not file.is_file():
            raise InputError(f"{file}: is missing. {_AGAIN}")
        if (actual := hashing.sha256(file)) != digest:
            raise InputError(
                f"{file}: its SHA-256 is {actual}, {BUNDLE_NAME} says {digest}. {_AGAIN}"
            )


def write_record(folder: Path, fields: Mapping[str, Any], names: tuple[str, ...]) -> None:
    """Write bundle.json, last of all files.

    Args:
        folder: that holds the other files.
        fields: everything but the hashes.
        names: of the other files.
    """
    files = {name: hashing.sha256_file(folder / name) for name in names}
    atomic_files.write_json(
        folder / BUNDLE_NAME, Schema.EDGE_BUNDLE.mark({**fields, "files": files})
    )
