"""What an engine reads beside the graphs: labels, configuration, metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from onnx import helper

from tasks.common.errors import InputError
from tasks.models.nemo_archive import Decoder
from tasks.serving.edge import bundle, engine_files
from tasks.serving.edge.bundle import EdgeBundle, EdgeEngine, EdgePrecision, Framing
from tasks.serving.edge.nemo_export import NemoExport

SETTINGS: dict[str, Any] = {
    "sample_rate": 16000,
    "win_length": 400,
    "hop_length": 160,
    "n_fft": 512,
    "nfilt": 80,
    "normalize": "per_feature",
    "preemph": 0.97,
    "log": True,
    "log_zero_guard_value": 2.0**-24,
    "mag_power": 2.0,
    "frame_splicing": 1,
    "window": "hann",
}
MODEL = Path("clinic.nemo")


def exported(**other: object) -> NemoExport:
    """What NeMo says of a transducer of three labels."""
    facts = {
        "features": SETTINGS,
        "subsampling_factor": 4,
        "labels": ["<unk>", "▁a", "b"],
        "prediction_layers": 2,
        "prediction_hidden": 640,
        "max_symbols": 10,
    }
    return NemoExport(Path(), {**facts, **other})


def test_labels_stand_in_the_models_order_and_the_blank_is_last() -> None:
    """A space is written as the engines write it."""
    assert engine_files.label_list(("▁a", "b", " ")) == "▁a 0\nb 1\n▁ 2\n<blk> 3\n"


@pytest.mark.parametrize("label", ["a\nb", "a\u2028", "<blk>", ""])
def test_a_label_that_would_shift_all_others_is_refused(label: str) -> None:
    """A list of lines cannot hold it."""
    with pytest.raises(InputError, match=r"label 1 of the model .* Fix:"):
        engine_files.label_list(("a", label))


def test_onnx_asr_is_told_what_it_would_assume_otherwise() -> None:
    """Its defaults are 80 bins, a factor of 8 and 10 symbols."""
    told = engine_files.onnx_asr_config(exported(max_symbols=3), Decoder.TDT)
    assert told == {
        "model_type": "nemo-conformer-tdt",
        "features_size": 80,
        "subsampling_factor": 4,
        "max_tokens_per_step": 3,
    }


@pytest.mark.parametrize(("decoder", "labels"), [(Decoder.CTC, "4"), (Decoder.RNNT, "3")])
def test_sherpa_counts_the_blank_of_ctc_alone(decoder: Decoder, labels: str) -> None:
    """As its own reader does."""
    assert engine_files.sherpa_metadata(exported(), decoder)["vocab_size"] == labels


def test_sherpa_knows_a_tdt_by_its_address() -> None:
    """Without it, it decodes durations as labels or ends the process."""
    told = engine_files.sherpa_metadata(exported(), Decoder.TDT)
    assert "tdt" in told["url"]
    assert (told["pred_rnn_layers"], told["pred_hidden"]) == ("2", "640")
    assert told["normalize_type"] == "per_feature"


@pytest.mark.parametrize("engine", [EdgeEngine.ONNX_ASR, EdgeEngine.SHERPA_ONNX])
@pytest.mark.parametrize(
    ("name", "value"),
    [("normalize", "all_features"), ("hop_length", 128), ("sample_rate", 8000), ("preemph", 0.0)],
)
def test_features_that_an_engine_does_not_compute_are_refused(
    engine: EdgeEngine, name: str, value: object
) -> None:
    """The message names the setting, both values and what to do."""
    other = exported(features={**SETTINGS, name: value})
    with pytest.raises(InputError, match=rf"{name} {value!r}.*Fix: `--format onnx`"):
        engine_files.require_settings(engine, other, MODEL)
    engine_files.require_settings(EdgeEngine.ONNX, other, MODEL)


def test_onnx_asr_has_two_numbers_of_bins() -> None:
    """64 bins are refused; of sherpa-onnx they are a setting."""
    other = exported(features={**SETTINGS, "nfilt": 64})
    with pytest.raises(InputError, match="64"):
        engine_files.require_settings(EdgeEngine.ONNX_ASR, other, MODEL)
    engine_files.require_settings(EdgeEngine.SHERPA_ONNX, other, MODEL)


def test_a_limit_that_sherpa_does_not_heed_is_told() -> None:
    """It writes five labels a frame of a TDT at most."""
    (told,) = engine_files.unheeded_settings(EdgeEngine.SHERPA_ONNX, exported(), Decoder.TDT)
    assert "5 labels a frame" in told
    assert not engine_files.unheeded_settings(EdgeEngine.SHERPA_ONNX, exported(), Decoder.RNNT)
    assert not engine_files.unheeded_settings(EdgeEngine.ONNX_ASR, exported(), Decoder.TDT)


def loadable(folder: Path, decoder: Decoder, tokens: str, **metadata: str) -> EdgeBundle:
    """A bundle for sherpa-onnx whose graphs hold nothing but metadata."""
    folder.mkdir()
    facts = engine_files.sherpa_metadata(exported(), decoder) | metadata
    name = bundle.graph_names(EdgeEngine.SHERPA_ONNX, decoder, EdgePrecision.FP32)[0]
    graph = helper.make_graph([], "nothing", [], [])
    engine_files.write_graph(helper.make_model(graph), folder / name, facts)
    (folder / "tokens.txt").write_text(tokens, encoding="utf-8")
    return EdgeBundle(
        folder,
        EdgeEngine.SHERPA_ONNX,
        decoder,
        EdgePrecision.FP32,
        sample_rate=16000,
        model_name="clinic",
        source_sha256="0" * 64,
        framing=Framing(),
        features={},
        files={},
        record={},
    )


TOKENS = "<unk> 0\n▁a 1\nb 2\n<blk> 3\n"


@pytest.mark.parametrize("decoder", [Decoder.CTC, Decoder.RNNT, Decoder.TDT])
def test_what_handoff_writes_is_loadable(decoder: Decoder, tmp_path: Path) -> None:
    """Labels, blank and metadata agree."""
    engine_files.require_loadable(loadable(tmp_path / "b", decoder, TOKENS))


@pytest.mark.parametrize(
    ("decoder", "tokens", "metadata", "says"),
    [
        (Decoder.TDT, TOKENS, {"url": ""}, r"encoder\.onnx: .* url '', and the model is a tdt"),
        (Decoder.RNNT, TOKENS, {"url": "my-tdt"}, r"url 'my-tdt', and the model is a rnnt"),
        (Decoder.TDT, TOKENS.replace("b 2\n", ""), {}, r"tokens\.txt: has 3 lines"),
        (Decoder.RNNT, "<blk> 0\n<unk> 1\n▁a 2\nb 3\n", {}, r"ends with 'b 3'"),
        (Decoder.CTC, "<unk> 0\n▁a 1\n", {}, "lists no <blk>"),
        (Decoder.CTC, TOKENS, {"normalize_type": "all"}, "has normalize_type 'all'"),
    ],
)
def test_what_would_end_the_process_is_refused(
    decoder: Decoder, tokens: str, metadata: dict[str, str], says: str, tmp_path: Path
) -> None:
    """sherpa-onnx checks these by ``exit``: it would take the command down without a word."""
    planted = loadable(tmp_path / "b", decoder, tokens, **metadata)
    with pytest.raises(InputError, match=rf"{says}.*would end the program. Fix:"):
        engine_files.require_loadable(planted)
