"""Tells a Prefect server about this project: the GPU pool and the block types.

    python -m asr_flywheel.register

Again is as good as once; what a user has changed on the server stays.
"""

from __future__ import annotations

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectNotFound
from prefect.workers.process import ProcessWorker

from asr_flywheel.site import POOL
from blocks import gpu_host
from blocks.email import EmailNotification
from blocks.nemo_container import NemoContainer
from blocks.policies import GateThresholds, TuningRecipe
from blocks.riva_endpoint import RivaEndpoint
from blocks.stores import LocalArtifactStore, S3ArtifactStore

BLOCKS = (
    NemoContainer,
    LocalArtifactStore,
    S3ArtifactStore,
    GateThresholds,
    TuningRecipe,
    EmailNotification,
    RivaEndpoint,
    *gpu_host.BLOCKS,
)


def main() -> None:
    """Register pool and blocks with the server that PREFECT_API_URL names."""
    for block in BLOCKS:
        block.register_type_and_schema()
    with get_client(sync_client=True) as client:
        try:
            client.read_work_pool(POOL)
        except ObjectNotFound:
            client.create_work_pool(
                WorkPoolCreate(
                    name=POOL,
                    type="process",
                    description="Runs on hosts with a GPU; one at a time holds a host's GPUs.",
                    base_job_template=job_template(),
                )
            )


def job_template() -> dict[str, object]:
    """Prefect's own template, without streamed output.

    With it, a worker that is killed breaks the pipe of its runs, and a run that ended well counts
    as crashed.
    """
    template: dict[str, object] = ProcessWorker.get_default_base_job_template()
    template["variables"]["properties"]["stream_output"]["default"] = False  # type: ignore[index]
    return template


if __name__ == "__main__":
    main()
