#!/usr/bin/env bash
# NeMo 3.0.0: trained with a moving average, the .nemo file holds weights that no validation has seen.
#
# With exp_manager.ema.enable=True each validation scores the average of the weights, so val_wer, early stopping and the choice
# of the best checkpoint are the average's. Of the .nemo file that the training leaves, which is what one hands on, one would
# expect the average too. It has the last raw weights, those that the average was meant to smooth: whoever quotes the log's
# val_wer for it quotes another model's. The checkpoint whose name carries the average's score is raw as well; the
# average is in the one that ends in -EMA.ckpt alone. Nothing is said. validate_original_weights=True makes log and
# file agree, by scoring what the average was to replace. save_best_model=True, which would put the best checkpoint into the
# .nemo, ends in an error when all epochs are trained: the average is read back with PyTorch's weights_only, which refuses it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check torch==2.13.0
"$python" -m pip install --quiet --disable-pip-version-check "nemo_toolkit[asr]==3.0.0" numpy==2.4.6 numba==0.68.1 \
  lightning==2.4.0

cat >"$work/train.py" <<'PYTHON'
"""Train a small CTC model with NeMo's moving average; print which files hold the weights that a validation scored."""

import importlib.metadata
import json
import logging
import pickle
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
import lightning.pytorch as pl
import numpy as np
import soundfile
import torch
from nemo.collections.asr.models import EncDecCTCModel
from nemo.utils.exp_manager import exp_manager
from omegaconf import OmegaConf

ASR = "nemo.collections.asr.modules."
LABELS = [" ", *"abcd"]
EPOCHS = 3
rng = np.random.default_rng(0)
with open("rows.json", "w") as manifest:
    for number in range(16):
        text = "".join(rng.choice(LABELS[1:], 6))
        sound = np.concatenate([np.sin(np.arange(4_000) * (0.1 + 0.25 * LABELS.index(letter))) for letter in text])
        soundfile.write(f"{number}.wav", 0.3 * sound, 16_000)
        manifest.write(json.dumps({"audio_filepath": str(Path(f"{number}.wav").resolve()), "duration": 1.5, "text": text}) + "\n")
rows = {"manifest_filepath": "rows.json", "sample_rate": 16_000, "batch_size": 4, "labels": LABELS, "num_workers": 0}
layer = {"filters": 16, "repeat": 1, "kernel": [5], "stride": [2], "dilation": [1], "dropout": 0.0, "residual": False}
layer |= {"separable": True}
config = {
    "sample_rate": 16_000,
    "log_prediction": False,
    "labels": LABELS,
    "train_ds": {**rows, "shuffle": True},
    "validation_ds": {**rows, "shuffle": False},
    "preprocessor": {"_target_": f"{ASR}AudioToMelSpectrogramPreprocessor", "features": 16},
    "encoder": {"_target_": f"{ASR}ConvASREncoder", "feat_in": 16, "activation": "relu", "jasper": [layer]},
    "decoder": {"_target_": f"{ASR}ConvASRDecoder", "feat_in": 16, "num_classes": len(LABELS), "vocabulary": LABELS},
    "optim": {"name": "adamw", "lr": 0.03},
}
SILENT = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False}
SILENT["enable_checkpointing"] = False


class Scored(pl.Callback):
    """Keep the weights that each validation scored, and their loss."""

    def __init__(self):
        self.weights, self.losses = [], []

    def on_validation_batch_start(self, trainer, model, batch, number, *_):
        if number == 0:
            self.weights.append({name: value.clone() for name, value in model.named_parameters()})

    def on_validation_end(self, trainer, model):
        self.losses.append(float(trainer.callback_metrics["val_loss"]))

    def tell(self, states):
        """Whether these are the weights that a validation scored, as a phrase."""
        known = any(all(torch.equal(value, states[name]) for name, value in one.items()) for one in self.weights)
        return "scored by a validation" if known else "scored by none"


def train(name, best=False, **average):
    torch.manual_seed(0)
    trainer = pl.Trainer(max_epochs=EPOCHS, num_sanity_val_steps=0, **SILENT)
    settings = {"exp_dir": name, "name": "tuned", "create_tensorboard_logger": False}
    checkpoints = {"monitor": "val_loss", "mode": "min", "save_top_k": 1, "save_best_model": best}
    settings |= {"ema": average, "checkpoint_callback_params": checkpoints}
    exp_manager(trainer, OmegaConf.create(settings))
    scored = Scored()
    trainer.callbacks.append(scored)
    model = EncDecCTCModel(OmegaConf.create(config), trainer=trainer)
    try:
        trainer.fit(model)
    except pickle.UnpicklingError as error:
        print(f"{name}: {type(error).__name__} after {len(scored.losses)} epochs, {len([*Path(name).rglob('*.nemo')])} .nemo")
        return
    (nemo,) = Path(name).rglob("*.nemo")
    tuned = EncDecCTCModel.restore_from(str(nemo), map_location="cpu")
    tuned.setup_validation_data(model.cfg.validation_ds)
    judge = pl.Trainer(**SILENT)
    tuned.set_trainer(judge)
    (found,) = judge.validate(tuned, verbose=False)
    same = abs(found["val_loss"] - scored.losses[-1]) < 1e-3
    print(f"{name}: .nemo {scored.tell(tuned.state_dict())}; its loss is that of the last validation: {same}")
    for file in sorted(Path(name).rglob("*.ckpt")):
        ending = "".join(part for part in ("-last", "-EMA") if part in file.name) + ".ckpt"
        states = torch.load(file, map_location="cpu", weights_only=False)["state_dict"]
        print(f"{name}: {ending} {scored.tell(states)}")


print("nemo", importlib.metadata.version("nemo_toolkit"), "torch", torch.__version__.split("+")[0])
train("no average", enable=False)
train("average", enable=True, decay=0.9)
train("average, raw weights validated", enable=True, decay=0.9, validate_original_weights=True)
train("average, best model", best=True, enable=True, decay=0.9)
PYTHON
cd "$work"
"$python" train.py 2>"$work/errors" | grep -E '^(nemo|no average|average)' | tee "$work/seen" ||
  { tail -n 30 "$work/errors" >&2; exit 1; }

cat >"$work/expected" <<'SEEN'
nemo 3.0.0 torch 2.13.0
no average: .nemo scored by a validation; its loss is that of the last validation: True
no average: .ckpt scored by a validation
no average: -last.ckpt scored by a validation
average: .nemo scored by none; its loss is that of the last validation: False
average: -EMA.ckpt scored by a validation
average: .ckpt scored by none
average: -last-EMA.ckpt scored by a validation
average: -last.ckpt scored by none
average, raw weights validated: .nemo scored by a validation; its loss is that of the last validation: True
average, raw weights validated: -EMA.ckpt scored by none
average, raw weights validated: .ckpt scored by a validation
average, raw weights validated: -last-EMA.ckpt scored by none
average, raw weights validated: -last.ckpt scored by a validation
average, best model: UnpicklingError after 3 epochs, 0 .nemo
SEEN
diff "$work/expected" "$work/seen"
