"""A worker of the GPU pool: says what the host has, clears what a killed one left, takes runs."""

from __future__ import annotations

import os
import socket
import sys

from prefect.artifacts import create_table_artifact

from flows import gpu_slots
from flows.console import print_stage
from tasks.runtimes import docker_engine, hardware, orphaned_containers
from tasks.runtimes.failures import FaultError

QUEUE = "default"


def start(pool: str, at_once: int, queue: str = QUEUE, name: str | None = None) -> None:
    """Announce this host to the server, then become Prefect's worker; does not return.

    Args:
        pool: the work pool.
        at_once: runs in flight; only one of them holds a GPU at any time.
        queue: the pool's queue that runs are taken from. A worker that names none takes from all
            of them, so also the runs that are meant for a rented host.
        name: of the worker; by default the host's.
    """
    name = name or socket.gethostname()
    announce(name)
    arguments = ["--pool", pool, "--work-queue", queue, "--limit", str(at_once), "--name", name]
    os.execv(  # noqa: S606 - a list, no shell
        sys.executable,
        [sys.executable, "-m", "asr_flywheel.site.patient_worker", "worker", "start", *arguments],
    )


def announce(worker: str) -> None:
    """Publish what a worker has here, offer its GPUs, and remove containers without an owner.

    Its GPUs are those that CUDA_VISIBLE_DEVICES leaves it: of two workers of a host each may have
    some.
    """
    host = hardware.detect()
    images = _describe_images()
    rows = [
        {"GPU": gpu.name, "memory (MiB)": gpu.memory_mib, "driver": gpu.driver, "cores": host.cores}
        for gpu in host.gpus
    ] or [{"GPU": "none: trains on the CPU", "memory (MiB)": 0, "driver": "", "cores": host.cores}]
    gpu_slots.offer(host.gpus)
    create_table_artifact(
        key=f"worker-{gpu_slots.slug(worker)}",
        description=f"Worker {worker} on {socket.gethostname()}: {images}",
        table=rows,
    )
    for row in rows:
        print_stage(
            "worker", ", ".join(f"{key} {value}" for key, value in row.items() if value != "")
        )
    print_stage("", images)


def _describe_images() -> str:
    try:
        client = docker_engine.connect()
    except FaultError:
        return "no Docker Engine: local runtime only"
    for container in orphaned_containers.reap(client):
        print_stage("worker", f"removed container {container}, whose owner is gone")
    tags = sorted(tag for image in client.images.list() for tag in image.tags if "nemo" in tag)
    return f"Docker Engine with {', '.join(tags) or 'no NeMo image yet'}"
