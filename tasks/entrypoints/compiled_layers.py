"""The encoder's layers of a training, compiled and replayed as CUDA graphs.

A step of a large encoder waits for Python, which starts thousands of short kernels. Here
PyTorch's compiler fuses the kernels of a layer, and CUDA graphs start them all at once
(compiled_encoder.py). The rest of the step stays as NeMo has it: features, SpecAugment,
subsampling, decoder, joint and loss.

Where the compiler or the GPU does not do it, the log says so in one line, and training goes on
without.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import job_phases  # type: ignore[import-not-found]  # lies beside this file
import lightning.pytorch as pl
import torch
from compiled_encoder import (  # type: ignore[import-not-found]  # likewise
    GRAPHS,
    PREFIX,
    CompiledEncoder,
    begin_step,
    count_recordings,
    describe_failure,
)
from compiled_rehearsal import rehearse  # type: ignore[import-not-found]  # likewise
from loss_pieces import (  # type: ignore[import-not-found]  # likewise
    PiecewiseDraws,
    fitting_rows,
    join_pieces,
)
from padded_shapes import (  # type: ignore[import-not-found]  # likewise
    MOST_SHAPES,
    PaddedShapes,
    choose_shapes,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LEAST_CAPABILITY = 8
_ATTENTION = ("rel_pos", "abs_pos")
_NORMS = ("batch_norm", "layer_norm")
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


def grow_segments() -> None:
    """Let the allocator of GPU memory lengthen what it holds, instead of holding more pieces.

    The joint of each batch has a size of its own. Pieces that fitted no later batch were 1.2 to
    2.7 GiB of 18.
    """
    if torch.cuda.is_available():
        memory: Any = torch.cuda.memory
        settle = getattr(
            torch._C,  # noqa: SLF001 - what the older name calls now
            "_accelerator_setAllocatorSettings",
            getattr(memory, "_set_allocator_settings", None),
        )
        if settle is not None:
            settle("expandable_segments:True")


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
        self._draws: PiecewiseDraws | None = None
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
            raise UnfitModelError(describe_failure(failed)) from failed
        if torch.cuda.is_available():
            # What compiling took outside of the graphs' own memory, and no step needs.
            torch.cuda.empty_cache()
        self._compiled = compiled
        self._recorded = count_recordings()
        self._own_grads = not _copies_grads(trainer)
        return CompileOutcome(
            compiled=True,
            rows=shapes.rows,
            frames=shapes.frames,
            padding=shapes.padding,
            fused_adamw=self._order.fused_adamw and use_fused_adamw(trainer.optimizers),
            joint_rows=self._join_pieces(pl_module, shapes, [row["text"] for row in rows]),
        )

    def _join_pieces(self, model: Any, shapes: PaddedShapes, texts: list[str]) -> int | None:  # noqa: ANN401
        """Let joint and loss take as many rows at once as memory allows; how many they take."""
        joint = getattr(model, "joint", None)
        if joint is None or not getattr(joint, "fuse_loss_wer", False):
            return None
        if torch.cuda.is_available():
            self._draws = join_pieces(joint, fitting_rows(model, shapes, texts))
        return int(joint.fused_batch_size)

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
            self._compiled.readers.begin_step()
            begin_step()

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
        if self._draws is not None:
            self._draws.remove()


def _require_fit(trainer: Any, model: Any, backend: str) -> None:  # noqa: ANN401
    """Refuse what this was not made for.

    Raises:
        UnfitModelError: names it.
    """
    encoder = getattr(model, "encoder", None)
    kinds = {type(layer).__name__ for layer in getattr(encoder, "layers", None) or ()}
    if kinds != {"ConformerLayer"}:
        raise UnfitModelError("the encoder is no Conformer")
    if trainer.world_size > 1 and any(
        isinstance(module, torch.nn.SyncBatchNorm) for module in model.modules()
    ):
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
    if not all(parameter.requires_grad for parameter in encoder.layers.parameters()):
        yield "layers that are not trained"
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
