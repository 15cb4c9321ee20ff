"""Trainings in the tiny image whose launcher is a shell script: real container, mounts and log."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tasks.runtimes import images
from tasks.runtimes.container import ContainerRuntime
from tasks.runtimes.container_settings import EXAMPLES, ContainerSettings
from tasks.runtimes.hardware import Hardware
from tests.support import docker_daemon
from tests.support.sft_request_cases import WHOLE, request_in

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.training import run as training_run

LABELS = {"run": "test-container-faults"}
HELD = {
    "nemo": "2.6.0",
    "torch": "",
    "cuda": "",
    "python": "3.12.3",
    "package": "/opt/NeMo/nemo",
    "asr": True,
    "examples": EXAMPLES,
}
GOOD = f"""
cat >/workspace/out/events.jsonl <<'END'
{chr(10).join(json.dumps(event) for event in WHOLE)}
END
mkdir -p /workspace/out/experiment/sft/checkpoints
"""
PROBE = f"""echo '{images.PREFIX}{json.dumps(HELD)}'
"""
SAVE = "cat /opt/asr-flywheel/model.nemo >/workspace/out/experiment/sft/checkpoints/sft.nemo\n"


def runtime(client: Any, **settings: Any) -> ContainerRuntime:
    """The tiny image, whose interpreter is a shell."""
    image = docker_daemon.tiny_image(client)
    chosen = ContainerSettings(**{"image": image, "python": "sh", **settings})
    return ContainerRuntime(chosen, Hardware((), 2))


def request_for(folder: Path, nemo: Path) -> training_run.SftRequest:
    """A run of the verified recipe."""
    return replace(request_in(folder, nemo), labels=LABELS)
