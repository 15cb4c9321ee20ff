"""One container for all programs of a run, with NeMo in it, against a container for each."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tasks.common import atomic_files
from tasks.data.cycle_folder import open_cycle
from tasks.runtimes import docker_engine, program_server
from tests.support import docker_daemon, nemo_models
from tests.support.container_training_cases import NASTY, nasty_cycle

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.data.cycle_folder import Cycle


@pytest.fixture
def client() -> Any:
    """The engine, with the stand-in image in it."""
    return docker_daemon.with_standin()


def outcome(client: Any, cycle: Cycle, more: list[str], environment: dict[str, str]) -> Any:
    """Run a cycle; its containers, weights, texts, losses and decision."""
    line = [sys.executable, "-m", "asr_flywheel", "run", str(cycle.path), "--base", "embedded"]
    line += ["--runtime", "container", "--image", docker_daemon.STANDIN, *more]
    line += ["--general", "none", "--epochs", "1", "--interpolate", "0.5"]
    since = time.time()
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    following = cycle.next.path
    record = json.loads((following / "run.json").read_text())
    (events,) = cycle.path.glob("models/*/training_run_info.json")
    found = {
        "texts": {
            path.name: atomic_files.read_jsonl(path) for path in following.glob("*hyps.jsonl")
        },
        "epochs": json.loads(events.read_text())["epochs"],
        "decision": json.loads((following / "decision.json").read_text())["decision"],
        "jobs": [job["job"] for job in record["seconds"]["jobs"]],
    }
    for epoch in found["epochs"]:
        epoch.pop("seconds", None)
    models = {path.name: nemo_models.weights(path) for path in cycle.path.glob("models/*/*.nemo")}
    assert docker_engine.orphans(client, {"cycle": str(cycle.path)}) == []
    separate = environment[program_server.SEPARATE_VARIABLE] == "1"
    assert ("container of its own" in done.stdout) is separate
    return docker_daemon.jobs_started(client, since, cycle.path), models, found


def test_one_container_computes_what_several_do(client: Any, tmp_path: Path) -> None:
    """Bit by bit on a CPU: weights, texts and figures, all by the same jobs."""
    more_audio = tmp_path / "more" / NASTY
    more_audio.mkdir(parents=True)
    cycle = nasty_cycle(tmp_path / NASTY / "cycle1", more_audio)
    pristine = tmp_path / "pristine"
    shutil.copytree(cycle.path, pristine, symlinks=True)
    environment = {
        **os.environ,
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    }
    found = []
    for separate in ("1", "0"):
        shutil.rmtree(cycle.path)
        shutil.copytree(pristine, cycle.path, symlinks=True)
        shutil.rmtree(cycle.next.path, ignore_errors=True)
        given = {**environment, program_server.SEPARATE_VARIABLE: separate}
        found.append(
            outcome(client, open_cycle(cycle.path), ["--audio-root", str(more_audio)], given)
        )
    (several, expected, before), (one, weights, after) = found
    assert (several, one) == (["training"], ["programs"])
    assert after == before
    assert after["jobs"] == ["training", "interpolation", "transcription"]
    assert weights.keys() == expected.keys()
    for name, tensors in expected.items():
        assert tensors.keys() == weights[name].keys()
        assert all(torch.equal(weights[name][key], tensors[key]) for key in tensors)
