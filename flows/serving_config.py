"""The parameters of the flow that validates a served model. No secret is one of them."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from blocks.parameter_types import SERVER_TAKES_ABSOLUTE, ListedPath
from flows.config_fields import AudioRootsField, NoTextsField
from flows.parameters_without_effect import SERVING_RULES
from tasks.common.effect_rules import refuse_effectless
from tasks.common.parameter_model import ParameterModel, refusal
from tasks.serving.riva_client import EndpointSettings


class EngineName(StrEnum):
    """The engines that decode a bundle."""

    ONNX_ASR = "onnx-asr"
    SHERPA_ONNX = "sherpa-onnx"


class ServingConfig(ParameterModel):
    """One comparison of what is served with what was measured."""

    cycle: Path = Field(
        title="Cycle folder",
        description="Whose recordings are sent: cycle<N> with manifest.jsonl.",
        json_schema_extra=SERVER_TAKES_ABSOLUTE,
    )
    endpoint: EndpointSettings = Field(
        EndpointSettings(),
        title="Endpoint",
        description="Where the model is served, unless a block is named.",
    )
    endpoint_block: str | None = Field(
        None, title="Endpoint block", description="Name of a saved Riva Endpoint block."
    )
    api_key_secret: str | None = Field(
        None,
        title="API key's Secret block",
        description="Name of a Prefect Secret block; else NVIDIA_API_KEY of the worker, or for a "
        "ward server ASR_FLYWHEEL_SERVER_TOKEN.",
    )
    audio_may_leave: bool = Field(
        False,
        title="Audio may leave the machine",
        description="Consent to sending all recordings of the cycle to a host other than this.",
    )
    concurrency: int = Field(
        4,
        ge=1,
        le=64,
        title="Calls at once",
        description="Calls at once; fewer if the service limits the rate.",
    )
    probing: bool = Field(
        True,
        title="Probes",
        description="Send a few differing rows again, changed on purpose, to find out why.",
    )
    phrases: Path | None = Field(
        None,
        title="Phrases to boost",
        description="A list such as phrases.txt: the recordings are sent again with it, at "
        "several scores.",
        json_schema_extra=SERVER_TAKES_ABSOLUTE,
    )
    boost_scores: tuple[float, ...] = Field(
        (),
        title="Boost scores",
        examples=[20],
        description="Riva's score of the phrases, instead of three of NVIDIA's range.",
    )
    offline: Path | None = Field(
        None,
        title="Offline evaluation",
        description="By default the tuned model's offline_hyps.jsonl, else the cycle's.",
        json_schema_extra=SERVER_TAKES_ABSOLUTE,
    )
    model: str | None = Field(
        None,
        title="Model",
        description="The .nemo that is served, or a base's name, if it is not the run's.",
    )
    engine: EngineName | None = Field(
        None,
        title="Engine",
        description="Of the bundles, as you believe: onnx-asr or sherpa-onnx; checked.",
    )
    bundles: tuple[ListedPath, ...] = Field(
        (),
        title="Bundles",
        description="Folders of handoff --format, instead of an endpoint; nothing leaves the "
        "machine.",
    )
    server: str | None = Field(
        None,
        title="Ward server",
        description="Address of `asr-flywheel serve`, such as http://127.0.0.1:8765, which serves "
        "one of the bundles: its answers are compared too.",
    )
    audio_roots: AudioRootsField = ()
    no_texts: NoTextsField = False

    @model_validator(mode="after")
    def _either(self) -> Self:
        if self.engine is not None and not self.bundles:
            raise refusal(
                f"<engine> {self.engine} is of a bundle, and none is named. Fix: name its folder "
                "with <bundles>, or leave <engine> out."
            )
        if self.server is not None and not self.bundles:
            raise refusal(
                f"<server> {self.server} serves a bundle, and none is named. Fix: name its folder "
                "with <bundles>, or leave <server> out."
            )
        refuse_effectless(self, SERVING_RULES)
        return self

    @field_validator("boost_scores")
    @classmethod
    def _not_zero(cls, scores: tuple[float, ...]) -> tuple[float, ...]:
        if not all(math.isfinite(score) and score for score in scores):
            raise ValueError("a score of 0 boosts nothing. Fix: name others, such as 20")
        return scores
