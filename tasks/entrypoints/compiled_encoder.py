"""An encoder whose layers are compiled for a few shapes, and replayed as CUDA graphs.

A graph is good for one shape. So a batch is padded to one of a few shapes (padded_shapes.py) behind
the subsampling, and cut to its own shape behind the last layer. What is computed stays the same:
attention and convolution are masked as NeMo masks a short row, and batch norm counts the batch's
own frames only. NeMo's batch norm counts a short row's padding up to the batch's longest row; that
stays so.

To save memory the backward pass computes again what is cheap to compute: about half of what the
layers made on the way, and the subsampling, whose results are large and its products small.

Nothing is renamed: layers keep their classes, parameters and names in a checkpoint. Validation runs
the layers as they were.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from gradient_readers import GradientReaders  # type: ignore[import-not-found]  # lies beside this
from torch.utils.checkpoint import checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from padded_shapes import PaddedShapes  # type: ignore[import-not-found]  # lies beside this file

PREFIX = "compiled layers: "
"""Begins each line of these modules, so that no reader of a log takes it for a fault."""
MODE = "reduce-overhead"
"""The compiler's mode that replays CUDA graphs."""
GRAPHS = "inductor"
"""The backend of torch.compile that makes fused kernels and CUDA graphs; others are for a CPU."""
KEPT = 0.6
"""The share of the layers' activations that is kept for the backward pass."""
_LONGEST = 300
_MOST_VERSIONS = 64  # of a layer's code, well above the shapes of a training


class CountedBatchNorm(torch.nn.BatchNorm1d):
    """Batch norm over (rows, channels, frames) that counts some of the frames only.

    It shares the parameters and buffers of the layer that it replaces, under the same names. While
    it trains with ``counted``, mean and variance are those of the counted frames; without, and in
    evaluation, it is a plain batch norm.
    """

    counted: torch.Tensor | None = None
    """1 for each frame that counts, as floats of (rows, 1, frames).

    The compiler takes a module's tensor for one that never moves. So it must be the same tensor,
    filled anew, for all batches of a shape; otherwise every batch is recorded again.
    """

    def __init__(self, plain: Any) -> None:  # noqa: ANN401 - BatchNorm1d or SyncBatchNorm
        """Take over the parameters and running statistics of a batch norm."""
        super().__init__(plain.num_features, eps=plain.eps, momentum=plain.momentum)
        self.weight, self.bias = plain.weight, plain.bias
        self.running_mean, self.running_var = plain.running_mean, plain.running_var
        self.num_batches_tracked = plain.num_batches_tracked
        self.train(plain.training)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the normalised frames, in the type that they came in."""
        counted = self.counted
        if not self.training or counted is None:
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            frames = x.float()
            count = counted.sum()
            mean = (frames * counted).sum(dim=(0, 2)) / count
            centred = frames - mean[:, None]
            variance = (centred.square() * counted).sum(dim=(0, 2)) / count
            self._track(mean.detach(), variance.detach() * (count / (count - 1)))
            scale = torch.rsqrt(variance + self.eps) * self.weight
            return (centred * scale[:, None] + self.bias[:, None]).to(x.dtype)

    @torch.no_grad()
    def _track(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        """Move the running statistics as PyTorch does."""
        assert self.running_mean is not None  # noqa: S101 - refused otherwise
        assert self.running_var is not None  # noqa: S101
        assert self.num_batches_tracked is not None  # noqa: S101
        assert self.momentum is not None  # noqa: S101
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


@dataclass
class EncoderPadding:
    """What the hooks around one forward pass of the encoder tell each other."""

    batch: tuple[int, int] | None = None
    """Rows and frames of the batch before it was padded; None while no batch is padded."""
    misfits: int = 0


@dataclass
class CompiledEncoder:
    """An encoder whose layers are compiled for some shapes.

    Attributes:
        encoder: NeMo's ConformerEncoder.
        shapes: that batches are padded to.
        backend: of torch.compile.
        mode: of the compiler; None for its own, without CUDA graphs.
        kept: the share of the layers' activations that the compiler keeps; it takes it as a hint.
        broken: why layers are not compiled any more, "" while they are.
        padding: of the batch that runs.
        rehearsing: whether a failure of the compiler is raised.
        readers: of the gradients that the layers' backward passes leave in the graphs' memory.
    """

    encoder: Any
    shapes: PaddedShapes
    backend: str = GRAPHS
    mode: str | None = MODE
    kept: float = KEPT
    broken: str = ""
    rehearsing: bool = False
    padding: EncoderPadding = field(default_factory=EncoderPadding)
    readers: GradientReaders = field(init=False)

    def install(self) -> None:
        """Put the compiled layers in the place of the plain ones."""
        self.readers = GradientReaders(self.encoder.layers.parameters())
        self._norms = [_count_frames(layer) for layer in self.encoder.layers]
        self._counted: dict[int, torch.Tensor] = {}
        _allow_shapes()
        # Other backends have random operators of their own, which no mark keeps.
        _keep_activations(self.kept if self.backend == GRAPHS else 1.0)
        compiled = _compile(type(self.encoder.layers[0]).forward, self.backend, self.mode)
        self._hooked = [self.encoder, self.encoder.pre_encode, *self.encoder.layers]
        self.encoder.forward = self._cut(self.encoder.forward)
        self.encoder.pre_encode.forward = self._pad(self.encoder.pre_encode.forward)
        for layer in self.encoder.layers:
            layer.forward = self._choose(layer, layer.forward, compiled)

    def give_up(self, because: str) -> None:
        """Run plain layers from here on, and say why."""
        self.broken = because
        print(f"{PREFIX}not any more, plain layers from here on: {because}", flush=True)

    def remove(self) -> None:
        """Leave the encoder as it was; a batch norm that counts no frames is a plain one."""
        for module in self._hooked:
            with suppress(AttributeError):
                del module.forward  # the class's own is found again
        self._count(None)
        self.readers.remove()

    @torch.no_grad()
    def _mark_counted(
        self, rows: int, frames: int, bound: int, device: torch.device
    ) -> torch.Tensor:
        """Mark a batch's own frames in the tensor of its shape, which stays where it is."""
        if bound not in self._counted:
            self._counted[bound] = torch.empty(self.shapes.rows, 1, bound, device=device)
        counted = self._counted[bound]
        counted.zero_()
        counted[:rows, :, :frames] = 1
        return counted

    def _count(self, counted: torch.Tensor | None) -> None:
        for norm in self._norms:
            if norm is not None:
                norm.counted = counted

    def _pad(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap the subsampling: pad what it returns, as the layers get it."""

        def pre_encode(*args: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: ANN401
            self.padding.batch = None
            if not self.encoder.training:
                x, lengths = plain(*args, **kwargs)
                return x, lengths
            # It draws nothing and keeps no statistics, so that its second time is its first one.
            x, lengths = checkpoint(
                plain, *args, use_reentrant=False, preserve_rng_state=False, **kwargs
            )
            rows, frames, _ = x.shape
            bound = None if self.broken else self.shapes.fitting(rows, frames)
            if bound is None:
                if not self.broken:
                    self._tell_misfit(rows, frames)
                self._count(None)
                return x, lengths
            self.padding.batch = rows, frames
            more = self.shapes.rows - rows
            x = torch.nn.functional.pad(x, (0, 0, 0, bound - frames, 0, more))
            lengths = torch.nn.functional.pad(lengths, (0, more))
            self._count(self._mark_counted(rows, frames, bound, x.device))
            return x, lengths

        return pre_encode

    def _cut(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap the encoder: cut what it returns to the batch's own rows and frames."""

        def forward(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            encoded = plain(*args, **kwargs)
            if self.padding.batch is None:
                return encoded
            (rows, frames), self.padding.batch = self.padding.batch, None
            return encoded[0][:rows, :, :frames], encoded[1][:rows], *encoded[2:]

        return forward

    def _choose(
        self,
        layer: Any,  # noqa: ANN401 - a ConformerLayer
        plain: Callable[..., Any],
        compiled: Callable[..., Any],
    ) -> Callable[..., Any]:
        """Wrap a layer: compiled for a padded batch, plain for any other."""

        def forward(x: torch.Tensor, **kwargs: Any) -> Any:  # noqa: ANN401
            if self.padding.batch is None or self.broken:
                return plain(x, **kwargs)
            try:
                made = compiled(layer, x, **kwargs)
            except _compiler_errors() as failed:
                if self.rehearsing:
                    raise
                # It is raised before anything was computed.
                self.give_up(describe_failure(failed))
                return plain(x, **kwargs)
            self.readers.await_before_backward(made)
            return made

        return forward

    def _tell_misfit(self, rows: int, frames: int) -> None:
        if not self.padding.misfits:
            print(
                f"{PREFIX}a batch of {rows} rows and {frames} frames fits no shape; such batches "
                "run through plain layers",
                flush=True,
            )
        self.padding.misfits += 1


def _count_frames(layer: Any) -> CountedBatchNorm | None:  # noqa: ANN401 - a ConformerLayer
    """Put a batch norm that counts frames into a layer; None where it has no batch norm."""
    if layer.conv.norm_type != "batch_norm":
        return None
    if not isinstance(layer.conv.batch_norm, CountedBatchNorm):
        layer.conv.batch_norm = CountedBatchNorm(layer.conv.batch_norm)
    norm: CountedBatchNorm = layer.conv.batch_norm
    return norm


def _compile(function: Callable[..., Any], backend: str, mode: str | None) -> Callable[..., Any]:
    """Compile a function of one layer: all share its code, so it is compiled once a shape."""
    settings: dict[str, Any] = {"mode": mode} if backend == GRAPHS else {}
    return torch.compile(function, backend=backend, fullgraph=True, dynamic=False, **settings)


def _allow_shapes() -> None:
    """Let the compiler keep every shape of a layer; it gives up at its own limit of eight."""
    config: Any = torch._dynamo.config  # noqa: SLF001 - the documented place
    name = "recompile_limit" if hasattr(config, "recompile_limit") else "cache_size_limit"
    setattr(config, name, max(getattr(config, name), _MOST_VERSIONS))
    # It would cut each layer by DDP's buckets of gradients, to overlap with other ranks.
    config.optimize_ddp = False


def _keep_activations(share: float) -> None:
    """Tell the compiler how much of a layer's activations to keep, where it can be told.

    Where it cannot be told to keep its seeds, it keeps all: its dropout would be drawn anew.
    """
    import torch._functorch.config as partitioning  # noqa: PLC0415 - only to compile

    settings: Any = partitioning
    if hasattr(settings, "activation_memory_budget"):
        settings.activation_memory_budget = share if _keep_seeds() else 1.0


def _keep_seeds() -> bool:
    """Have the compiler keep its seeds of dropout; whether this release can be told so."""
    try:
        from saved_seeds import (  # type: ignore[import-not-found]  # noqa: PLC0415 - only to compile
            keep_seeds,
        )
    except ImportError:  # an older PyTorch has no such passes
        return False
    return bool(keep_seeds())


def _compiler_errors() -> tuple[type[Exception], ...]:
    errors: list[type[Exception]] = [torch._dynamo.exc.TorchDynamoException]  # noqa: SLF001
    with suppress(ImportError, AttributeError):
        from torch._inductor.exc import InductorError  # noqa: PLC0415 - not in every release

        errors.append(InductorError)
    return tuple(errors)


def describe_failure(failed: BaseException) -> str:
    """Return the kind of a failure and the beginning of what it says, in one line."""
    return f"{type(failed).__name__}: {' '.join(str(failed).split())[:_LONGEST]}"


def count_recordings() -> int:
    """Return the graphs that this process has recorded so far; 0 where that cannot be told."""
    if not torch.cuda.is_available():
        return 0
    with suppress(ImportError, AttributeError):
        from torch._inductor import cudagraph_trees  # noqa: PLC0415 - slow, and not needed on a CPU

        trees: Any = cudagraph_trees
        manager = trees.get_manager(torch.cuda.current_device(), create_if_none_exists=False)
        return int(manager.debug_fail_counter) if manager is not None else 0
    return 0


def begin_step() -> None:
    """Tell the graphs that nothing of the step before is needed any more."""
    mark: Any = torch.compiler.cudagraph_mark_step_begin
    mark()
