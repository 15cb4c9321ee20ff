"""Our decoding loop against NeMo's transcribe(): the same texts, whatever is decoded together."""

# ruff: noqa: PLC0415 - torch and NeMo take ten seconds that collecting tests need not pay

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile

from tasks.models.catalog import resolve
from tasks.runtimes.base import ENTRY
from tests.support import factories, nemo_models
from tests.support.torch_threads import one_thread  # noqa: F401 - a fixture, asked for by name

# The programs of tasks/entrypoints find each other beside themselves.
sys.path.insert(0, str(ENTRY))
import length_batching  # type: ignore[import-not-found]

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def tiny_config(tokenizer: Path, decoder: str) -> dict[str, Any]:
    """An RNN-T or TDT of a few thousand weights."""
    durations = [0, 1, 2, 3, 4] if decoder == "tdt" else []
    loss = {"loss_name": decoder if durations else "default"}
    if durations:
        loss |= {"tdt_kwargs": {"durations": durations}}  # type: ignore[dict-item]
    return {
        "sample_rate": factories.RATE,
        "compute_eval_loss": False,
        "rnnt_reduction": "mean_volume",
        "model_defaults": {
            "enc_hidden": 32,
            "pred_hidden": 32,
            "joint_hidden": 32,
            **({"tdt_durations": durations, "num_tdt_durations": 5} if durations else {}),
        },
        "tokenizer": {"dir": str(tokenizer), "type": "bpe"},
        "validation_ds": {
            "manifest_filepath": None,
            "sample_rate": factories.RATE,
            "batch_size": 4,
            "shuffle": False,
            "num_workers": 0,
        },
        "preprocessor": {
            "_target_": "nemo.collections.asr.modules.AudioToMelSpectrogramPreprocessor",
            "sample_rate": factories.RATE,
            "features": 80,
            "pad_to": 16,
        },
        "encoder": {
            "_target_": "nemo.collections.asr.modules.ConformerEncoder",
            "feat_in": 80,
            "n_layers": 2,
            "d_model": 32,
            "n_heads": 2,
            "subsampling": "dw_striding",
            "subsampling_factor": 8,
            "subsampling_conv_channels": 16,
            "conv_kernel_size": 9,
        },
        "decoder": {
            "_target_": "nemo.collections.asr.modules.RNNTDecoder",
            "normalization_mode": None,
            "random_state_sampling": False,
            "blank_as_pad": True,
            "prednet": {"pred_hidden": 32, "pred_rnn_layers": 1, "dropout": 0.2},
        },
        "joint": {
            "_target_": "nemo.collections.asr.modules.RNNTJoint",
            "log_softmax": None,
            "jointnet": {"joint_hidden": 32, "activation": "relu", "dropout": 0.2},
            "num_extra_outputs": len(durations),
        },
        "decoding": {
            "strategy": "greedy_batch",
            "model_type": decoder,
            "greedy": {"max_symbols": 5},
            **({"durations": durations} if durations else {}),
        },
        "loss": loss,
    }


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[float]]:
    """Noise of a voice's loudness, of 14 different lengths."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(3)
    seconds = [round(float(length), 2) for length in rng.uniform(0.4, 2.5, 14)]
    paths = []
    for number, length in enumerate(seconds):
        samples_ = rng.standard_normal(round(length * factories.RATE)) * rng.uniform(0.02, 0.3)
        path = folder / f"{number}.wav"
        soundfile.write(path, samples_, factories.RATE, subtype="PCM_16")
        paths.append(str(path))
    return paths, seconds


def fresh(kind: str, folder: Path) -> Any:
    """The embedded base, or a tiny transducer with random weights."""
    import torch
    from greedy_decoder import restore  # type: ignore[import-not-found]
    from nemo.collections.asr.models import EncDecRNNTBPEModel
    from nemo.utils import logging
    from omegaconf import OmegaConf

    logging.setLevel(logging.ERROR)
    if kind == "ctc":
        return restore(str(resolve("embedded")), "cpu")
    (folder / "tokenizer.model").write_bytes(factories.tokenizer(factories.LOWER_SENTENCES))
    (folder / "vocab.txt").write_text("a\n")
    torch.manual_seed(1)
    if kind == "hybrid":
        return restore(str(nemo_models.make(folder / "hybrid.nemo", kind)), "cpu")
    made = EncDecRNNTBPEModel(cfg=OmegaConf.create(tiny_config(folder, kind)))
    return made.eval()


@pytest.fixture(scope="module", params=["ctc", "rnnt", "tdt"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The embedded base, and tiny transducers with random weights."""
    return fresh(request.param, tmp_path_factory.mktemp("tokenizer"))


@pytest.mark.usefixtures("one_thread")
def test_texts_are_those_of_transcribe(model: Any, clips: tuple[list[str], list[float]]) -> None:
    """In the asked order, for any budget, also just after transcribe() has used the model."""
    import decoding_pipeline  # type: ignore[import-not-found]
    from greedy_decoder import GreedyRecognizer

    paths, seconds = clips
    plain = [one.text for one in model.transcribe(paths, batch_size=4, verbose=False)]
    assert len(set(plain)) > 4
    ours = GreedyRecognizer(model)
    assert not ours.whole
    shipped = decoding_pipeline.prepare(ours, max(seconds))
    for budget in (shipped, length_batching.Budget(1, 1), length_batching.Budget(700, 5)):
        assert decoding_pipeline.transcribe(ours, paths, seconds, budget) == plain


@pytest.mark.usefixtures("one_thread")
def test_a_variant_is_the_recording_with_silence_before_it(
    model: Any, clips: tuple[list[str], list[float]], tmp_path: Path
) -> None:
    """As if it had been written so; texts of the recordings as they are do not depend on it."""
    import decoding_pipeline
    from audio_reader import write_shifted  # type: ignore[import-not-found]
    from greedy_decoder import GreedyRecognizer

    paths, seconds = clips
    shifts = [(0, 300, 1200) if place % 3 == 0 else (0,) for place in range(len(paths))]
    shifts[1] = (500,)
    ours = GreedyRecognizer(model)
    budget = length_batching.Budget(700, 5)
    plain = decoding_pipeline.transcribe(ours, paths, seconds, budget)
    found = decoding_pipeline.transcribe_variants(ours, paths, seconds, shifts, budget)
    assert [texts[0] for texts in found[2:]] == plain[2:]
    for path, length, several, texts in zip(paths, seconds, shifts, found, strict=True):
        for shift, text in zip(several, texts, strict=True):
            written = [write_shifted(path, shift, factories.RATE, tmp_path)]
            alone = decoding_pipeline.transcribe(
                ours, written, [length + shift / factories.RATE], budget
            )
            assert alone == [text]
    assert any(len(set(texts)) > 1 for texts in found)


@pytest.mark.usefixtures("one_thread")
def test_a_model_that_is_decoded_whole_hears_the_same_variants(
    clips: tuple[list[str], list[float]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its own transcribe(), from files that are gone afterwards."""
    import decoding_pipeline
    from greedy_decoder import GreedyRecognizer

    paths, seconds = clips[0][:4], clips[1][:4]
    shifts = [(0, 400), (0,), (700,), (0,)]
    ours = GreedyRecognizer(fresh("ctc", tmp_path))
    budget = length_batching.Budget(700, 5)
    apart = decoding_pipeline.transcribe_variants(ours, paths, seconds, shifts, budget)
    monkeypatch.setattr(ours, "whole", "its decoding is another")
    whole = decoding_pipeline.transcribe_variants(ours, paths, seconds, shifts, budget)
    assert whole == apart


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("kind", ["ctc", "rnnt", "tdt", "hybrid"])
def test_a_base_that_was_asked_for_timestamps_is_decoded_as_any_other(
    kind: str, clips: tuple[list[str], list[float]], tmp_path: Path
) -> None:
    """Its archive asks for ever; our loop's texts are those of transcribe(), and it stays as is."""
    import decoding_pipeline
    from greedy_decoder import GreedyRecognizer, restore
    from omegaconf import open_dict

    path = tmp_path / "base.nemo"
    asked = fresh(kind, tmp_path)
    with open_dict(asked.cfg):
        asked.cfg.decoding.compute_timestamps = True
        asked.cfg.decoding.preserve_alignments = True
        asked.cfg.decoding.confidence_cfg = {"preserve_frame_confidence": True}
    asked.save_to(str(path))
    archive = path.read_bytes()

    paths, seconds = clips
    plain = restore(str(path), "cpu")
    assert plain.decoding.compute_timestamps
    heard = plain.transcribe(paths, batch_size=4, verbose=False)
    heard = heard[0] if isinstance(heard, tuple) else heard
    texts = [one.text for one in heard]
    assert len(set(texts)) > 3

    ours = GreedyRecognizer(restore(str(path), "cpu"))
    assert not ours.whole
    assert (
        decoding_pipeline.transcribe(ours, paths, seconds, length_batching.Budget(700, 5)) == texts
    )
    assert path.read_bytes() == archive


@pytest.mark.usefixtures("one_thread")
def test_out_of_memory_halves_the_budget_and_goes_on(
    model: Any, clips: tuple[list[str], list[float]]
) -> None:
    """What was decoded before is not decoded again; a batch of one that fails is an error."""
    import decoding_pipeline
    from greedy_decoder import GreedyRecognizer

    paths, seconds = clips
    ours = GreedyRecognizer(model)
    plain = decoding_pipeline.transcribe(ours, paths, seconds, length_batching.Budget(1, 1))
    encode, sizes, most = ours.encode, [], 3

    def limited(signal: Any, lengths: Any) -> Any:
        if len(lengths) > most:
            raise RuntimeError("CUDA out of memory. Tried to allocate 1 GiB")
        sizes.append(len(lengths))
        return encode(signal, lengths)

    ours.encode = limited
    told: list[str] = []

    def report(event: str, **values: object) -> None:
        if event == "memory":
            told.append(json.dumps(values))

    assert (
        decoding_pipeline.transcribe(ours, paths, seconds, length_batching.Budget(2400, 64), report)
        == plain
    )
    assert told
    assert sum(sizes) == len(paths)
    most = 0
    with pytest.raises(RuntimeError, match="out of memory"):
        decoding_pipeline.transcribe(ours, paths, seconds, length_batching.Budget(2400, 64), report)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("together", [3, 64])
def test_what_a_gpu_does_in_one_line_gives_the_same_texts(
    model: Any,
    clips: tuple[list[str], list[float]],
    together: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Some batches become labels at once, and are spelt while the next ones are encoded.

    The order is a GPU's; what computes is this machine.
    """
    import decoding_pipeline
    from greedy_decoder import GreedyRecognizer

    paths, seconds = clips
    budget = length_batching.Budget(700, 5)
    ours = GreedyRecognizer(model)
    plain = decoding_pipeline.transcribe(ours, paths, seconds, budget)
    groups: list[int] = []
    start = ours.start_decoding

    def counted(encoded: Sequence[Any]) -> Any:
        groups.append(sum(len(batch.lengths) for batch in encoded))
        return start(encoded)

    monkeypatch.setattr(ours, "together", together)
    monkeypatch.setattr(ours, "start_decoding", counted)
    run = decoding_pipeline._DecodingRun
    monkeypatch.setattr(run, "_run_on_cpu", run._run_on_gpu)
    assert decoding_pipeline.transcribe(ours, paths, seconds, budget) == plain
    assert sum(groups) == len(paths)
    assert (len(groups) == 1) is (together > len(paths))


def test_other_models_decode_by_themselves(model: Any) -> None:
    """Beam search, or a forward pass of its own, is not taken apart, and it is said."""
    import greedy_decoder

    class Other(type(model)):  # type: ignore[misc]
        def _transcribe_forward(self, *_: Sequence[object]) -> None:
            """Another forward pass."""

    known = type(model)
    try:
        model.__class__ = Other
        assert "its own transcribe()" in greedy_decoder.GreedyRecognizer(model).describe()
    finally:
        model.__class__ = known
