"""Runs that stand in for a cycle's on the rented host: they train nothing, and end as a test wants.

They are deployments like the real one: a worker on the host takes them from its queue.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import flow

from tasks.common import atomic_files, hashing

if TYPE_CHECKING:
    from asr_flywheel.site.local_site import Site

RUN = "embedded-verified-0123"


@flow(name="sleeper")
def sleeper(config: dict[str, Any]) -> None:
    """Leave a mark beside the cycle, then work for an hour."""
    told = {"queue": os.environ.get("PREFECT__WORK_QUEUE", ""), "pid": os.getpid()}
    Path(config["cycle"], "started.json").write_text(json.dumps(told))
    time.sleep(3600)


@flow(name="finisher")
def finisher(config: dict[str, Any]) -> None:
    """Leave what a finished run leaves, in small."""
    write_results(Path(config["cycle"]))


@flow(name="liar")
def liar(config: dict[str, Any]) -> None:
    """Leave a model that is not the one whose hash was recorded."""
    write_results(Path(config["cycle"]))
    Path(config["cycle"], "models", RUN, "adapted_model.nemo").write_bytes(b"another model")


@flow(name="failer")
def failer(config: dict[str, Any]) -> None:
    """Fail as a run does."""
    raise RuntimeError(f"training broke on {config['cycle']}")


def write_results(cycle: Path, weights: bytes = b"weights" * 1000) -> None:
    """Cycle N's training and cycle N+1's evaluation, as far as they are fetched and checked."""
    model = cycle / "models" / RUN / "adapted_model.nemo"
    model.parent.mkdir(parents=True)
    model.write_bytes(weights)
    for name in ("train.jsonl", "validation.jsonl"):
        (cycle / name).write_text(f'{{"audio_filepath": "{cycle}/audio/0.wav"}}\n')
    hashes = {
        f"{side}_sha256": hashing.sha256_file(cycle / f"{side}.jsonl")
        for side in ("train", "validation")
    }
    info = model.parent / "training_run_info.json"
    atomic_files.write_json(info, {"dataset": hashes})
    following = cycle.with_name("cycle2")
    following.mkdir()
    (following / "offline_hyps.jsonl").write_text(f'{{"audio_filepath": "{cycle}/audio/0.wav"}}\n')
    atomic_files.write_json(following / "decision.json", {"decision": "keep"})
    names = ("offline_hyps.jsonl", "decision.json")
    record = {
        "config": {"cycle": str(cycle)},
        "environment": sys.prefix,
        "sft": {
            "model": str(model),
            "model_sha256": hashing.sha256_file(model),
            "training_run_info": str(info),
            "training_run_info_sha256": hashing.sha256_file(info),
        },
        "files": {name: hashing.sha256_file(following / name) for name in names},
    }
    atomic_files.write_json(following / "run.json", record)


def deploy(site: Site) -> None:
    """Make a deployment of each of them in the GPU pool."""
    # A run on the host imports this module, and needs none of it.
    from tests.support import prefect_site  # noqa: PLC0415 - the reason above

    for name in ("sleeper", "finisher", "liar", "failer"):
        made = prefect_site.call(site, "POST", "flows/", name=name)
        prefect_site.call(
            site,
            "POST",
            "deployments/",
            name=name,
            flow_id=made["id"],
            entrypoint=f"tests.support.remote_flows.{name}",
            work_pool_name="gpu",
            pull_steps=[],
        )
