"""Fields and words that the parameters of several flows share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from blocks.parameter_types import SERVER_TAKES_ABSOLUTE, ListedPath
from tasks.runtimes.container_settings import ContainerSettings
from tasks.runtimes.slurm.settings import SlurmSettings

Category = Literal["drug", "procedure", "anatomy", "condition", "lab", "role"]


class RuntimeName(StrEnum):
    """Where training runs."""

    LOCAL = "local"
    CONTAINER = "container"
    SLURM = "slurm"


class BaselineSource(StrEnum):
    """What the tuned model is compared with."""

    OFFLINE = "offline"
    IMPORTED = "imported"


class WhenBusy(StrEnum):
    """What a run does while another one works on the same cycle folder."""

    REFUSE = "refuse"
    WAIT = "wait"


# What the forms of several flows ask.
CycleField = Annotated[
    Path,
    Field(
        title="Cycle folder",
        description="A folder named `cycle<N>` that holds `manifest.jsonl`.",
        json_schema_extra=SERVER_TAKES_ABSOLUTE,
    ),
]
RuntimeField = Annotated[
    RuntimeName,
    Field(
        title="Runtime",
        description="local: this environment; container: NVIDIA's image; slurm: a cluster's job.",
    ),
]
ContainerField = Annotated[
    ContainerSettings,
    Field(title="Container", description="For the container runtime, unless a block is named."),
]
ContainerBlockField = Annotated[
    str | None,
    Field(
        title="Container block",
        description="Name of a saved NeMo Container block, whose settings count instead.",
    ),
]
SlurmField = Annotated[
    SlurmSettings,
    Field(title="Slurm", description="For the slurm runtime, unless a block is named."),
]
SlurmBlockField = Annotated[
    str | None,
    Field(
        title="Slurm block",
        description="Name of a saved Slurm Cluster block, whose settings count instead.",
    ),
]
AudioRootsField = Annotated[
    tuple[ListedPath, ...],
    Field(
        title="More audio folders", description="Folders with recordings, besides the cycle's own."
    ),
]
WhenBusyField = Annotated[
    WhenBusy,
    Field(
        title="When the cycle is busy",
        description="Another run works on this folder: refuse ends this run at once and says so; "
        "wait begins when the other has ended, and takes over what it left.",
    ),
]


ShardsField = Annotated[
    int | None,
    Field(
        ge=1,
        le=1000,
        title="Shards",
        description="Decode in at most so many shards, which all workers of the pool take.",
    ),
]


TrustField = Annotated[
    bool,
    Field(
        title="Trust the model",
        description="Load a .nemo of your own that holds more than weights: it may run any code.",
    ),
]


NoTextsField = Annotated[
    bool,
    Field(
        title="No texts",
        description="Logs and artifacts have counts, numbers of rows and codes in the place of "
        "texts; also if the worker has ASR_FLYWHEEL_NO_TEXTS=1.",
    ),
]
