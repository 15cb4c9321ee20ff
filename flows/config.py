"""The parameters of a flow: one pydantic model each, so that the form in the UI explains itself."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tasks.bases import RECOMMENDED
from tasks.recipes import Method, Recipe, RecipeName, recipe

Category = Literal["drug", "procedure", "anatomy", "condition", "lab", "role"]


class Runtime(StrEnum):
    """Where training runs."""

    LOCAL = "local"


class Comparison(StrEnum):
    """What the tuned model is compared with."""

    OFFLINE = "offline"
    IMPORTED = "imported"


class CycleConfig(BaseModel):
    """One turn of the flywheel."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cycle: Path = Field(
        title="Cycle folder", description="A folder named cycle<N> that holds manifest.jsonl."
    )
    base: str = Field(
        RECOMMENDED,
        title="Base model",
        description="A known name, the path of a .nemo file, or `embedded` for the demo's.",
    )
    priority: tuple[Category, ...] = Field(
        ("drug",),
        min_length=1,
        title="Priority categories",
        description="The gate and the decision look at these entity categories.",
    )
    recipe: RecipeName = Field(
        RecipeName.VERIFIED, title="Recipe", description="Named hyperparameters."
    )
    epochs: int | None = Field(
        None, ge=1, le=1000, title="Epochs", description="Instead of the recipe's."
    )
    max_duration: float | None = Field(
        None, gt=0, title="Longest row (s)", description="Instead of the recipe's."
    )
    seed: int = Field(42, ge=0, lt=2**32, title="Seed", description="Of the split and of training.")
    validation_fraction: float = Field(
        0.2, gt=0, lt=1, title="Held-out share", description="Of each category's rows."
    )
    method: Method = Field(
        Method.SFT, title="Method", description="Adapters are refused: they break TDT and RNN-T."
    )
    runtime: Runtime = Field(Runtime.LOCAL, title="Runtime", description="Where training runs.")
    stock_script: Path | None = Field(
        None,
        title="Stock script",
        description="Your copy of NeMo's speech_to_text_finetune.py, run unchanged.",
    )
    keep_style: bool = Field(
        False,
        title="Keep casing and punctuation",
        description="Train on the text as written, not in the base's style.",
    )
    audio_roots: tuple[Path, ...] = Field(
        (), title="More audio folders", description="Besides the cycle's own folder."
    )
    baseline: Path | None = Field(
        None,
        title="Baseline",
        description="per_sample.json or offline_hyps.jsonl; by default the cycle folder's.",
    )
    compare_with: Comparison = Field(
        Comparison.OFFLINE,
        title="Compare with",
        description="The base decoded offline by the same command, or the imported baseline.",
    )

    def full_recipe(self) -> Recipe:
        """The named recipe with what this run changes in it."""
        changes = {"epochs": self.epochs, "max_duration": self.max_duration, "seed": self.seed}
        return recipe(self.recipe).model_copy(
            update={name: value for name, value in changes.items() if value is not None}
        )
