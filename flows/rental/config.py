"""The parameters of a rental: which cycle, on which host, and when to give up."""

from __future__ import annotations

import os
from typing import Self

from pydantic import Field, field_validator, model_validator

from blocks.parameter_types import ListedPath
from flows.config import CycleConfig
from flows.parameters_without_effect import RENT_RULES
from tasks.common.effect_rules import refuse_effectless
from tasks.common.errors import InputError
from tasks.common.parameter_model import ParameterModel
from tasks.common.parameter_names import name_of
from tasks.gpu_hosts import gpu_prices
from tasks.gpu_hosts.host_settings import BrevSettings, Provider


class RentConfig(ParameterModel):
    """A cycle on a host that is rented for it."""

    run: CycleConfig = Field(title="Cycle", description="What is run on the host.")
    host: Provider = Field(
        BrevSettings(),
        title="Host",
        description="From whom, unless a block is named.",
    )
    host_block: str | None = Field(
        None,
        title="Host block",
        description="A saved block, such as ssh-gpu-host/NAME or brev-gpu-host/NAME.",
    )
    sku: str = Field(
        gpu_prices.RECOMMENDED, title="SKU", description=f"One of {', '.join(gpu_prices.SKUS)}."
    )
    usd_per_hour: float | None = Field(
        None,
        ge=0,
        title="Price ($ an hour)",
        examples=[1.5],
        description="Your own figure, instead of the table's; at Brev also the most that is paid. "
        "A host of your own counts as free without one.",
    )
    disk_gb: int = Field(
        200, ge=50, title="Disk (GB)", description="Disk of a host that is created."
    )
    gpu_required: bool = Field(
        True,
        title="A GPU is required",
        description="Refuse a host without one. Off: a small CTC base trains on its processor.",
    )
    limit_minutes: int = Field(
        240,
        ge=1,
        le=7 * 24 * 60,
        title="Time limit (minutes)",
        description="The host ends itself so long after its start, even if nobody can reach it.",
    )
    answer_minutes: float = Field(
        60,
        gt=0,
        title="Time to answer (minutes)",
        description="How long a YES is waited for; without one nothing is created.",
    )
    reach_s: float = Field(
        900,
        gt=0,
        title="Time to boot (s)",
        description="How long a host may take until it is reachable.",
    )
    patience_s: float = Field(
        300, ge=0, title="Patience (s)", description="How long the connection may be gone."
    )
    need_gib: float = Field(
        40,
        ge=0,
        title="Free disk (GiB)",
        description="Free disk that the host must have, for image and models.",
    )
    bundle: tuple[ListedPath, ...] = Field(
        (),
        title="Offline bundle",
        description="Folders part-1, part-2, … of an offline bundle here, or the folder above "
        "them: checked before the host costs anything, sent there, installed without an index.",
    )
    upload_mbit: float | None = Field(
        None,
        gt=0,
        title="Upload (Mbit/s)",
        examples=[100],
        description="Speed of your line to the host: the costs then include the time that an "
        "offline bundle takes to be sent.",
    )
    deployment: str = Field(
        "finetune-cycle/finetune-cycle",
        title="Deployment",
        description="What runs on the host; takes the cycle as its parameter config.",
    )
    pass_on: tuple[str, ...] = Field(
        (),
        title="Variables to pass on",
        description="Names of environment variables of here, such as HF_TOKEN; never on a command "
        "line, and removed with the host.",
    )

    @field_validator("sku")
    @classmethod
    def _is_in_the_table(cls, sku: str) -> str:
        if sku.lower() not in gpu_prices.SKUS:
            raise ValueError(f"{sku!r} is not in the table. Fix: {gpu_prices.fix_of(sku)}")
        return sku

    @model_validator(mode="after")
    def _takes_effect(self) -> Self:
        refuse_effectless(self, RENT_RULES)
        return self

    @property
    def further_trainings(self) -> int:
        """How many trainings may follow the first: a host is paid by the hour, so none unasked."""
        return self.run.remedies or 0

    def passed_on(self) -> dict[str, str]:
        """The variables to pass on, with their values: secrets.

        Raises:
            InputError: one of them is not set here.
        """
        if missing := [name for name in self.pass_on if name not in os.environ]:
            raise InputError(
                f"{name_of('pass_on')}: {', '.join(missing)} is not set here. Fix: set it where "
                "the rental is started (a worker's variables are those of its own environment), "
                "or leave it out."
            )
        return {name: os.environ[name] for name in self.pass_on}
