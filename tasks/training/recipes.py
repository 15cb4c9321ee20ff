"""The named recipes of stock SFT (specification, 4d).

What a recipe does not set, such as AdamW's betas and weight decay, is the value of the YAML in use.

``verified`` holds the specification's values; ``conservative`` lowers the learning rate, against
forgetting; ``production`` is for manifests large enough for early stopping on validation WER;
``upper-layers`` leaves the lower layers of the encoder and all norms as they are; ``distilled``
trains fewer layers yet, and is taught the base's own outputs on general English.
"""

from __future__ import annotations

import math
import random
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from collections.abc import Sequence


class RecipeName(StrEnum):
    """The recipes that ship."""

    VERIFIED = "verified"
    CONSERVATIVE = "conservative"
    PRODUCTION = "production"
    UPPER_LAYERS = "upper-layers"
    DISTILLED = "distilled"


class Precision(StrEnum):
    """The number format of training on a GPU; a CPU always computes in fp32."""

    BF16 = "bf16-mixed"
    FP32 = "fp32"
    FP16 = "fp16-mixed"

    @property
    def lightning(self) -> str:
        """The name that Lightning's Trainer knows it by."""
        return {"fp32": "32-true", "fp16-mixed": "16-mixed"}.get(self.value, self.value)


class Recipe(BaseModel):
    """Hyperparameters of one tuning run; the defaults are the specification's verified values."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        RecipeName.VERIFIED.value,
        pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$",
        description="Small letters, digits and dashes; part of the run's folder name.",
    )
    lr: float = Field(3e-4, gt=0, le=1, description="Peak learning rate; cosine annealing.")
    min_lr: float = Field(5e-6, ge=0, description="Learning rate at the end of the schedule.")
    warmup_steps: int | None = Field(
        5, ge=0, description="Optimiser steps of warm-up; none: scaled to the data, 500 at most."
    )
    epochs: int = Field(3, ge=1, le=1000, description="3 is a smoke run; 10 to 30 for production.")
    early_stopping_patience: int | None = Field(
        None, ge=1, description="Epochs without a better validation WER before training stops."
    )
    batch_size: int = Field(
        4, ge=1, description="4 for 16 and 24 GB, 16 for 48 GB, 32 for 80 GB (rows up to 20 s)."
    )
    by_length: bool = Field(
        False,
        description="Rows of about one length in a batch, so that less is padded (NeMo's "
        "semi-sorted batches); the rows a batch stay.",
    )
    frozen_share: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the encoder's layers, from the first one on, that are not trained, "
        "nor what lies before them; with any share, no norm is trained either.",
    )
    distillation: float = Field(
        0.0,
        ge=0,
        le=100,
        description="Weight in the loss of the divergence from the base's own outputs on general "
        "English, on half of the set; 0: none.",
    )
    compiled: bool = Field(
        False,
        description="The encoder's layers compiled and replayed as CUDA graphs.",
    )
    fused_adamw: bool = Field(
        False,
        description="PyTorch's fused AdamW where layers are compiled; weights differ in their last "
        "bits.",
    )
    accumulate_grad_batches: int = Field(1, ge=1, description="Batches per optimiser step.")
    keep_checkpoints: int = Field(
        1,
        ge=1,
        le=20,
        description="So many checkpoints, the best by validation WER, are kept and averaged, "
        "weight by weight; the average is the tuned model.",
    )
    gradient_clip_val: float = Field(1.0, ge=0, description="Defensive.")
    precision: Precision = Field(
        Precision.BF16,
        description="On a GPU. fp16-mixed only if asked for: TDT's loss may overflow.",
    )
    min_duration: float = Field(0.1, ge=0, description="Seconds; NeMo drops shorter rows.")
    max_duration: float = Field(20.0, gt=0, description="Seconds; NeMo drops longer rows.")
    seed: int = Field(42, ge=0, lt=2**32, description="Seeds Python, NumPy, torch and workers.")

    @model_validator(mode="after")
    def _ends_below_its_peak(self) -> Self:
        """NeMo's schedule finds out only behind the warm-up, and ends the training there."""
        if self.min_lr > self.lr:
            raise ValueError(
                f"min_lr {self.min_lr:g} is over the peak, lr {self.lr:g}. "
                f"Fix: min_lr of at most {self.lr:g}."
            )
        return self

    @property
    def effective_batch(self) -> int:
        """Rows per optimiser step on one device."""
        return self.batch_size * self.accumulate_grad_batches

    @property
    def compilable(self) -> bool:
        """Whether layers could be compiled: of a whole encoder, with clinical rows only."""
        return not self.frozen_share and not self.distillation

    def frozen_layers(self, layers: int) -> int:
        """Return how many layers are not trained, of so many."""
        return math.floor(self.frozen_share * layers)

    def warmup_for(self, rows: int) -> int:
        """Return the warm-up in optimiser steps for a training set of ``rows`` rows.

        Where the recipe leaves it open: a tenth of all steps, at least the 5 that suit a tiny
        manifest and at most the 500 that suit production scale (specification, 4d).
        """
        if self.warmup_steps is not None:
            return self.warmup_steps
        steps = self.epochs * max(1, rows // self.effective_batch)
        return min(500, max(5, steps // 10))


# The verified run's 39 rows gave so many optimiser steps an epoch; with fewer, three epochs hardly
# move the weights (docs/log: batch 16 on 195 rows stayed at a validation WER of 1.0).
_LEAST_STEPS = 8
_SMALLEST_BATCH = 4
# Rows a batch by the GPU's memory: (from MiB, rows). The specification's values up to 48 GB; 32 on
# 80 GB as measured. Bound by rows of 20 s on the 617 M TDT base, whose peaks are 16.3, 33.2 and
# 44.7 GiB at 4, 16 and 32, and which 64 overflows (docs/log). So 16 GB holds a batch of
# 4 only if the rows are short; the ladder catches the rest.
_BATCH_BY_MEMORY = ((76_000, 32), (44_000, 16), (0, _SMALLEST_BATCH))
LENGTH_NOISE = 0.2
"""How far batches by length are from sorted: the share of the range of lengths that each row's
length is blurred by. 0.2 is what NeMo's sampler quotes from Ge et al., "Speed up training with
variable length inputs by efficient batching strategies", Interspeech 2021."""
# A small set's batches by length would be nearly the same ones in every epoch.
_LEAST_BATCHES_BY_LENGTH = 50
# On a CPU 28 % of padding saved made an epoch 1.45 times faster, 21 % 1.07 times.
_LEAST_PADDING_SAVED = 0.2
# A batch of the 617 M graph on an H200 took .28 s, and with compiled layers .12; plain layers wait
# for Python whatever the length of the rows. Compiling took 32 to 50 s for one shape of batches,
# and 112 s for four.
_STEP_GAIN_S = 0.1
_COMPILING_S = 50
_COMPILING_SHAPES_S = 115
# Rows that are padded to one shape, as they are all about as long.
_ONE_SHAPE = 1.1
# Early stopping may end a training sooner.
_COMPILING_MARGIN = 1.5
_LEAST_PARAMETERS_COMPILED = 100_000_000
# fp32 weights, their gradients and Adam's two moments.
_BYTES_PER_PARAMETER = 16


def batch_for(gpu_memory_mib: int, rows: int, devices: int = 1) -> int:
    """Return the rows a batch and GPU: the most that fit into memory and leave enough steps.

    Args:
        gpu_memory_mib: of the smallest GPU (specification, 4d); 0 for a CPU or an unknown one,
            which takes the smallest batch.
        rows: to train on; a batch is halved as long as an epoch has fewer than eight steps.
        devices: GPUs that share the rows.
    """
    batch = next(
        batch_size
        for least_memory, batch_size in _BATCH_BY_MEMORY
        if gpu_memory_mib >= least_memory
    )
    while batch > _SMALLEST_BATCH and rows // (batch * devices) < _LEAST_STEPS:
        batch //= 2
    return batch


def padding_saved(durations: Sequence[float], batch: int) -> float:
    """Return the share of an epoch's padded seconds that batches by length save; 0 at least.

    Args:
        durations: seconds of each row.
        batch: rows a batch.
    """
    # Sorted first, so that the manifest's order decides nothing.
    durations = sorted(durations)
    rng = random.Random(0)  # noqa: S311 - an estimate
    in_any_order = rng.sample(durations, len(durations))
    reach = LENGTH_NOISE * (durations[-1] - durations[0]) / 2 if durations else 0.0
    by_length = sorted(durations, key=lambda seconds: seconds + rng.uniform(-reach, reach))
    before = _padded_seconds(in_any_order, batch)
    return max(0.0, 1 - _padded_seconds(by_length, batch) / before) if before else 0.0


def _padded_seconds(durations: Sequence[float], batch: int) -> float:
    """Return the seconds to compute in batches of these rows, each as long as its longest row."""
    batches = (durations[at : at + batch] for at in range(0, len(durations), batch))
    return sum(max(rows) * len(rows) for rows in batches)


def worth_sorting(durations: Sequence[float], batch: int) -> bool:
    """Return whether batches by length gain: enough batches, and enough padding to save."""
    if len(durations) < batch * _LEAST_BATCHES_BY_LENGTH:
        return False
    return padding_saved(durations, batch) >= _LEAST_PADDING_SAVED


def worth_compiling(durations: Sequence[float], recipe: Recipe, parameters: int) -> bool:
    """Return whether compiled layers save more time than compiling takes.

    Args:
        durations: seconds of each row to train on.
        recipe: with the batch that will be used.
        parameters: of the base.
    """
    if parameters < _LEAST_PARAMETERS_COMPILED or recipe.precision is Precision.FP16:
        return False
    if not recipe.compilable:
        return False
    batches = recipe.epochs * math.ceil(len(durations) / recipe.batch_size)
    alike = max(durations, default=0.0) <= _ONE_SHAPE * min(durations, default=0.0)
    compiling = _COMPILING_S if alike else _COMPILING_SHAPES_S
    return batches * _STEP_GAIN_S >= compiling * _COMPILING_MARGIN


def least_memory_mib(parameters: int) -> int:
    """Return the MiB that full-model tuning needs before the first row, whatever the batch."""
    return parameters * _BYTES_PER_PARAMETER >> 20


# Four layers of the nine of an embedded base, found with seeds that no published figure rests on
# (docs/log/2026-11-30-upper-layers.md).
_FROZEN_SHARE = 0.45
# Seven of the nine (docs/log/2026-12-01-distillation.md).
_FROZEN_SHARE_DISTILLED = 0.78

_RECIPES = {
    RecipeName.VERIFIED: Recipe(),
    RecipeName.CONSERVATIVE: Recipe(name=RecipeName.CONSERVATIVE.value, lr=3e-5),
    RecipeName.PRODUCTION: Recipe(
        name=RecipeName.PRODUCTION.value, epochs=20, early_stopping_patience=3, warmup_steps=None
    ),
    RecipeName.UPPER_LAYERS: Recipe(
        name=RecipeName.UPPER_LAYERS.value, epochs=5, frozen_share=_FROZEN_SHARE
    ),
    RecipeName.DISTILLED: Recipe(
        name=RecipeName.DISTILLED.value,
        lr=1.5e-4,
        epochs=8,
        frozen_share=_FROZEN_SHARE_DISTILLED,
        distillation=3.0,
    ),
}


def recipe(name: RecipeName | str) -> Recipe:
    """Return a recipe by its name."""
    return _RECIPES[RecipeName(name)]
