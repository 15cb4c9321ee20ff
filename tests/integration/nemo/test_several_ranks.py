"""The launcher with a process for each device, as torchrun starts it on several GPUs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

import pytest

from tasks.data.cycle_folder import open_cycle
from tasks.models import catalog
from tasks.models.nemo_archive import open_archive
from tasks.runtimes import hardware
from tasks.runtimes.base import ENTRY
from tasks.runtimes.local import LocalRuntime
from tasks.stages import prepare
from tasks.training import run as training_run
from tasks.training import sft
from tasks.training.progress import Events
from tasks.training.recipes import Recipe
from tasks.training.run import EXPERIMENT
from tests.support import factories

if TYPE_CHECKING:
    from pathlib import Path


# Runs a script as it is, and writes down which rows of the training side each rank reads.
READ = """
import os, runpy
from pathlib import Path
from nemo.collections.asr.data.audio_to_text import AudioToBPEDataset

plain = AudioToBPEDataset.__getitem__

def told(dataset, index):
    if len(dataset) == {train}:
        rows = [int(one) for one in index] if hasattr(index, "__len__") else [int(index)]
        with Path("{folder}", os.environ["LOCAL_RANK"]).open("a") as out:
            out.write("".join(f"{{row}}\\n" for row in rows))
    return plain(dataset, index)

AudioToBPEDataset.__getitem__ = told
runpy.run_path("{script}", run_name="__main__")
"""
TRAINED_ON = 8


@pytest.mark.parametrize(
    ("by_length", "compiled"),
    [
        pytest.param(False, False, marks=pytest.mark.by_night),
        (True, False),
        pytest.param(False, True, marks=pytest.mark.by_night),
    ],
)
def test_two_ranks_train_one_model(
    cycle: Path, tmp_path: Path, *, by_length: bool, compiled: bool
) -> None:
    """They share the rows of each epoch; one of them tells of it and writes the model."""
    for place, row in enumerate(factories.cycle_rows()):
        factories.write_wav(cycle / row["audio_filepath"], 0.5 + place / 10, seed=place)
    opened = open_cycle(cycle)
    recipe = Recipe(epochs=2, batch_size=2, by_length=by_length)
    checked = prepare.check(opened, catalog.embedded_path(), recipe)
    request = training_run.SftRequest(
        base=catalog.embedded_path(),
        base_name="embedded",
        data=prepare.split(opened, checked, 0.2, 42),
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
    script = tmp_path / "read.py"
    script.write_text(READ.format(train=TRAINED_ON, folder=tmp_path, script=job.request["script"]))
    whole = {
        **job.request,
        "script": str(script),
        "arguments": [*arguments, "++trainer.strategy=ddp"],
    }
    if compiled:
        whole["compile"] = {"rows": 2, "by_length": by_length, "backend": "aot_eager"}
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
    if compiled:
        assert start["compiled_layers"]["compiled"], start["compiled_layers"]["because"]
    epoch = ["step", "step", "epoch"]
    assert [event["event"] for event in events[1:]] == [*epoch, *epoch, "end"]
    read = [[int(row) for row in (tmp_path / rank).read_text().split()] for rank in ("0", "1")]
    each = TRAINED_ON // 2
    for start_of in (0, each):
        shared = [rows[start_of : start_of + each] for rows in read]
        assert sorted(shared[0] + shared[1]) == list(range(TRAINED_ON))
    open_archive(request.checkpoints / f"{EXPERIMENT}.nemo")
