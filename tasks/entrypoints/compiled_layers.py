"""The encoder's layers of a training, compiled and replayed as CUDA graphs.

A step of a large encoder waits for Python, which starts thousands of short kernels. Here
PyTorch's compiler fuses the kernels of a layer, and CUDA graphs start them all at once. The rest of
the step stays as NeMo has it: features, SpecAugment, subsampling, decoder, joint and loss.

A graph is good for one shape. So a batch is padded to one of a few shapes (padded_shapes.py) behind
the subsampling, and cut to its own shape behind the last layer. What is computed stays the same:
attention and convolution are masked as NeMo masks a short row, and batch norm counts the batch's
own frames only. NeMo's batch norm counts a short row's padding up to the batch's longest row; that
stays so.

Nothing is renamed: layers keep their classes, parameters and names in a checkpoint. Validation runs
the layers as they were. Where the compiler or the GPU does not do it, the log says so in one line,
and training goes on without.
"""

from __future__ import annotations

import json
import os
import random
import time
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import job_phases  # type: ignore[import-not-found]  # lies beside this file
import lightning.pytorch as pl
import torch
from padded_shapes import (  # type: ignore[import-not-found]  # likewise
    MOST_SHAPES,
    PaddedShapes,
    choose_shapes,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PREFIX = "compiled layers: "
"""Begins each line of this module, so that no reader of a log takes it for a fault."""
MODE = "reduce-overhead"
"""The compiler's mode that replays CUDA graphs."""
GRAPHS = "inductor"
"""The backend of torch.compile that makes fused kernels and CUDA graphs; others are for a CPU."""
_LEAST_CAPABILITY = 8
_ATTENTION = ("rel_pos", "abs_pos")
_NORMS = ("batch_norm", "layer_norm")
_LONGEST = 300
_MOST_VERSIONS = 64  # of a layer's code, well above the shapes of a training
# A joint's element: logits in bf16 and fp32, the gradients of both, and what is between.
_JOINT_BYTES = 16
_JOINT_SHARE = 0.15  # of the GPU's memory, for the joint of one piece
_LONGEST_TEXTS = 50
_MOST_RECORDING_BATCHES = 12  # well above the shapes of a training


class UnfitModelError(Exception):
    """A model, GPU or setting with which layers are not compiled; says why."""


@dataclass
class CompileOutcome:
    """What became of the order to compile.

    Attributes:
        compiled: whether layers are.
        because: why not.
        seconds: of compiling and recording.
        rows: of the padded batches.
        frames: that batches are padded to.
        padding: the share of frames that this adds to the batches' longest rows, as estimated.
        fused_adamw: whether the optimiser is PyTorch's fused one.
        joint_rows: rows that joint and loss take at once; None without a joint.
    """

    compiled: bool = False
    because: str = ""
    seconds: float = 0.0
    rows: int = 0
    frames: tuple[int, ...] = ()
    padding: float = 0.0
    fused_adamw: bool = False
    joint_rows: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome for the start event."""
        return {**asdict(self), "frames": list(self.frames), "seconds": round(self.seconds, 1)}


@dataclass(frozen=True)
class CompileOrder:
    """What the request asks for.

    Attributes:
        rows: of a batch.
        by_length: whether the rows of a batch are of about one length.
        fused_adamw: whether to take the fused optimiser as well.
        backend: of torch.compile.
        most: shapes.
    """

    rows: int
    by_length: bool = False
    fused_adamw: bool = True
    backend: str = GRAPHS
    most: int = MOST_SHAPES


def keep_caches_in(folder: Path) -> None:
    """Let the compiler write into a folder that is ours; a home may be missing or read-only."""
    for name, part in (("TORCHINDUCTOR_CACHE_DIR", "inductor"), ("TRITON_CACHE_DIR", "triton")):
        # Importing Lightning sets one of them, to a folder below /tmp.
        os.environ[name] = str(folder / part)


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
        broken: why layers are not compiled any more, "" while they are.
        padding: of the batch that runs.
        rehearsing: whether a failure of the compiler is raised.
    """

    encoder: Any
    shapes: PaddedShapes
    backend: str = GRAPHS
    mode: str | None = MODE
    broken: str = ""
    rehearsing: bool = False
    padding: EncoderPadding = field(default_factory=EncoderPadding)

    def install(self) -> None:
        """Put the compiled layers in the place of the plain ones."""
        self._norms = [_count_frames(layer) for layer in self.encoder.layers]
        self._counted: dict[int, torch.Tensor] = {}
        _allow_shapes()
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
            x, lengths = plain(*args, **kwargs)
            self.padding.batch = None
            rows, frames, _ = x.shape
            if not self.encoder.training:
                return x, lengths
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
                return compiled(layer, x, **kwargs)
            except _compiler_errors() as failed:
                if self.rehearsing:
                    raise
                # It is raised before anything was computed.
                self.give_up(_words(failed))
                return plain(x, **kwargs)

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


def _compiler_errors() -> tuple[type[Exception], ...]:
    errors: list[type[Exception]] = [torch._dynamo.exc.TorchDynamoException]  # noqa: SLF001
    with suppress(ImportError, AttributeError):
        from torch._inductor.exc import InductorError  # noqa: PLC0415 - not in every release

        errors.append(InductorError)
    return tuple(errors)


def _words(failed: BaseException) -> str:
    return f"{type(failed).__name__}: {' '.join(str(failed).split())[:_LONGEST]}"


class CompileCallback(pl.Callback):
    """Compiles the layers when model and data are ready, and keeps them compiled while training."""

    def __init__(self, order: CompileOrder, manifest: Path) -> None:
        """Take what the request asks for.

        Args:
            order: of the request.
            manifest: of the rows to train on.
        """
        self._order = order
        self._manifest = manifest
        self._compiled: CompiledEncoder | None = None
        self._own_grads = False
        self._recorded = 0
        self._recording_batches = 0
        self.outcome = CompileOutcome(because="training has not begun")

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ANN401
        """Compile and record every shape, before the first batch."""
        started = time.monotonic()
        try:
            with job_phases.within("compile"):
                self.outcome = self._prepare(trainer, pl_module)
        except UnfitModelError as unfit:
            self.outcome = CompileOutcome(because=str(unfit))
            print(f"{PREFIX}no, plain layers instead: {unfit}", flush=True)
        else:
            self.outcome.seconds = time.monotonic() - started
            frames = ", ".join(map(str, self.outcome.frames))
            print(
                f"{PREFIX}yes, for {self.outcome.rows} rows of {frames} frames, in "
                f"{self.outcome.seconds:.0f} s; padding adds {self.outcome.padding:.1%}",
                flush=True,
            )

    def _prepare(self, trainer: Any, pl_module: Any) -> CompileOutcome:  # noqa: ANN401
        _require_fit(trainer, pl_module, self._order.backend)
        encoder = pl_module.encoder
        rows = [json.loads(line) for line in self._manifest.read_text("utf-8").splitlines()]
        shapes = choose_shapes(
            [row["duration"] for row in rows],
            self._order.rows,
            _frame_s(pl_module),
            by_length=self._order.by_length,
            most=self._order.most,
        )
        compiled = CompiledEncoder(encoder, shapes, self._order.backend)
        # One rank: the longest of all ranks is its own, and asking for it waits for the GPU.
        encoder.sync_max_audio_length = False
        compiled.install()
        try:
            rehearse(compiled, trainer.precision_plugin.train_step_context)
        except Exception as failed:
            compiled.remove()
            if isinstance(failed, torch.OutOfMemoryError) or "out of memory" in str(failed):
                raise  # with a smaller batch, by the fallback of the one who started this
            raise UnfitModelError(_words(failed)) from failed
        self._compiled = compiled
        self._recorded = count_recordings()
        self._own_grads = not _copies_grads(trainer)
        return CompileOutcome(
            compiled=True,
            rows=shapes.rows,
            frames=shapes.frames,
            padding=shapes.padding,
            fused_adamw=self._order.fused_adamw and use_fused_adamw(trainer.optimizers),
            joint_rows=join_pieces(pl_module, shapes, [row["text"] for row in rows]),
        )

    def on_train_batch_start(
        self,
        trainer: Any,  # noqa: ANN401, ARG002
        pl_module: Any,  # noqa: ANN401, ARG002
        batch: Any,  # noqa: ANN401, ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Tell the graphs that a new step begins, also where the last one had no backward pass."""
        if self._compiled is not None:
            self._watch_recordings(self._compiled)
            _begin_step()

    def _watch_recordings(self, compiled: CompiledEncoder) -> None:
        """Give up where batch after batch is recorded instead of replayed: that is far slower."""
        recorded, before = count_recordings(), self._recorded
        self._recorded = recorded
        if recorded > before and not compiled.broken:
            self._recording_batches += 1
            if self._recording_batches > _MOST_RECORDING_BATCHES:
                compiled.give_up(
                    f"{self._recording_batches} batches were recorded as graphs again, "
                    f"{recorded} graphs in all"
                )

    def on_before_backward(
        self,
        trainer: Any,  # noqa: ANN401
        pl_module: Any,  # noqa: ANN401, ARG002
        loss: Any,  # noqa: ANN401, ARG002
    ) -> None:
        """Give gradients memory of their own where they must outlive the step.

        Otherwise a parameter keeps the graph's own output, which the next batch overwrites.
        """
        if self._compiled is not None and (self._own_grads or trainer.accumulate_grad_batches > 1):
            for parameter in self._compiled.encoder.layers.parameters():
                if parameter.grad is None and parameter.requires_grad:
                    parameter.grad = torch.zeros_like(parameter)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ANN401, ARG002
        """Leave the model as it was, for what the script does afterwards."""
        if self._compiled is not None:
            self._compiled.remove()


def _require_fit(trainer: Any, model: Any, backend: str) -> None:  # noqa: ANN401
    """Refuse what this was not made for.

    Raises:
        UnfitModelError: names it.
    """
    encoder = getattr(model, "encoder", None)
    kinds = {type(layer).__name__ for layer in getattr(encoder, "layers", None) or ()}
    if kinds != {"ConformerLayer"}:
        raise UnfitModelError("the encoder is no Conformer")
    if trainer.world_size > 1:
        raise UnfitModelError("several GPUs share their batch norm, which no graph can")
    if trainer.precision == "16-mixed":
        raise UnfitModelError("fp16 scales its losses")
    if backend == GRAPHS:
        _require_gpu()
    for unfit in _reasons(model, encoder):
        raise UnfitModelError(unfit)


def _require_gpu() -> None:
    """Refuse a machine without a GPU that fits.

    Raises:
        UnfitModelError: there is none.
    """
    if not torch.cuda.is_available():
        raise UnfitModelError("there is no GPU")
    major, minor = torch.cuda.get_device_capability()
    if major < _LEAST_CAPABILITY:
        raise UnfitModelError(f"a GPU of compute capability {major}.{minor}, and 8.0 is wanted")


def _reasons(model: Any, encoder: Any) -> Iterator[str]:  # noqa: ANN401
    """Yield each reason why this Conformer's layers are not padded and compiled."""
    layer = encoder.layers[0]
    if layer.self_attention_model not in _ATTENTION:
        yield f"attention of the kind {layer.self_attention_model}"
    if layer.conv.norm_type not in _NORMS:
        yield f"a norm of the kind {layer.conv.norm_type}"
    norm = layer.conv.batch_norm
    if layer.conv.norm_type == "batch_norm" and (norm.momentum is None or not norm.affine):
        yield "a batch norm of an unusual kind"
    if isinstance(encoder.pre_encode, torch.nn.Linear):
        yield "an encoder without subsampling"
    if encoder.reduction_position is not None:
        yield "an encoder that reduces its frames between layers"
    if getattr(encoder, "is_adapter_available", lambda: False)():
        yield "an encoder with adapters"
    if getattr(model, "is_interctc_enabled", lambda: False)():
        yield "losses between the layers"


def _frame_s(model: Any) -> float:  # noqa: ANN401 - a NeMo model
    """Return the seconds between two frames of the layers."""
    stride = float(model.cfg.preprocessor.window_stride)
    return stride * int(model.encoder.subsampling_factor)


def _copies_grads(trainer: Any) -> bool:  # noqa: ANN401
    """Return whether DDP copies each gradient into memory of its own, as the stock YAML says."""
    model = trainer.strategy.model
    return bool(getattr(model, "gradient_as_bucket_view", False))


def rehearse(compiled: CompiledEncoder, precision: Callable[[], Any] = nullcontext) -> None:
    """Run every shape forward and backward on silence: compile, record, and leave no trace.

    Running statistics, gradients and generators are afterwards what they were before. The largest
    shape comes first, so that the graphs of the others fit into its memory.

    Args:
        compiled: is installed.
        precision: the context of a training step.
    """
    encoder = compiled.encoder
    some = next(encoder.parameters())
    compiled.rehearsing = True
    with _unchanged(encoder), torch.enable_grad():
        encoder.train()
        for frames in reversed(compiled.shapes.frames):
            length = (frames - 1) * int(encoder.subsampling_factor)
            # The first run compiles, the second one records, the third one replays.
            for _ in range(3 if some.is_cuda else 1):
                _begin_step()
                features = torch.zeros(
                    compiled.shapes.rows,
                    encoder._feat_in,  # noqa: SLF001 - it has no other name
                    length,
                    device=some.device,
                ).requires_grad_()
                lengths = torch.full((compiled.shapes.rows,), length, device=some.device)
                with precision():
                    encoded, _ = encoder(audio_signal=features, length=lengths)
                # Of the features alone: no gradient of a weight outlives its layer's pass, as in
                # a training whose gradients are copied away.
                torch.autograd.grad(encoded.float().sum(), [features])
        if some.is_cuda:
            torch.cuda.synchronize()
    compiled.rehearsing = False


@contextmanager
def _unchanged(encoder: Any) -> Iterator[None]:  # noqa: ANN401
    """Put buffers, modes and generators back afterwards."""
    # A checkpoint has no others; masks and tables of positions may grow.
    saved = {name: buffer.clone() for name, buffer in encoder.named_buffers() if "norm" in name}
    modes = {module: module.training for module in encoder.modules()}
    state = random.getstate()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(state)
        for module, training in modes.items():
            module.training = training
        with torch.no_grad():
            for name, buffer in encoder.named_buffers():
                if name in saved:
                    buffer.copy_(saved[name])


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


def _begin_step() -> None:
    """Tell the graphs that nothing of the step before is needed any more."""
    mark: Any = torch.compiler.cudagraph_mark_step_begin
    mark()


def use_fused_adamw(optimizers: list[Any]) -> bool:
    """Let AdamW update all weights in one kernel; whether it does.

    The sums are the same in another order, so the weights differ in their last bits.
    """
    done = False
    for optimizer in optimizers:
        plain: Any = getattr(optimizer, "optimizer", optimizer)
        tensors = [tensor for group in plain.param_groups for tensor in group["params"]]
        fits = type(plain) is torch.optim.AdamW and all(
            tensor.is_cuda and tensor.is_floating_point() for tensor in tensors
        )
        if not fits or any(group.get("capturable") for group in plain.param_groups):
            continue
        for group in plain.param_groups:
            # Not when it is made: Lightning then takes it for one that unscales gradients itself,
            # and refuses to clip them.
            group["fused"], group["foreach"] = True, False
        for state in plain.state.values():
            if "step" in state:  # of a checkpoint
                state["step"] = state["step"].to(tensors[0].device, torch.float32)
        done = True
    return done


def join_pieces(model: Any, shapes: PaddedShapes, texts: list[str]) -> int | None:  # noqa: ANN401
    """Let joint and loss take as many rows at once as memory allows; how many they take.

    Losses are added up over all pieces before they are averaged, so that pieces do not change them.
    """
    joint = getattr(model, "joint", None)
    if joint is None or not getattr(joint, "fuse_loss_wer", False):
        return None
    before = int(joint.fused_batch_size)
    if torch.cuda.is_available():
        longest = sorted(texts, key=len)[-_LONGEST_TEXTS:]
        labels = max(len(model.tokenizer.text_to_ids(text)) for text in longest) + 1
        elements = shapes.frames[-1] * labels * int(joint.num_classes_with_blank)
        memory = torch.cuda.get_device_properties(0).total_memory * _JOINT_SHARE
        fitting = int(memory / (elements * _JOINT_BYTES))
        joint.set_fused_batch_size(max(before, min(shapes.rows, fitting)))
    return int(joint.fused_batch_size)
