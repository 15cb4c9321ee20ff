"""A Slurm cluster as a Prefect block: settle it once in the UI, then refer to it by name.

A flow takes the block's settings by its name (``slurm_block``). The worker runs on a login node.
"""

from __future__ import annotations

from prefect.blocks.core import Block
from pydantic import Field, HttpUrl

from tasks.runtimes.slurm.settings import SlurmSettings


class SlurmCluster(Block):
    """How a site's cluster is asked for a job: partition, account, GPUs, time limit, launcher."""

    _block_type_name = "Slurm Cluster"
    _block_type_slug = "slurm-cluster"
    _description = (
        "Partition, account, GPUs, time limit and launcher of a Slurm cluster, for runs whose "
        "runtime is slurm. Runs refer to it by its name."
    )
    _documentation_url = HttpUrl("https://slurm.schedmd.com/sbatch.html")

    settings: SlurmSettings = Field(
        default_factory=SlurmSettings,
        title="Slurm",
        description="What a run that names this block asks for.",
    )
