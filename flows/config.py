"""What a flow is asked: one pydantic model each, so that the form in the UI explains itself.

Here are those of a cycle; config_fields.py has the fields that several flows share.
"""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from blocks.parameter_types import (
    NO_GENERAL,
    SERVER_TAKES_ABSOLUTE,
    SERVER_TAKES_GENERAL,
    StoreName,
    TrackingName,
)
from flows.config_fields import (
    AudioRootsField,
    BaselineSource,
    Category,
    ContainerBlockField,
    ContainerField,
    CycleField,
    NoTextsField,
    RuntimeField,
    RuntimeName,
    ShardsField,
    SlurmBlockField,
    SlurmField,
    TrustField,
    WhenBusy,
    WhenBusyField,
)
from flows.parameters_without_effect import CYCLE_RULES
from tasks.common.effect_rules import refuse_effectless
from tasks.common.parameter_model import ParameterModel
from tasks.data.split_parts import Disjointness
from tasks.models.catalog import RECOMMENDED, Method
from tasks.runtimes.container_settings import ContainerSettings
from tasks.runtimes.slurm.settings import SlurmSettings
from tasks.training.recipes import Precision, RecipeName
from tasks.training.remedies import MOST as MOST_REMEDIES
from tasks.transcription.variants import DEFAULT_VARIANTS, MOST_JUDGED, MOST_VARIANTS

# Where a host is not paid by the hour; there it is 0.
_REMEDIES = 1


class CycleConfig(ParameterModel):
    """One run of the flywheel on one cycle."""

    cycle: CycleField
    base: str = Field(
        RECOMMENDED,
        title="Base model",
        description="A known name, the path of a .nemo file, or `embedded`, `embedded-tdt` or "
        "`embedded-rnnt` for this project's own.",
    )
    trust: TrustField = False
    priority: tuple[Category, ...] = Field(
        ("drug",),
        min_length=1,
        title="Priority categories",
        description="The gate and the decision look at these entity categories.",
    )
    recipe: RecipeName = Field(
        RecipeName.VERIFIED, title="Recipe", description="Named hyperparameters."
    )
    recipe_block: str | None = Field(
        None,
        title="Recipe block",
        description="Name of a saved Tuning Recipe block, which counts instead.",
    )
    gate_policy_block: str | None = Field(
        None,
        title="Gate policy block",
        description="Name of a saved Gate Policy block; without one the specification's.",
    )
    epochs: int | None = Field(
        None,
        ge=1,
        le=1000,
        title="Epochs",
        description="Passes over the training rows, instead of the recipe's.",
    )
    keep_checkpoints: int | None = Field(
        None,
        ge=1,
        le=20,
        title="Keep checkpoints",
        description="The tuned model is the average of so many checkpoints, the best by validation "
        "WER, instead of the recipe's number, by default 1. Where too few rows could choose it is "
        "the last one.",
    )
    batch: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] | None = Field(
        None,
        title="Batch",
        examples=[8],
        description="Rows a batch and GPU: by default the recipe's 4; auto: what the GPU's memory "
        "and the number of rows make worth while; on a CPU also rows of about one length, where "
        "that saves padding. The effective batch is in the run's record.",
    )
    precision: Precision | None = Field(
        None,
        title="Precision",
        description="Instead of the recipe's, on a GPU. fp16-mixed only where fp32 is too slow: a "
        "loss that is no number ends the run.",
    )
    compile: Literal["auto", "on", "off"] = Field(
        "auto",
        title="Compile",
        description="Whether the encoder's layers train compiled, as CUDA graphs. auto does it on "
        "one GPU, for a large base and so many batches that compiling pays. Where compiler or GPU "
        "do not do it, training goes on without and says so.",
    )
    fused_adamw: bool = Field(
        True,
        title="Fused AdamW",
        description="Where layers are compiled, update all weights in one kernel; they differ in "
        "their last bits.",
    )
    max_duration: float | None = Field(
        None,
        gt=0,
        title="Longest row (s)",
        examples=[20],
        description="Longest row in seconds, instead of the recipe's.",
    )
    seed: int = Field(42, ge=0, lt=2**32, title="Seed", description="Seeds the split and training.")
    validation_fraction: float = Field(
        0.2,
        gt=0,
        lt=1,
        title="Held-out share",
        description="Share of each category's rows that is not trained on.",
    )
    method: Method = Field(
        Method.SFT,
        title="Method",
        description="Adapters are refused: the specification found NaN weights on TDT and RNN-T.",
    )
    runtime: RuntimeField = RuntimeName.LOCAL
    container: ContainerField = ContainerSettings()
    container_block: ContainerBlockField = None
    slurm: SlurmField = SlurmSettings()
    slurm_block: SlurmBlockField = None
    store: StoreName | None = Field(
        None,
        title="Store",
        description="Where all files of the cycle are kept: a block such as s3-artifact-store/NAME "
        "or local-artifact-store/NAME, s3://bucket/prefix, or an absolute folder of the worker's "
        "host.",
    )
    store_audio: bool = Field(
        True, title="Keep the audio", description="Keep the cycle's recordings in the store too."
    )
    track: TrackingName | None = Field(
        None,
        title="Track",
        description="An MLflow server that the run is sent to: http://HOST:PORT with the "
        "credentials of MLflow's variables, or mlflow-tracking/NAME for a saved block. A server "
        "that is down holds nothing up; `asr-flywheel track` sends later.",
    )
    stock_script: Path | None = Field(
        None,
        title="Stock script",
        description="Your copy of NeMo's speech_to_text_finetune.py, run unchanged.",
        json_schema_extra=SERVER_TAKES_ABSOLUTE,
    )
    keep_style: bool = Field(
        False,
        title="Keep casing and punctuation",
        description="Train on the text as written, not in the base's style.",
    )
    audio_roots: AudioRootsField = ()
    shards: ShardsField = None
    baseline: Path | None = Field(
        None,
        title="Baseline",
        description="per_sample.json, own_baseline.jsonl or offline_hyps.jsonl; by default the "
        "cycle folder's.",
        json_schema_extra=SERVER_TAKES_ABSOLUTE,
    )
    hold_out_terms: bool = Field(
        False,
        title="Hold out whole terms",
        description="No term on both sides of the split: how are terms heard that were never "
        "trained on?",
    )
    disjoint: Disjointness = Field(
        Disjointness.ROW,
        title="Disjoint",
        description="What stands on one side of the split only: row is the recording; voice_id "
        "and conversation_id are all rows that share that field, in folds too.",
    )
    two_part: bool = Field(
        False,
        title="Two parts only",
        description="The specification's split: the held-out rows choose the checkpoint, too, and "
        "no rows are set apart for it. What was chosen on the rows that judge is labelled so.",
    )
    selection_share: float = Field(
        0.1,
        gt=0,
        lt=1,
        title="Selection share",
        description="Share of each category's rows that choose checkpoint and mixture. They are "
        "neither trained on nor do they judge. With fewer than 20 of a priority category nothing "
        "is chosen.",
    )
    interpolate: Literal["auto", "off"] | Annotated[float, Field(gt=0, lt=1)] = Field(
        "auto",
        title="Interpolate",
        examples=[0.5],
        description="What is shipped: auto is a mixture of base and tuned model, weight by weight, "
        "chosen on rows that do not judge, or 0.5 where they are too few; off ships the tuned "
        "model; a value lies between 0, the base, and 1, the tuned model.",
    )
    boost: Literal["auto", "off"] | Annotated[float, Field(gt=0, le=2)] = Field(
        "off",
        title="Boost",
        examples=[0.5],
        description="Whether base and tuned model are also decoded with boosted phrases: those of "
        "formulary.txt in the cycle, or the cycle's terms among distractors. auto chooses each "
        "strength on rows that do not judge; a value is the strength of both.",
    )
    remedies: int | None = Field(
        None,
        ge=0,
        le=MOST_REMEDIES,
        title="Remedies",
        description="Where no mixture holds general English on the rows that choose, so many more "
        "trainings may follow: replay, a lower learning rate, fewer epochs, in this order. By "
        "default 1, and 0 on a rented host.",
    )
    keep_tuned: bool = Field(
        True,
        title="Keep the plain tuned model",
        description="Keep tuned_model.nemo beside the mixture that is shipped.",
    )
    variants: int | None = Field(
        None,
        ge=1,
        le=MOST_VARIANTS,
        title="Variants",
        description="Decodes of each judged row: one as it is, the others with milliseconds of "
        "silence before it, which nobody hears; the seed draws them. KER of the verdict is the "
        f"mean. By default {DEFAULT_VARIANTS} up to {MOST_JUDGED:,} judged rows, else 1.",
    )
    folds: int = Field(
        0,
        ge=0,
        le=20,
        title="Folds",
        examples=[5],
        description="Cross-fit: so many models are trained, each without one fold of the rows, "
        "which it then scores. The decision rests on all rows and grades the recipe; the model "
        "that is shipped is trained on the split. 0: no.",
    )
    general: Path | None = Field(
        None,
        title="General English",
        description="A manifest of ordinary sentences. Base and tuned model decode them: a model "
        "that forgets the language is discarded. Without one, synthetic sentences are made, and "
        "labelled so. none: forgetting is not checked, and then no model is kept.",
        json_schema_extra=SERVER_TAKES_GENERAL,
    )
    general_limit: float | None = Field(
        None,
        ge=0,
        le=100,
        title="Limit of forgetting (points)",
        examples=[0.5],
        description="How far the pooled WER of general English may rise. By default half a point, "
        "or 5 % of the base's WER where that is above 10 %.",
    )
    replay_share: float = Field(
        0.0,
        ge=0,
        le=0.5,
        title="Replay share",
        examples=[0.2],
        description="Share of general sentences among the rows trained on, against forgetting. "
        "They are at most half of the set; the others guard.",
    )
    compare_with: BaselineSource = Field(
        BaselineSource.OFFLINE,
        title="Compare with",
        description="offline: the base, decoded in this run; imported: the cycle's baseline.",
    )

    when_busy: WhenBusyField = WhenBusy.REFUSE
    no_texts: NoTextsField = False
    audio: bool = Field(
        False,
        title="Audio",
        description="Put recordings into the pages, as MP3: voices that whoever gets a page hears. "
        "By default pages have none.",
    )
    no_audio: bool = Field(
        False,
        title="No audio",
        description="Pages have no recordings, also where they are asked for. So it is if the "
        "worker has ASR_FLYWHEEL_NO_AUDIO=1.",
    )

    @property
    def names(self) -> tuple[str, str]:
        """Base and tuned model, as people read them."""
        name = PurePath(self.base).name
        return name, f"{name} tuned"

    def roots(self, cycle: Path) -> tuple[Path, ...]:
        """The folders under which the cycle's own audio lies, links followed."""
        return audio_roots(cycle, self.audio_roots)

    @property
    def checks_forgetting(self) -> bool:
        """Whether general English is decoded at all."""
        return self.general != Path(NO_GENERAL)

    @property
    def chooses_mixture(self) -> bool:
        """Whether rows choose what is shipped, if there are enough of them."""
        return self.interpolate == "auto" and not self.two_part

    @property
    def chooses_by_general(self) -> bool:
        """Whether a share of general English chooses: a mixture, or the strength of boosting."""
        return not self.two_part and (self.interpolate == "auto" or self.boost != "off")

    @property
    def further_trainings(self) -> int:
        """How many trainings may follow the first, where no mixture holds."""
        return _REMEDIES if self.remedies is None else self.remedies

    @property
    def selection(self) -> float:
        """The share of each category's rows that choose and do not judge."""
        return 0.0 if self.two_part else self.selection_share

    @field_validator("folds")
    @classmethod
    def _not_one(cls, folds: int) -> int:
        if folds == 1:
            raise ValueError(
                "1 is a single fold, which leaves nothing to train on. Fix: write 0 for none, or 2 "
                "and more"
            )
        return folds

    @model_validator(mode="after")
    def _takes_effect(self) -> Self:
        refuse_effectless(self, CYCLE_RULES)
        return self


def audio_roots(cycle: Path, more: tuple[Path, ...]) -> tuple[Path, ...]:
    """The folders under which all audio lies, links followed."""
    return tuple(path.expanduser().resolve() for path in (cycle, *more))
