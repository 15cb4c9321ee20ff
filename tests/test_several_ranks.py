"""The launcher with a process for each device, as torchrun starts it on several GPUs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

import pytest

from tasks import bases, hardware, sft, stages
from tasks.course import Events
from tasks.cycle import open_cycle
from tasks.nemo_archive import open_archive
from tasks.override_list import EXPERIMENT
from tasks.recipes import Recipe
from tasks.runtime import ENTRY, LocalRuntime

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("by_length", [False, True])
def test_two_ranks_train_one_model(cycle: Path, *, by_length: bool) -> None:
    """They share the rows of an epoch; one of them tells of it and writes the model."""
    opened = open_cycle(cycle)
    recipe = Recipe(epochs=1, batch_size=2, by_length=by_length)
    checked = stages.check(opened, bases.embedded_path(), recipe)
    request = sft.SftRequest(
        base=bases.embedded_path(),
        base_name="embedded",
        data=stages.split(opened, checked, 0.2, 42),
        recipe=recipe,
        model_dir=cycle / "models" / "ranks",
        audio_roots=(cycle,),
        key="ranks",
    )
    runtime = LocalRuntime(hardware.Hardware((), 2))
    request.work_dir.mkdir(parents=True)
    sft._write_copies(request, runtime)
    job = sft._job(request, runtime)
    arguments = [
        "trainer.devices=2" if one == "trainer.devices=1" else one
        for one in job.request["arguments"]
    ]
    assert "trainer.devices=2" in arguments
    whole = {**job.request, "arguments": [*arguments, "++trainer.strategy=ddp"]}
    job.request_file.write_text(json.dumps(whole))
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [sys.executable, *torchrun, str(ENTRY / job.program), str(job.request_file)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        cwd=tempfile.gettempdir(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert ("Semi Sorted Batch Sampler will be used" in done.stdout + done.stderr) is by_length
    events = list(Events(request.events).read())
    (start,) = [event for event in events if event["event"] == "start"]
    # Eight rows in batches of two on two devices.
    assert (start["devices"], start["batches_per_epoch"]) == (2, 2)
    assert [event["event"] for event in events[1:]] == ["step", "step", "epoch", "end"]
    open_archive(request.checkpoints / f"{EXPERIMENT}.nemo")
