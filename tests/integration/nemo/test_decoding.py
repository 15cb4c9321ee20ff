"""Our decoding loop against NeMo's transcribe(): the same texts, whatever is decoded together."""

# ruff: noqa: PLC0415 - torch and NeMo take ten seconds that collecting tests need not pay

from __future__ import annotations

import ast
import importlib.util
import json
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from tasks.models.catalog import resolve
from tasks.runtimes.base import ENTRY
from tasks.runtimes.failures import Fault, from_log
from tasks.transcription.offline import DECODER, PROGRAM
from tests.support import factories, nemo_models

# The programs of tasks/entrypoints find each other beside themselves.
sys.path.insert(0, str(ENTRY))
import length_batching  # type: ignore[import-not-found]

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

durations = st.lists(st.floats(0.1, 60), max_size=200)
budgets = st.builds(
    length_batching.Budget,
    st.integers(1, 20_000),
    st.integers(1, 64),
    st.floats(0, 1000),
    st.floats(0, 1),
    st.integers(0, 10**7),
)


@given(durations, budgets)
def test_batches_hold_every_recording_once_within_the_budget(
    seconds: list[float], budget: Any
) -> None:
    """The longest come first; what is over the budget alone is decoded alone."""
    found = list(length_batching.plan(seconds, budget))
    assert sorted(place for batch in found for place in batch) == list(range(len(seconds)))
    longest = [seconds[batch[0]] for batch in found]
    assert longest == sorted(longest, reverse=True)
    for batch in found:
        assert len(batch) == 1 or budget.fits(len(batch), length_batching.frames(seconds[batch[0]]))


@given(budgets)
def test_a_halved_budget_ends_at_one_recording(budget: Any) -> None:
    """Halving again and again cannot go on for ever."""
    for _ in range(40):
        budget = budget.halved()
    assert (budget.frames, budget.rows) == (1, 1)


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


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Another number of threads adds up in another order: enough to sway a random model."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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


@pytest.fixture(scope="module")
def looping(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tiny TDT model whose decoding has a loop that a GPU would run as a graph."""
    import torch
    from greedy_decoder import restore

    torch.manual_seed(2)
    path = tmp_path_factory.mktemp("looping") / "tdt.nemo"
    return restore(str(nemo_models.make(path, "tdt")), "cpu")


@pytest.fixture
def decoder(looping: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Its decoder as on a GPU, with the loop in one graph: here nothing of this compiles."""
    computer = looping.decoding.decoding.decoding_computer
    monkeypatch.setattr(computer, "cuda_graphs_mode", computer.CudaGraphsMode.FULL_GRAPH)
    monkeypatch.setattr(computer, "no_graph_because", "", raising=False)
    monkeypatch.setattr(computer, "_warmup_for_cuda_graphs", lambda: None)
    computer.reset_cuda_graphs_state()
    return computer


def graph_and_loop(computer: Any) -> tuple[Any, Any]:
    """Labels of noise by the way for a GPU, and by the plain loop."""
    import torch

    width = computer.joint.enc.in_features
    noise = torch.randn(5, 30, width, generator=torch.Generator().manual_seed(1))
    frames = torch.tensor([30, 20, 25, 7, 1])
    with torch.inference_mode():
        made = [
            way(encoder_output=noise, encoder_output_length=frames)[0]
            for way in (computer.cuda_graphs_impl, computer.torch_impl)
        ]
    counts = [one.current_lengths[:5].tolist() for one in made]
    assert sum(counts[1]) > 0
    rows = [
        [row[:count].tolist() for row, count in zip(one.transcript, many, strict=False)]
        for one, many in zip(made, counts, strict=True)
    ]
    return rows[0], rows[1]


@pytest.mark.usefixtures("one_thread")
def test_where_no_graph_compiles_decoding_goes_on_without(
    decoder: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """NeMo's own decoder with the same labels; it is said, and is no fault."""
    import cuda_graphs  # type: ignore[import-not-found]

    by_graph, by_loop = graph_and_loop(decoder)
    assert by_graph == by_loop
    assert decoder.cuda_graphs_mode is decoder.CudaGraphsMode.NO_GRAPHS
    said = capsys.readouterr().out.splitlines()
    told = [line for line in said if line.startswith(cuda_graphs.PREFIX)]
    assert ["partial graphs from here on" in line for line in told] == [True, False]
    assert ["no graphs from here on" in line for line in told] == [False, True]
    assert cuda_graphs.why_not(decoder)
    line = f"{cuda_graphs.PREFIX}it did not compile: CUDA failure! 35"
    assert from_log(f"{line}\nFloatingPointError: NaN loss") is Fault.NAN_LOSS
    assert from_log(line) is Fault.SCRIPT_FAILED


@pytest.mark.usefixtures("one_thread")
def test_where_the_loop_does_not_compile_its_parts_do(
    decoder: Any, looping: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Partial graphs are used then; describe() says so."""
    import greedy_decoder

    def compile_parts() -> None:
        steps = {
            "before_outer_loop": "_before_outer_loop",
            "before_inner_loop": "_before_inner_loop_get_joint_output",
            "inner_loop_code": "_inner_loop_step_find_next_non_blank",
            "after_inner_loop": "_after_inner_loop_step",
        }
        parts = {
            name: SimpleNamespace(replay=getattr(decoder, step)) for name, step in steps.items()
        }
        decoder.separate_graphs = SimpleNamespace(**parts)

    monkeypatch.setattr(decoder, "_partial_graphs_compile", compile_parts)
    by_graph, by_loop = graph_and_loop(decoder)
    assert by_graph == by_loop
    assert decoder.cuda_graphs_mode is decoder.CudaGraphsMode.NO_WHILE_LOOPS
    ours = greedy_decoder.GreedyRecognizer(looping)
    monkeypatch.setattr(greedy_decoder.GreedyRecognizer, "decodes_together", True)
    assert "with partial CUDA graphs" in ours.describe()
    assert "did not compile" in ours.describe()


@pytest.mark.parametrize("method", ["_full_graph_compile", "_partial_graphs_compile"])
def test_memory_that_runs_out_is_no_failure_of_graphs(
    decoder: Any, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is raised, so that the batch is halved, and graphs stay as they were."""
    import cuda_graphs

    def no_memory(_: object) -> None:
        raise RuntimeError("CUDA failure! cudaErrorMemoryAllocation")

    wrap = {
        "_full_graph_compile": cuda_graphs._compile_or_partial,
        "_partial_graphs_compile": cuda_graphs._compile_or_none,
    }
    monkeypatch.setattr(type(decoder), method, wrap[method](no_memory))
    with pytest.raises(RuntimeError, match="MemoryAllocation"):
        getattr(decoder, method)()
    assert decoder.cuda_graphs_mode is decoder.CudaGraphsMode.FULL_GRAPH
    assert not cuda_graphs.why_not(decoder)


def test_every_decoder_of_nemo_falls_back() -> None:
    """Those of CTC, RNN-T and TDT, greedy and beam; once each.

    Before 2.7 CTC's greedy decoder has one graph, of decoding with a language model, and no parts.
    """
    import importlib

    import cuda_graphs
    import nemo

    whole = {"ctc_greedy_decoding"} if nemo.__version__ < "2.7" else set()
    assert cuda_graphs.install() in {0, len(cuda_graphs._MODULES) - len(whole)}
    assert cuda_graphs.install() == 0
    for name in cuda_graphs._MODULES:
        module = importlib.import_module(f"{cuda_graphs._FOLDER}.{name}")
        falls_back = any(hasattr(one, "no_graph_because") for one in vars(module).values())
        assert falls_back == (name not in whole), name


def test_every_file_that_decodes_names_the_hypotheses() -> None:
    """A kept hypothesis is of these very files; one that is not named would change unseen."""
    files, left = set(), [PROGRAM]
    while left:
        files.add(name := left.pop())
        tree = ast.parse((ENTRY / name).read_text())
        imported = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        } | {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        found = {f"{one}.py" for one in imported if (ENTRY / f"{one}.py").is_file()}
        left += sorted(found - files)
    assert set(DECODER) == files


def test_matrix_products_on_a_cpu_are_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By oneDNN, with the same results; where this PyTorch lacks the operator, nothing changes."""
    import onednn_linear  # type: ignore[import-not-found]
    import torch
    from greedy_decoder import restore

    encoder = restore(str(resolve("embedded")), "cpu").encoder
    heard = torch.randn(2, 80, 200), torch.tensor([200, 150])

    def encoded() -> Any:
        with torch.inference_mode():
            return encoder(audio_signal=heard[0], length=heard[1])[0]

    plain = encoded()
    with monkeypatch.context() as old:
        # As a release without it answers.
        old.setattr(torch, "ops", SimpleNamespace(mkldnn=SimpleNamespace()))
        assert onednn_linear.use_onednn_linears(encoder) == 0
    assert torch.equal(encoded(), plain)
    linear = sum(type(one) is torch.nn.Linear for one in encoder.modules())
    assert onednn_linear.use_onednn_linears(encoder) > linear
    assert not any(type(one) is torch.nn.Linear for one in encoder.modules())
    assert torch.allclose(encoded(), plain, atol=1e-3)


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


def test_a_recording_at_another_rate_is_resampled(tmp_path: Path) -> None:
    """To the model's rate, as one channel, with its length in seconds kept."""
    import audio_reader

    path = factories.write_wav(tmp_path / "a.wav", 0.5, rate=44_100, channels=2)
    assert len(audio_reader.read(str(path), factories.RATE)) == factories.RATE // 2


def test_16_bits_are_read_as_they_are_where_memory_is_pinned(tmp_path: Path) -> None:
    """The numbers are those of 32 bits; beside a recording that has no 16 bits, too."""
    import audio_reader
    import torch

    short = str(factories.write_wav(tmp_path / "a.wav", 0.5))
    stereo = str(factories.write_wav(tmp_path / "b.wav", 0.7, channels=2))
    compact = audio_reader.read_compactly(short, factories.RATE)
    plain = audio_reader.read(short, factories.RATE)
    assert compact.dtype == np.int16
    assert np.array_equal(compact / np.float32(audio_reader.FULL_SCALE), plain)
    mixed = audio_reader.read_compactly(stereo, factories.RATE)
    assert mixed.dtype == np.float32
    with audio_reader.Reader([short, stereo], factories.RATE, 1, pinned=False) as reader:
        (expected,) = reader.batches([[1, 0]], 0)
        made = reader._batch([(1, 0), (0, 0)], {0: compact, 1: mixed})
        alone = reader._batch([(0, 7)], {0: compact})
    assert torch.equal(made.signal, expected.signal)
    assert alone.signal.dtype == torch.int16
    assert not alone.signal[0, :7].any()
    assert np.array_equal(alone.signal[0, 7:].numpy(), compact)


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


def test_a_set_apart_is_prepared_for_alone_and_after_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two minutes at once set no budget for sentences, nor is there a graph for as many rows."""
    path = ENTRY / PROGRAM
    found = importlib.util.spec_from_file_location("the_program_that_decodes", path)
    assert found is not None
    assert found.loader is not None
    program = importlib.util.module_from_spec(found)
    found.loader.exec_module(program)
    calls: list[tuple[object, ...]] = []
    model = SimpleNamespace(describe=lambda: "", release=lambda: calls.append(("release",)))

    def prepare(_: object, longest: float, *, together: int | None, shift: int) -> str:
        calls.append(("prepare", longest, together))
        assert not shift
        return f"for {longest:g} s"

    def decode(_: object, audio: list[str], *rest: object) -> list[list[str]]:
        calls.append(("decode", len(audio), rest[2]))
        return [[""]] * len(audio)

    monkeypatch.setattr(program, "load", lambda *_: model)
    monkeypatch.setattr(program.decoding_pipeline, "prepare", prepare)
    monkeypatch.setattr(program.decoding_pipeline, "transcribe_variants", decode)
    sets = [([3.0, 2.0], False), ([2.5], False), ([120.0, 60.0, 30.0], True)]
    request = {
        "jobs": [
            {
                "model": "m.nemo",
                "sets": [
                    {
                        "audio": ["a.wav"] * len(seconds),
                        "durations": seconds,
                        "out": str(tmp_path / f"{number}.jsonl"),
                        **({"apart": True} if apart else {}),
                    }
                    for number, (seconds, apart) in enumerate(sets)
                ],
            }
        ]
    }
    monkeypatch.setattr(program, "begin", lambda: request)
    program.main()
    assert calls == [
        ("prepare", 3.0, None),
        ("decode", 2, "for 3 s"),
        ("decode", 1, "for 3 s"),
        ("release",),
        ("prepare", 120.0, 3),
        ("decode", 3, "for 120 s"),
        ("release",),
    ]
