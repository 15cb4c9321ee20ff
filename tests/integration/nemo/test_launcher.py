"""The launcher's watch on training, with a trainer that is planned: NaN, lost rows, CUDA graphs.

It runs in a process of its own, as where NeMo is; what it writes down is read as the flow reads it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tasks.runtimes.base import ENTRY
from tasks.runtimes.failures import Fault, from_log
from tasks.training import progress

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import ctypes, json, sys, traceback
from pathlib import Path
from types import SimpleNamespace as Thing
sys.path.insert(0, sys.argv[1])
import torch
import gpu_locks
import numpy
from gpu_monitor import Utilisation
from launch_training import seed
from training_events import EventWriter

def told(function, *given):
    try:
        function(*given)
        return ""
    except BaseException:
        return traceback.format_exc()

def loader(rows):
    return Thing(dataset=range(rows))

def writer(name, graphs=None):
    path = Path(sys.argv[2]) / name
    return EventWriter(path, {"train": 8, "validation": 3}, Utilisation([]), graphs=graphs)

trainer = Thing(
    is_global_zero=True, current_epoch=0, global_step=0, num_training_batches=2, world_size=1,
    accumulate_grad_batches=2, sanity_checking=False, train_dataloader=loader(8),
    callback_metrics={"val_loss": torch.tensor(2.0), "val_wer": torch.tensor(0.5)},
    optimizers=[Thing(param_groups=[{"lr": 1e-4}])], early_stopping_callbacks=[],
    fit_loop=Thing(epoch_loop=Thing(restarting=False)),
)
off = []
model = Thing(
    parameters=lambda: [torch.zeros(7)], val_dataloader=lambda: [loader(3)],
    decoding=Thing(decoding=Thing(disable_cuda_graphs=lambda: off.append(1))),
)

def epoch(watch, losses):
    watch.on_train_start(trainer, model)
    watch.on_train_epoch_start(trainer, model)
    for number, loss in enumerate(losses):
        trainer.global_step = number + 1
        watch.on_train_batch_end(trainer, model, {"loss": torch.tensor(loss)}, None, number)
    watch.on_validation_start(trainer, model)
    for number in range(2):
        watch.on_validation_batch_start(trainer, model, None, number)
    watch.on_validation_end(trainer, model)
    watch.on_train_end(trainer, model)

found = {"whole": told(epoch, writer("whole", graphs=False), [3.0, 1.0]), "off": len(off)}
found["drawn"] = []
for name in ("never", "whole"):
    seed(7, Path(sys.argv[2]) / name)
    found["drawn"].append([float(numpy.random.random()), float(torch.rand(()))])
singleton = id(bytes(range(256))[7:8]) + bytes.__basicsize__ - 1
ctypes.memset(singleton, 0, 1)
found["overwritten"] = [
    told(writer("garbled").on_validation_end, trainer, model),
    told(writer("garbled").on_save_checkpoint, trainer, model, {}),
    told(writer("garbled").on_train_end, trainer, model),
]
ctypes.memset(singleton, 7, 1)
found["nan"] = told(epoch, writer("nan"), [3.0, float("nan")])
found["inf"] = told(epoch, writer("inf"), [float("inf"), 1.0])
found["kept on"] = len(off)
model.val_dataloader = lambda: [loader(2)]
found["held out"] = told(epoch, writer("lost"), [1.0])
trainer.train_dataloader = loader(7)
found["train"] = told(epoch, writer("lost"), [1.0])
found["no GPU"] = told(gpu_locks.require, "bf16-mixed")
torch.cuda.is_available = lambda: True
torch.cuda.device_count = lambda: 2
torch.cuda.get_device_name = lambda number: "Tesla T4"
torch.cuda.get_device_capability = lambda number: (7, 5)
found["old GPU"] = told(gpu_locks.require, "bf16-mixed")
found["old GPU, fp16"] = told(gpu_locks.require, "16-mixed")
gpu_locks.driver_cuda = lambda: (12, 4)
found["old driver"] = gpu_locks.graphs_allowed()
gpu_locks.driver_cuda = lambda: (12, 6)
found["driver"] = gpu_locks.graphs_allowed()
Path(sys.argv[2], "found.json").write_text(json.dumps(found))
"""


# Its first lines make of any NeMo an older one, which reads by the ends of names.
STARTED = """
import json, runpy, sys
from nemo.collections.asr.parts.preprocessing import segment
segment.sf_supported_formats = [".wav"]
sys.path.insert(0, sys.argv.pop(1))
runpy.run_path(sys.path[0] + "/launch_training.py", run_name="__main__")
"""
SCRIPT = """
import importlib.util, json, os, sys
from pathlib import Path
import lightning.pytorch as pl
from nemo.collections.asr.parts.preprocessing import segment
from nemo.collections.asr.parts.submodules.transducer_decoding import tdt_label_looping
found = {"heard": [name in segment.sf_supported_formats for name in (".FLAC", ".opus", "")]}
decoder = tdt_label_looping.GreedyBatchedTDTLabelLoopingComputer
found["falls back"] = decoder.no_graph_because == ""
trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
kinds = [type(callback).__name__ for callback in trainer.callbacks]
# The writer tells what the other has done.
found["compiles"] = kinds.index("CompileCallback") < kinds.index("EventWriter")
found["caches"] = all(
    Path(os.environ[name]).is_relative_to(Path(sys.argv[1]).parent)
    for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
)
if importlib.util.find_spec("cuda") and importlib.util.find_spec("cuda.bindings"):
    from cuda.bindings import nvrtc
    found["guarded"] = hasattr(nvrtc.nvrtcGetProgramLog, "never_shared")
Path(sys.argv[1]).write_text(json.dumps(found))
"""


def test_every_rank_starts_the_script_with_nemo_put_right(tmp_path: Path) -> None:
    """Readers go by content, failed graphs are done without, NVRTC is guarded, layers compiled."""
    script, told = tmp_path / "script.py", tmp_path / "told.json"
    script.write_text(SCRIPT)
    request = {
        "script": str(script),
        "arguments": [str(told)],
        "seed": 1,
        "events": str(tmp_path / "events.jsonl"),
        "rows": {"train": 1, "validation": 1},
        "manifests": {"train": "train.jsonl"},
        "compile": {"rows": 4, "by_length": False, "fused_adamw": True},
    }
    (tmp_path / "request.json").write_text(json.dumps(request))
    program = [sys.executable, "-c", STARTED, str(ENTRY), str(tmp_path / "request.json")]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "LOCAL_RANK": "1"}
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(told.read_text())
    assert found.pop("heard") == [True] * 3
    assert found["falls back"]
    assert all(found.values())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the planned trainings left."""
    made = tmp_path_factory.mktemp("launcher")
    program = [sys.executable, "-c", PROGRAM, str(ENTRY), str(made)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, Any]:
    """What was raised in them."""
    read: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return read


def test_a_resumed_run_draws_other_batches_by_length(found: dict[str, Any]) -> None:
    """NumPy's generator goes on by the starts before; all others are as at the first start."""
    (first, torch_first), (resumed, torch_resumed) = found["drawn"]
    assert first == np.random.RandomState(7).random_sample()
    assert resumed != first
    assert torch_resumed == torch_first


def test_a_whole_epoch_is_written_down(folder: Path, found: dict[str, Any]) -> None:
    """Each batch once with the loss that was not divided, then the epoch with their mean."""
    assert found["whole"] == ""
    events = list(progress.Events(folder / "whole").read())
    assert [event["event"] for event in events] == ["start", "step", "step", "epoch", "end"]
    assert [event["loss"] for event in events[1:3]] == [6.0, 2.0]
    assert [event["step"] for event in events[1:3]] == [1, 2]
    assert (events[3]["train_loss"], events[3]["val_wer"]) == (4.0, 0.5)
    assert events[3]["gpu_utilisation"] is None
    assert (events[0]["rows"], events[0]["parameters"], events[0]["cuda_graphs"]) == (8, 7, False)
    assert progress.ProgressReader(folder / "whole", 1).read().share == 1.0


@pytest.mark.parametrize("loss", ["nan", "inf"])
def test_a_loss_that_is_no_number_ends_the_run(found: dict[str, Any], loss: str) -> None:
    """Whatever the precision, the last batch before a validation too."""
    assert from_log(found[loss]) is Fault.NAN_LOSS


def test_bytes_that_were_overwritten_end_the_run(found: dict[str, Any]) -> None:
    """After a validation, before a checkpoint, and before the script's last model is written."""
    faults = [from_log(one) for one in found["overwritten"]]
    assert faults == [Fault.BYTES_OVERWRITTEN] * 3


@pytest.mark.parametrize(("side", "words"), [("train", "7 of 8"), ("held out", "2 of 3")])
def test_rows_that_nemo_drops_end_the_run(found: dict[str, Any], side: str, words: str) -> None:
    """On either side."""
    assert from_log(found[side]) is Fault.ROWS_LOST
    assert words in found[side]


def test_cuda_graphs_are_off_where_the_driver_is_too_old(found: dict[str, Any]) -> None:
    """In every validation, since NeMo switches them on; where the driver is new they stay on."""
    assert (found["old driver"], found["driver"]) == (False, True)
    assert (found["off"], found["kept on"]) == (1, 1)


def test_a_gpu_is_looked_at_before_anything_is_loaded(found: dict[str, Any]) -> None:
    """One that CUDA cannot use, and one without bf16, which fp16 does not need."""
    assert from_log(found["no GPU"]) is Fault.NO_USABLE_GPU
    assert from_log(found["old GPU"]) is Fault.NO_BF16
    assert found["old GPU, fp16"] == ""
