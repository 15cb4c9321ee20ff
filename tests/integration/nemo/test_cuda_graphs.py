"""CUDA graphs of NeMo's decoders: where one does not compile, decoding goes on without it."""

# ruff: noqa: PLC0415 - torch and NeMo take ten seconds that collecting tests need not pay

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.runtimes.base import ENTRY
from tasks.runtimes.failures import Fault, from_log
from tests.support import nemo_models
from tests.support.torch_threads import one_thread  # noqa: F401 - a fixture, asked for by name

# The programs of tasks/entrypoints find each other beside themselves.
sys.path.insert(0, str(ENTRY))


@pytest.fixture(scope="module")
def looping(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tiny TDT model whose decoding has a loop that a GPU would run as a graph."""
    import torch
    from greedy_decoder import restore  # type: ignore[import-not-found]

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
