"""Tells a Prefect server about this project: the GPU pool, the block types and the deployments.

    python -m asr_flywheel.site.register

Again is as good as once; what a user has changed on the server stays: schedules, default parameters
and pauses of the deployments too, which `prefect deploy` alone would set back.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectNotFound
from prefect.workers.process import ProcessWorker

from blocks import gpu_host
from blocks.email import EmailNotification
from blocks.mlflow_tracking import MlflowTracking
from blocks.nemo_container import NemoContainer
from blocks.policies import GateThresholds, TuningRecipe
from blocks.riva_endpoint import RivaEndpoint
from blocks.slurm_cluster import SlurmCluster
from blocks.stores import LocalArtifactStore, S3ArtifactStore
from flows.deployment_names import POOL, PREFECT_FILE, PROJECT

BLOCKS = (
    NemoContainer,
    SlurmCluster,
    LocalArtifactStore,
    S3ArtifactStore,
    GateThresholds,
    TuningRecipe,
    EmailNotification,
    RivaEndpoint,
    MlflowTracking,
    *gpu_host.BLOCKS,
)


def main() -> None:
    """Register all of it with the server that PREFECT_API_URL names."""
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
    deploy()


def deploy() -> None:
    """Make the deployments that are missing, and bring the others to this version of the code."""
    config = yaml.safe_load(PREFECT_FILE.read_text(encoding="utf-8"))
    with get_client(sync_client=True) as client:
        for deployment in config["deployments"]:
            try:
                registered = client.read_deployment_by_name(
                    f"{deployment['name']}/{deployment['name']}"
                )
            except ObjectNotFound:
                continue
            # Without schedules of its own, deploying leaves alone those that are there.
            deployment["schedules"] = []
            deployment["parameters"] = registered.parameters
            deployment["paused"] = registered.paused
    with tempfile.TemporaryDirectory(prefix="asr-flywheel-") as folder:
        file = Path(folder) / "prefect.yaml"
        file.write_text(yaml.safe_dump(config), encoding="utf-8")
        line = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
        line += ["--prefect-file", str(file)]
        process = subprocess.run(line, cwd=PROJECT, stderr=subprocess.STDOUT, check=False)
    if process.returncode != 0:
        sys.exit(process.returncode)


def job_template() -> dict[str, object]:
    """Return Prefect's own template, without streamed output.

    With it, a worker that is killed breaks the pipe of its runs, and a run that ended well counts
    as crashed.
    """
    template: dict[str, object] = ProcessWorker.get_default_base_job_template()
    template["variables"]["properties"]["stream_output"]["default"] = False  # type: ignore[index]
    return template


if __name__ == "__main__":
    main()
