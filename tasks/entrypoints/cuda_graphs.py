"""Where a CUDA graph of NeMo's decoders does not compile, they go on with less of it.

NeMo 3.0 falls back from one graph to partial ones where the loop does not compile; before 2.7 it
raises (cuda-python of one CUDA release against the form of another, an NVRTC that is missing). No
release goes on where partial graphs do not compile either. Here each of its decoders falls back
from one graph to partial graphs and from these to none, and tells so.
"""

from __future__ import annotations

import importlib
import re
from functools import wraps
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

PREFIX = "CUDA graphs: "
"""Begins each line that tells of a fallback, so that no reader of a log takes it for a fault."""
_FOLDER = "nemo.collections.asr.parts.submodules"
# Whatever decodes by CUDA graphs; a release may lack some of them.
_MODULES = (
    "transducer_decoding.rnnt_label_looping",
    "transducer_decoding.tdt_label_looping",
    "rnnt_malsd_batched_computer",
    "tdt_malsd_batched_computer",
    "ctc_batched_beam_decoding",
    "ctc_greedy_decoding",
)
_FULL, _PARTIAL = "_full_graph_compile", "_partial_graphs_compile"
_NO_MEMORY = re.compile(r"out.of.memory|MemoryAllocation", re.IGNORECASE)
_LONGEST = 300


def install() -> int:
    """Have every decoder of NeMo fall back; call it before a model decodes.

    Returns:
        How many classes of decoders were changed.
    """
    changed = 0
    for name in _MODULES:
        try:
            module = importlib.import_module(f"{_FOLDER}.{name}")
        except ImportError:
            continue
        for member in list(vars(module).values()):
            if isinstance(member, type) and member.__module__ == module.__name__:
                changed += _wrap_decoder(member)
    return changed


def why_not(computer: object) -> str:
    """Return the reason why a decoder does with less than it asked for, or ""."""
    return str(getattr(computer, "no_graph_because", ""))


def _wrap_decoder(decoder_class: Any) -> bool:  # noqa: ANN401 - one of NeMo's classes
    if not {_FULL, _PARTIAL} <= vars(decoder_class).keys() or hasattr(
        decoder_class, "no_graph_because"
    ):
        return False
    decoder_class.no_graph_because = ""
    setattr(decoder_class, _FULL, _compile_or_partial(getattr(decoder_class, _FULL)))
    setattr(decoder_class, _PARTIAL, _compile_or_none(getattr(decoder_class, _PARTIAL)))
    return True


def _compile_or_partial(compile_graph: Callable[[Any], None]) -> Callable[[Any], None]:
    """Wrap the compiling of the whole loop, to compile its parts on failure."""

    @wraps(compile_graph)
    def compile_or_less(self: Any) -> None:  # noqa: ANN401
        if (failed := _try_compile(compile_graph, self)) is not None:
            _report_fallback(self, "one graph of the whole loop", "partial graphs", failed)
            self.cuda_graphs_mode = self.CudaGraphsMode.NO_WHILE_LOOPS
            self._partial_graphs_compile()

    return compile_or_less


def _compile_or_none(compile_graphs: Callable[[Any], None]) -> Callable[[Any], None]:
    """Wrap the compiling of the loop's parts, to do without graphs on failure."""

    @wraps(compile_graphs)
    def compile_or_less(self: Any) -> None:  # noqa: ANN401
        if (failed := _try_compile(compile_graphs, self)) is not None:
            _report_fallback(self, "partial graphs", "no graphs", failed)
            # The caller looks at the mode again, and in this one runs the same steps one by one.
            self.cuda_graphs_mode = self.CudaGraphsMode.NO_GRAPHS

    return compile_or_less


def _try_compile(compile_graph: Callable[[Any], None], computer: Any) -> Exception | None:  # noqa: ANN401
    """Return what compiling raised; raise what is no failure of graphs, such as lack of memory."""
    stream = torch.cuda.current_stream() if torch.cuda.is_available() else None
    try:
        compile_graph(computer)
    except Exception as failed:
        if isinstance(failed, torch.OutOfMemoryError) or _NO_MEMORY.search(str(failed)):
            raise
        if stream is not None:
            # A capture that broke off leaves its own stream in place.
            torch.cuda.set_stream(stream)
        return failed
    return None


def _report_fallback(computer: Any, graphs: str, instead: str, failed: Exception) -> None:  # noqa: ANN401
    computer.no_graph_because = f"{graphs} did not compile ({type(failed).__name__})"
    words = " ".join(str(failed).split())[:_LONGEST]
    print(f"{PREFIX}{graphs} did not compile, {instead} from here on: {words}", flush=True)
