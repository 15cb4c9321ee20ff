"""The files that an engine loads, made of NeMo's export: graphs, labels, configuration, metadata.

Sources: onnx-asr 0.12.0 (onnx_asr/models/nemo.py and onnx_asr/asr.py) and sherpa-onnx 2.0.1
(csrc/offline-nemo-enc-dec-ctc-model.cc, csrc/offline-transducer-nemo-model.cc). What either does
not find it replaces by a default without a word, or it ends the process.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import onnx

from tasks.common import atomic_files
from tasks.common.errors import InputError
from tasks.models.nemo_archive import Decoder
from tasks.serving.edge import quantization
from tasks.serving.edge.bundle import EdgeEngine, EdgePrecision, Framing, graph_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tasks.serving.edge.bundle import EdgeBundle
    from tasks.serving.edge.nemo_export import NemoExport

BLANK = "<blk>"
_SPACE = "▁"
_LARGEST_GRAPH_BYTES = 1_900_000_000
"""A protobuf message holds 2 GB; the tensors of a larger graph go into a file beside it."""
SHERPA_SYMBOLS_PER_FRAME = {Decoder.RNNT: 10, Decoder.TDT: 5}
SHERPA_FRAMING = Framing(lead=200, trail=40, snipped=True)
"""By default sherpa-onnx's first frame has its middle at 80 samples, NeMo's at 0 (half a hop at
16 kHz), both ends are mirrored where NeMo has zeros, and there is a frame more. A window is 400
samples long: with 200 zeros in front, 40 after, and only whole frames, all three are NeMo's."""

SHERPA_KEYS = (
    "vocab_size",
    "normalize_type",
    "subsampling_factor",
    "pred_rnn_layers",
    "pred_hidden",
)
"""The metadata that sherpa-onnx needs; the last two of a transducer."""
_CTC_KEYS = 3

# What onnx-asr computes, whatever the model was trained with; sherpa-onnx likewise.
_FIXED: Mapping[str, Any] = {
    "sample_rate": 16000,
    "win_length": 400,
    "hop_length": 160,
    "n_fft": 512,
    "preemph": 0.97,
    "normalize": "per_feature",
    "mag_power": 2.0,
    "log": True,
    "frame_splicing": 1,
    "window": "hann",
}
_ONNX_ASR_BINS = (80, 128)


def require_settings(engine: EdgeEngine, export: NemoExport, model: Path) -> None:
    """Refuse a model whose features an engine cannot compute.

    Raises:
        InputError: names the setting, what the model has and what the engine computes.
    """
    if engine is EdgeEngine.ONNX:
        return
    fixed = dict(_FIXED)
    if engine is EdgeEngine.ONNX_ASR:
        fixed["log_zero_guard_value"] = 2.0**-24
    for name, value in fixed.items():
        if (own := export.settings.get(name)) != value:
            raise _unfit(engine, model, name, own, value)
    bins = export.settings["nfilt"]
    if engine is EdgeEngine.ONNX_ASR and bins not in _ONNX_ASR_BINS:
        raise _unfit(engine, model, "features", bins, "80 or 128")


def _unfit(engine: EdgeEngine, model: Path, name: str, own: object, computed: object) -> InputError:
    return InputError(
        f"{model}: its features have {name} {own!r}, but {engine.value} computes {computed!r}: it "
        "would hear something else. Fix: `--format onnx`, and compute the features yourself by the "
        "settings in bundle.json."
    )


def write(
    engine: EdgeEngine, export: NemoExport, decoder: Decoder, precision: EdgePrecision, folder: Path
) -> tuple[str, ...]:
    """Write everything that an engine loads; the export's features calibrate static int8.

    Returns:
        The names of the files.

    Raises:
        InputError: a label cannot stand in the engine's list.
    """
    names = graph_names(engine, decoder, precision)
    metadata = sherpa_metadata(export, decoder) if engine is EdgeEngine.SHERPA_ONNX else {}
    written: list[str] = []
    for number, name in enumerate(names):
        source = export.folder / name.replace(precision.suffix + ".onnx", ".onnx")
        # Of a transducer the encoder is nearly all of the work, and its inputs are features.
        if precision is EdgePrecision.INT8_STATIC and number == 0:
            graph = quantization.quantise_static(source, export.features)
        else:
            graph = onnx.load(source)
            if precision is not EdgePrecision.FP32:
                graph = quantization.quantise(graph)
        # sherpa-onnx reads the metadata of the first graph.
        written += write_graph(graph, folder / name, metadata if number == 0 else {})
    listed = "tokens.txt" if engine is EdgeEngine.SHERPA_ONNX else "vocab.txt"
    atomic_files.write_text(folder / listed, label_list(export.labels))
    written.append(listed)
    if engine is EdgeEngine.ONNX_ASR:
        text = json.dumps(onnx_asr_config(export, decoder), indent=2) + "\n"
        atomic_files.write_text(folder / "config.json", text)
        written.append("config.json")
    return tuple(written)


def write_graph(
    graph: onnx.ModelProto, target: Path, metadata: Mapping[str, str]
) -> tuple[str, ...]:
    """Write one graph with metadata; return the names of its files."""
    set_metadata(graph, metadata)
    if graph.ByteSize() < _LARGEST_GRAPH_BYTES:
        onnx.save(graph, target)
        return (target.name,)
    data = f"{target.name}.data"
    onnx.save(
        graph, target, save_as_external_data=True, all_tensors_to_one_file=True, location=data
    )
    return target.name, data


def set_metadata(graph: onnx.ModelProto, metadata: Mapping[str, str]) -> None:
    """Replace a graph's metadata."""
    del graph.metadata_props[:]
    for key, value in metadata.items():
        entry = graph.metadata_props.add()
        entry.key, entry.value = key, value


def read_metadata(graph: onnx.ModelProto) -> dict[str, str]:
    """Return a graph's metadata."""
    return {entry.key: entry.value for entry in graph.metadata_props}


def framing(engine: EdgeEngine) -> Framing:
    """Return what puts an engine's frames where NeMo's are."""
    return SHERPA_FRAMING if engine is EdgeEngine.SHERPA_ONNX else Framing()


def label_list(labels: tuple[str, ...]) -> str:
    """Return the list of labels, a line each with its number, with the blank as the last.

    Raises:
        InputError: a label holds a line break, or one is the blank's name.
    """
    for number, label in enumerate(labels):
        if label.splitlines() != [label] or label == BLANK:
            raise InputError(
                f"label {number} of the model is {label!r}, which cannot stand in a list of "
                "labels. Fix: train with another tokenizer, or serve by Riva (`--format riva`)."
            )
    lines = [*(label.replace(" ", _SPACE) for label in labels), BLANK]
    return "".join(f"{label} {number}\n" for number, label in enumerate(lines))


def onnx_asr_config(export: NemoExport, decoder: Decoder) -> dict[str, Any]:
    """Return config.json; what is missing there onnx-asr takes as 80 bins, factor 8, 10 symbols."""
    config = {
        "model_type": f"nemo-conformer-{decoder.value}",
        "features_size": export.settings["nfilt"],
        "subsampling_factor": export.subsampling,
    }
    if decoder is not Decoder.CTC and (most := export.facts.get("max_symbols")):
        config["max_tokens_per_step"] = most
    return config


def sherpa_metadata(export: NemoExport, decoder: Decoder) -> dict[str, str]:
    """Return the metadata that sherpa-onnx reads from a graph.

    It knows a TDT by "tdt" in ``url``, and counts the blank among the labels of CTC alone.
    """
    labels = len(export.labels)
    facts: dict[str, object] = {
        "vocab_size": labels + 1 if decoder is Decoder.CTC else labels,
        "normalize_type": export.settings["normalize"],
        "subsampling_factor": export.subsampling,
        "model_type": "EncDecCTCModelBPE" if decoder is Decoder.CTC else "EncDecRNNTBPEModel",
        "version": "1",
        "model_author": "NeMo",
        "comment": f"NeMo's {decoder.value}",
        "feat_dim": export.settings["nfilt"],
    }
    if decoder is not Decoder.CTC:
        facts["pred_rnn_layers"] = export.facts["prediction_layers"]
        facts["pred_hidden"] = export.facts["prediction_hidden"]
        facts["url"] = decoder.value
    return {name: str(value) for name, value in facts.items()}


def unheeded_settings(engine: EdgeEngine, export: NemoExport, decoder: Decoder) -> tuple[str, ...]:
    """List the settings of the decoder that an engine does not heed, a sentence each."""
    most = export.facts.get("max_symbols")
    takes = SHERPA_SYMBOLS_PER_FRAME.get(decoder)
    if engine is EdgeEngine.SHERPA_ONNX and takes is not None and most != takes:
        return (
            (
                f"sherpa-onnx writes {takes} labels a frame at most; the model was measured with "
                f"{most or 'any number'}"
            ),
        )
    return ()


def require_loadable(bundle: EdgeBundle) -> None:
    """Refuse a bundle with which sherpa-onnx would end this process: it checks by ``exit``.

    Raises:
        InputError: names what is missing or wrong.
    """
    path = bundle.folder / graph_names(bundle.engine, bundle.decoder, bundle.precision)[0]
    metadata = read_metadata(onnx.load(path, load_external_data=False))
    keys = SHERPA_KEYS if bundle.decoder.has_transducer else SHERPA_KEYS[:_CTC_KEYS]
    fix = (
        "sherpa-onnx would end the program. Fix: make the bundle again with `asr-flywheel handoff "
        "CYCLE --format sherpa`."
    )
    for key in keys:
        if key not in metadata:
            raise InputError(f"{path}: its metadata lacks {key!r}: {fix}")
    if (kind := metadata["normalize_type"]) not in {"", "NA", "per_feature"}:
        raise InputError(f"{path}: its metadata has normalize_type {kind!r}: {fix}")
    tokens = bundle.folder / "tokens.txt"
    lines = tokens.read_text(encoding="utf-8").splitlines()
    if not any(line.startswith(f"{BLANK} ") for line in lines):
        raise InputError(f"{tokens}: lists no {BLANK}: {fix}")
    if bundle.decoder.has_transducer:
        _require_loadable_transducer(bundle.decoder, metadata, path, lines, tokens, fix)


def _require_loadable_transducer(
    decoder: Decoder,
    metadata: Mapping[str, str],
    graph: Path,
    lines: Sequence[str],
    tokens: Path,
    fix: str,
) -> None:
    # Durations are outputs of the joiner, which it takes for labels too many.
    url = metadata.get("url", "")
    if (decoder is Decoder.TDT) != ("tdt" in url):
        raise InputError(
            f"{graph}: its metadata has url {url!r}, and the model is a {decoder.value}: "
            f"sherpa-onnx knows a TDT by 'tdt' in it alone, and {fix}"
        )
    size = metadata["vocab_size"]
    if size != str(len(lines) - 1) or lines[-1] != f"{BLANK} {size}":
        raise InputError(
            f"{tokens}: has {len(lines)} lines and ends with {lines[-1]!r}; by vocab_size {size!r} "
            f"it has one more, and ends with {BLANK!r} and that number: {fix}"
        )
