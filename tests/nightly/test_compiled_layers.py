"""Compiled layers train what plain layers train: a CTC base on rows of 1 to 20 s, in Lightning.

The compiler's backend is one that runs on a CPU. Everything else is as on a GPU: the callback, the
padding to a few shapes, the batch norm that counts the batch's own frames.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tasks.models import catalog
from tasks.runtimes.base import ENTRY
from tests.support import factories

# Two whole batches and one of two rows, each with a short and a long one.
SECONDS = (1.0, 20.0, 6.5, 3.0, 2.0, 9.0, 1.2, 4.0)

PROGRAM = """
import itertools, json, random, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
folder, base = Path(sys.argv[2]), sys.argv[3]
import lightning.pytorch as pl
import torch
from lightning.pytorch.strategies import DDPStrategy
from nemo.collections.asr.models import ASRModel
from omegaconf import OmegaConf
from torch._dynamo.backends.debugging import aot_eager
import compiled_encoder, compiled_layers
from compiled_layers import CompileCallback, CompileOrder

torch.set_num_threads(2)
manifest = folder / "train.jsonl"
ORDER = CompileOrder(rows=3, backend="aot_eager", most=2)

class Watch(pl.Callback):
    def __init__(self, checkpoint):
        self.losses, self.names, self.checkpoint = [], [], checkpoint
        self.counted = []  # kept, so that no two can be at one place after the other

    def on_train_batch_end(self, trainer, model, outputs, batch, number):
        self.losses.append(float(outputs["loss"]))
        norm = model.encoder.layers[0].conv.batch_norm
        self.counted.append(getattr(norm, "counted", None))

    def on_train_epoch_end(self, trainer, model):
        self.names = list(model.state_dict())
        if trainer.current_epoch == 0 and self.checkpoint:
            trainer.save_checkpoint(self.checkpoint)

def fit(callbacks, resume=None, checkpoint=None):
    pl.seed_everything(7)
    torch._dynamo.reset()  # each training has a process of its own
    model = ASRModel.restore_from(base)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    data = dict(manifest_filepath=str(manifest), sample_rate=16000, batch_size=3, num_workers=0)
    model.setup_training_data(OmegaConf.create({**data, "shuffle": False}))
    model.setup_optimization(OmegaConf.create(
        {"name": "adamw", "lr": 1e-4, "weight_decay": 1e-3}))
    model.configure_optimizers = lambda: model._optimizer  # without the base's own schedule
    model.spec_augmentation = ASRModel.from_config_dict(OmegaConf.create({
        "_target_": "nemo.collections.asr.modules.SpectrogramAugmentation",
        "freq_masks": 2, "freq_width": 27, "time_masks": 10, "time_width": 0.05}))
    model.preprocessor.featurizer.dither = 0.0
    watch = Watch(checkpoint)
    trainer = pl.Trainer(
        accelerator="cpu", devices=1, max_epochs=2, accumulate_grad_batches=2,
        strategy=DDPStrategy(gradient_as_bucket_view=True), gradient_clip_val=1.0,
        logger=False, enable_checkpointing=False, enable_progress_bar=False,
        limit_val_batches=0, num_sanity_val_steps=0, callbacks=[*callbacks, watch])
    trainer.fit(model, ckpt_path=resume)
    return model, watch

def apart(one, other):
    found = {}
    for name, tensor in one.state_dict().items():
        difference = (tensor.float() - other.state_dict()[name].float()).abs().max()
        kind = "statistics" if "running" in name else "weights"
        found[kind] = max(found.get(kind, 0.0), float(difference))
    return found

def evaluated(model):
    model.eval()
    with torch.inference_mode():
        noise = torch.randn(2, 64000, generator=torch.Generator().manual_seed(1)) * 0.05
        lengths = torch.tensor([64000, 20000])
        return model.forward(input_signal=noise, input_signal_length=lengths)[0]

def own_passes(model):
    return {name for name, module in model.named_modules() if "forward" in vars(module)}

one = folder / "one.ckpt"
plain, plain_watch = fit([])
callback = CompileCallback(ORDER, manifest)
compiled, watch = fit([callback], checkpoint=one)
difference = evaluated(plain) - evaluated(compiled)
found = {
    "losses": [plain_watch.losses, watch.losses],
    "apart": apart(plain, compiled),
    "names": [plain_watch.names, watch.names],
    "outcome": callback.outcome.as_dict(),
    "misfits": callback._compiled.padding.misfits,
    "broken": callback._compiled.broken,
    "left over": sorted(own_passes(compiled) - own_passes(plain)),
    "evaluated": float(difference.abs().max()),
    "masks": len({id(counted) for counted in watch.counted}),
}
_, resumed = fit([CompileCallback(ORDER, manifest)], resume=one)

class Lose(pl.Callback):
    def on_train_batch_start(self, trainer, model, batch, number):
        if number == 1:
            torch._dynamo.reset()  # what was compiled is gone, and so is the compiler
            self.lost = True

lose = Lose()

def flaky(*given):
    def backend(graph, inputs):
        if getattr(lose, "lost", False):
            raise RuntimeError("ptxas: no such program")
        return aot_eager(graph, inputs)
    return torch.compile(given[0], backend=backend, fullgraph=True, dynamic=False)

compiled_encoder._compile = flaky
halfway = CompileCallback(ORDER, manifest)
_, lost = fit([halfway, lose], resume=one)
found["lost"] = [halfway.outcome.compiled, halfway._compiled.broken, lost.losses]

# A CPU records nothing: here the count is made to rise with each batch.
compiled_layers.count_recordings = itertools.count(1).__next__
halfway._compiled.broken = ""
for number in range(20):
    halfway.on_train_batch_start(None, None, None, number)
    if halfway._compiled.broken:
        break
found["recording"] = [number, halfway._compiled.broken]

def refuse(*given):
    def backend(graph, inputs):
        raise RuntimeError("gcc: no such program")
    return torch.compile(given[0], backend=backend, fullgraph=True, dynamic=False)

compiled_encoder._compile = refuse
without = CompileCallback(ORDER, manifest)
_, refused = fit([without], resume=one)
found["resumed"] = [refused.losses, resumed.losses]
found["refused"] = without.outcome.as_dict()
here = CompileCallback(CompileOrder(rows=3), manifest)
here.on_train_start(plain.trainer, plain)
found["here"] = here.outcome.as_dict()
(folder / "found.json").write_text(json.dumps(found))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """What the trainings came to, and what they printed."""
    folder = tmp_path_factory.mktemp("compiled")
    rows = []
    for place, seconds in enumerate(SECONDS):
        path = folder / f"{place}.wav"
        factories.write_wav(path, seconds, seed=place)
        rows.append({"audio_filepath": str(path), "duration": seconds, "text": "give ten"})
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(ENTRY), str(folder), str(catalog.embedded_path())],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads((folder / "found.json").read_text()), done.stdout


@pytest.fixture(scope="module")
def found(run: tuple[dict[str, Any], str]) -> dict[str, Any]:
    """What the trainings came to."""
    return run[0]


def test_losses_are_those_of_plain_layers(found: dict[str, Any]) -> None:
    """With SpecAugment, accumulation, clipping and a smaller last batch; dropout draws by shape."""
    plain, compiled = found["losses"]
    assert len(plain) == len(compiled) == 6
    assert compiled == pytest.approx(plain, rel=1e-4)
    assert (found["misfits"], found["broken"]) == (0, "")


def test_padding_stays_out_of_batch_norm(found: dict[str, Any]) -> None:
    """Running statistics, weights and what the tuned model says are those of plain layers."""
    assert found["apart"]["statistics"] < 1e-3
    assert found["apart"]["weights"] < 1e-3
    # A bias before a batch norm has no gradient but rounding, which Adam makes steps of.
    assert found["evaluated"] < 0.05


def test_a_checkpoint_has_the_same_names(found: dict[str, Any]) -> None:
    """While layers are compiled; afterwards no module has a pass of its own."""
    plain, compiled = found["names"]
    assert plain == compiled
    assert found["left over"] == []


def test_a_checkpoint_of_compiled_layers_resumes_either_way(found: dict[str, Any]) -> None:
    """Plain layers go on from it as compiled ones do."""
    plain, compiled = found["resumed"]
    assert len(plain) == 3
    assert compiled == pytest.approx(plain, rel=1e-4)


def test_a_mask_stays_where_it_is(found: dict[str, Any]) -> None:
    """One tensor for each of both shapes: a new one would be recorded anew on a GPU."""
    assert found["masks"] == 2


def test_a_compiler_lost_in_mid_training_is_done_without(run: tuple[dict[str, Any], str]) -> None:
    """The second batch runs through plain layers, and losses are as ever; the log says it once."""
    compiled, broken, losses = run[0]["lost"]
    assert compiled
    assert "ptxas: no such program" in broken
    assert losses == pytest.approx(run[0]["resumed"][0], rel=1e-4)
    told = [line for line in run[1].splitlines() if "compiled layers: not any more" in line]
    assert sum("ptxas: no such program" in line for line in told) == 1


def test_graphs_recorded_batch_by_batch_are_given_up(run: tuple[dict[str, Any], str]) -> None:
    """After more batches than there are shapes: a first batch of a shape may be recorded."""
    batches, broken = run[0]["recording"]
    assert 4 < batches < 19
    assert "batches were recorded as graphs again" in broken


def test_what_was_compiled_is_recorded(found: dict[str, Any]) -> None:
    """Rows, frames and padding; a few shapes are enough."""
    outcome = found["outcome"]
    assert (outcome["compiled"], outcome["because"], outcome["rows"]) == (True, "", 3)
    assert len(outcome["frames"]) == 2
    assert outcome["frames"] == sorted(outcome["frames"])
    assert not outcome["fused_adamw"]  # a CPU's weights


def test_a_compiler_that_fails_is_done_without(run: tuple[dict[str, Any], str]) -> None:
    """In one line, before the first batch."""
    refused = run[0]["refused"]
    assert not refused["compiled"]
    assert "gcc: no such program" in refused["because"]
    told = [line for line in run[1].splitlines() if line.startswith("compiled layers: no")]
    assert sum("gcc: no such program" in line for line in told) == 1


def test_a_cpu_trains_plain_layers(run: tuple[dict[str, Any], str]) -> None:
    """What makes CUDA graphs is not even tried there, and the log says so."""
    assert run[0]["here"]["because"] == "there is no GPU"
    assert "compiled layers: no, plain layers instead: there is no GPU" in run[1].splitlines()
