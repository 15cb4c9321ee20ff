"""How an encoder is run: as NeMo's own modules, folded, as CUDA graphs, or compiled.

Each way costs something before it saves: folding copies the weights, a graph is captured for each
shape, and compiling takes half a minute. ``EncoderRunner`` takes what pays for the recordings that
there are, and goes on with the way before where one fails. It tells either.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import folded_encoder  # type: ignore[import-not-found]  # lies beside this file
import onednn_linear  # type: ignore[import-not-found]  # likewise
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PLAIN, FOLDED, GRAPHS, COMPILED = WAYS = ("plain", "folded", "graphs", "compiled")
PREFIX = "Encoder: "
"""Begins each line that tells of a fallback, so that no reader of a log takes it for a fault."""
# Hours of recordings from which on compiling is paid back.
COMPILING_PAYS_FROM_H = 500.0
# A shape that comes twice may come again.
_CAPTURED_AT_USE = 2
_MOST_GRAPHS = 48
_COARSENESS = 2
_CACHE = "TORCHINDUCTOR_CACHE_DIR"
_LONGEST_REASON = 300


def way_for(audio_seconds: float) -> str:
    """Return the way that pays for so many seconds of recordings on a GPU."""
    return COMPILED if audio_seconds >= COMPILING_PAYS_FROM_H * 3600 else GRAPHS


class EncoderRunner:
    """Runs one model's encoder.

    Attributes:
        way: one of WAYS: how it is run from here on.
        coarseness: by which the steps of length are larger where shapes have to come again.
        seconds: that compiling and capturing took so far.
    """

    def __init__(self, encoder: Any, dtype: torch.dtype, *, fold: bool) -> None:  # noqa: ANN401 - NeMo ships no types
        """Fold an encoder where that is possible; call it before its weights are cast.

        Args:
            encoder: NeMo's.
            dtype: to compute in.
            fold: False for NeMo's own modules.
        """
        self._encoder = encoder
        self._dtype = dtype
        self._folded: Any = None
        self._graphs: dict[tuple[str | int, ...], CapturedBatch] = {}
        self._uses: Counter[tuple[str | int, ...]] = Counter()
        self._pool: Any = None
        self._eager: Any = None
        self._compiled: Any = None
        self.way = PLAIN
        self.coarseness = _COARSENESS
        self.seconds = 0.0
        self._why_not = ""
        if not fold:
            return
        try:
            on_gpu = next(encoder.parameters()).is_cuda
            packed = not on_gpu and dtype == torch.float32 and onednn_linear.is_available()
            self._folded = folded_encoder.FoldedEncoder(encoder, dtype, packed=packed)
        except Exception as failed:
            # Another release's encoder may lack what is looked for here.
            if isinstance(failed, torch.OutOfMemoryError):
                raise
            self._fall_back(PLAIN, failed)
        else:
            self.way = FOLDED
            self._eager = self._folded.steps

    @property
    def packed(self) -> bool:
        """True if its products are oneDNN's."""
        return self._folded is not None and bool(self._folded.steps.how.packed)

    @property
    def step(self) -> int:
        """Frames of features to whose multiples batches are padded, so that shapes come again."""
        if self.way == PLAIN or self._folded is None:
            return 1
        return int(self._folded.step) * (1 if self.way == FOLDED else self.coarseness)

    def check(self) -> None:
        """Compare the folded encoder with NeMo's, which it replaces only if both are alike."""
        if self._folded is None:
            return
        try:
            folded_encoder.check_alike(self._encoder, self._folded, self._dtype)
        except Exception as failed:
            if isinstance(failed, torch.OutOfMemoryError):
                raise
            self._folded = None
            self._fall_back(PLAIN, failed)

    def take(self, way: str, longest: int) -> None:
        """Run the encoder by another way from here on, or by the one before it that works.

        Args:
            way: one of WAYS.
            longest: frames of features of the longest recording.
        """
        if self._folded is None or way == self.way:
            return
        self.way = way
        if way == PLAIN:
            return
        if self._folded.grow(longest):
            self.release()
        if way != COMPILED:
            self._folded.use(self._eager)
        elif self._compiled is not None:
            self._folded.use(self._compiled)
        else:
            self._try_compiling(longest)

    def _try_compiling(self, longest: int) -> None:
        started = time.monotonic()
        try:
            self._compile(longest)
        except Exception as failed:
            self._folded.use(self._eager)
            if isinstance(failed, torch.OutOfMemoryError):
                raise
            self._fall_back(GRAPHS, failed)
        else:
            self._compiled = self._folded.steps
        self.seconds += time.monotonic() - started

    def _compile(self, longest: int) -> None:
        """Compile a layer, once for all of them, and the subsampling; for every shape."""
        # The default needs a name for the user, which a container's user may lack.
        folder = Path(tempfile.gettempdir()) / f"asr-flywheel-inductor-{os.getuid()}"
        os.environ.setdefault(_CACHE, str(folder))
        folded, eager_how = self._folded, self._eager.how
        compiled_layer = torch.compile(folded_encoder.run_layer)
        compiled_subsample = torch.compile(folded_encoder.subsample)

        def run_layer(*arguments: Any) -> Any:  # noqa: ANN401
            x, weights, positions, own, masked, how = arguments
            if len(x) == 1:  # would be compiled anew
                return folded_encoder.run_layer(*arguments[:-1], eager_how)
            for tensor, sizes in ((x, (0, 1)), (own, (0, 1)), (masked, (0, 2)), (positions, (1,))):
                _mark_dynamic(tensor, sizes)
            return compiled_layer(x, weights, positions, own, masked, how)

        def subsample(x: Any, counts: Any, stages: Any, how: Any) -> Any:  # noqa: ANN401
            if len(x) == 1:
                return folded_encoder.subsample(x, counts, stages, eager_how)
            _mark_dynamic(x, (0, 1))
            for one in counts:
                _mark_dynamic(one, (0,))
            return compiled_subsample(x, counts, stages, how)

        how = eager_how._replace(in_place=False, convolution="taps", subsampling="taps")
        folded.use(folded_encoder.Steps(how, run_layer, subsample))
        bands = folded.bands
        device = next(self._encoder.parameters()).device
        with torch.inference_mode():
            # Two shapes show that a third is not compiled again.
            for rows, frames in ((4, longest), (3, max(longest // 2, 1))):
                counts = torch.full((rows,), frames, device=device)
                folded(torch.zeros(rows, bands, frames, device=device), counts)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    def __call__(
        self, features: torch.Tensor, counts: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode a batch, as NeMo's encoder does; see ``FoldedEncoder``."""
        if self.way == PLAIN or self._folded is None:
            output, counts = self._encoder(audio_signal=features.to(self._dtype), length=counts)
            return output, counts
        if self.way == FOLDED or not features.is_cuda:
            encoded: tuple[torch.Tensor, torch.Tensor] = self._folded(features, counts)
            return encoded
        if self._folded.grow(features.shape[-1]):
            self.release()
        return self._run_graph(self._folded.pad(features, self.step), counts)

    def _run_graph(
        self, features: torch.Tensor, counts: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        shape = (self.way, *features.shape)
        self._uses[shape] += 1
        graph = self._graphs.get(shape)
        wanted = self._uses[shape] >= _CAPTURED_AT_USE and len(self._graphs) < _MOST_GRAPHS
        if graph is None and wanted:
            graph = self._capture(shape, features, counts)
        if graph is not None:
            return graph.run(features, counts)
        encoded: tuple[torch.Tensor, torch.Tensor] = self._folded.encode(features, counts)
        return encoded

    def _capture(
        self, shape: tuple[str | int, ...], features: torch.Tensor, counts: torch.Tensor
    ) -> CapturedBatch | None:
        started = time.monotonic()
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        try:
            graph = CapturedBatch(self._folded.encode, features, counts, self._pool)
        except Exception as failed:  # noqa: BLE001 - decoding goes on without graphs
            # Lack of memory too: graphs keep theirs, and the batches need it.
            self.release()
            self._fall_back(FOLDED, failed)
            return None
        self._graphs[shape] = graph
        self.seconds += time.monotonic() - started
        return graph

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Encode by other weights from here on; see ``FoldedEncoder.load``."""
        if self._folded is not None:
            self._folded.load(state)

    def release(self) -> None:
        """Give back the memory of captured graphs."""
        self._graphs.clear()
        self._uses.clear()
        self._pool = None

    def describe(self) -> str:
        """Describe the way for the log, or "" for NeMo's own without a reason."""
        shapes = sum(shape[0] == self.way for shape in self._graphs)
        graphs = f" in CUDA graphs of {shapes} shapes" if shapes else ""
        seconds = f" ({self.seconds:.0f} s)" if self.seconds >= 1 else ""
        words = {
            PLAIN: "",
            FOLDED: ", encoder folded",
            GRAPHS: f", encoder folded{graphs}{seconds}",
            COMPILED: f", encoder folded and compiled{graphs}{seconds}",
        }[self.way]
        return f"{words}{self._why_not}"

    def _fall_back(self, way: str, failed: Exception) -> None:
        self.way = way
        reason = " ".join(f"{type(failed).__name__}: {failed}".split())[:_LONGEST_REASON]
        self._why_not = f", the encoder's next way failed: {type(failed).__name__}"
        if isinstance(failed, folded_encoder.UnsuitableEncoderError):
            self._why_not = f", encoder as NeMo runs it: {failed}"
        print(f"{PREFIX}{way} from here on: {reason}", flush=True)


class CapturedBatch:
    """A CUDA graph that encodes batches of one shape."""

    def __init__(
        self,
        encode: Callable[..., tuple[torch.Tensor, torch.Tensor]],
        features: torch.Tensor,
        counts: torch.Tensor,
        pool: Any,  # noqa: ANN401 - a handle
    ) -> None:
        """Capture the encoding of a batch that has been encoded once before."""
        self._features, self._counts = features.clone(), counts.clone()
        self._graph = torch.cuda.CUDAGraph()
        device = features.device
        current = torch.cuda.current_stream(device)
        side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        side.wait_stream(current)
        with torch.cuda.stream(side):
            # Other threads copy and decode meanwhile.
            self._graph.capture_begin(pool=pool, capture_error_mode="thread_local")
            try:
                self._output, self._lengths = encode(self._features, self._counts)
            finally:
                self._graph.capture_end()
        current.wait_stream(side)

    def run(
        self, features: torch.Tensor, counts: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode a batch of this shape; what is returned is a copy."""
        self._features.copy_(features)
        self._counts.copy_(counts)
        self._graph.replay()
        return self._output.clone(), self._lengths.clone()


def _mark_dynamic(tensor: torch.Tensor, sizes: tuple[int, ...]) -> None:
    """Have a compiler leave sizes of a tensor open."""
    for size in sizes:
        torch._dynamo.maybe_mark_dynamic(tensor, size)  # type: ignore[no-untyped-call]  # noqa: SLF001 - there is no public name
