#!/usr/bin/env bash
# NeMo 3.0.0: until a training ends, the .nemo that it calls "New best" holds the weights of an epoch that was worse.
#
# save_best_model with always_save_nemo promises a .nemo of the best epoch after each checkpoint, also for a job that a
# cluster's time limit ends. When the best epoch's checkpoint is about to be written, its file is not there yet, and the
# .nemo is put off. The next checkpoint makes up for it: it finds the best one's file, and saves the model as it is now,
# an epoch later. With save_last false and several checkpoints kept, that is another epoch than the name says; with one kept, a
# worse epoch writes nothing, and there is no .nemo at all until the end. The end restores the best and writes it rightly.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check torch==2.13.0
"$python" -m pip install --quiet --disable-pip-version-check "nemo_toolkit[asr]==3.0.0" numpy==2.4.6 numba==0.68.1 \
  lightning==2.4.0

cat >"$work/best.py" <<'PROGRAM'
import io
import logging
import sys
import tarfile
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
import lightning.pytorch as pl
import torch
from nemo.core.classes import ModelPT
from nemo.utils.exp_manager import exp_manager
from omegaconf import OmegaConf
from torch.utils.data import DataLoader

VAL_WER = [0.25, 0.5, 0.75]  # the first epoch is the best
ROWS = DataLoader(torch.ones(2, 1))


class Model(ModelPT):
    """A model whose one weight is the number of its epoch, from 1."""

    def __init__(self, cfg, trainer=None):
        super().__init__(cfg, trainer)
        self.layer = torch.nn.Linear(1, 1, bias=False)

    def training_step(self, batch, _):
        with torch.no_grad():
            self.layer.weight.fill_(float(self.current_epoch + 1))
        return self.layer(batch).sum()

    def validation_step(self, *_):
        self.log("val_wer", VAL_WER[self.current_epoch])

    def on_validation_epoch_end(self):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)

    def setup_training_data(self, *_):
        pass

    def setup_validation_data(self, *_):
        pass

    @classmethod
    def list_available_models(cls):
        return []


def epoch_in(folder):
    """Return the epoch whose weight the .nemo holds, or None where there is none."""
    files = sorted(Path(folder).rglob("*.nemo"))
    if not files:
        return None
    with tarfile.open(files[-1]) as archive:
        (name,) = [name for name in archive.getnames() if name.endswith("model_weights.ckpt")]
        weights = torch.load(io.BytesIO(archive.extractfile(name).read()), weights_only=True)
    return int(weights["layer.weight"])


class Look(pl.Callback):
    """What a job that is ended in its last epoch leaves."""

    def on_train_epoch_start(self, trainer, model):
        if trainer.current_epoch == len(VAL_WER) - 1:
            self.found = epoch_in(self.folder)


def train(folder, **checkpoints):
    """Return the epoch in the .nemo while the last epoch trains, and at the end."""
    look = Look()
    look.folder = folder
    trainer = pl.Trainer(
        max_epochs=len(VAL_WER),
        accelerator="cpu",
        devices=1,
        callbacks=[look],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    settings = {"monitor": "val_wer", "mode": "min", "save_best_model": True, "always_save_nemo": True, **checkpoints}
    exp_manager(
        trainer,
        {
            "exp_dir": folder,
            "name": "a",
            "create_tensorboard_logger": False,
            "use_datetime_version": False,
            "checkpoint_callback_params": settings,
        },
    )
    trainer.fit(Model(OmegaConf.create({}), trainer), ROWS, ROWS)
    return look.found, epoch_in(folder)


found = {
    "three kept, no last one": train("three", save_top_k=3, save_last=False),
    "one kept, no last one": train("one", save_top_k=1, save_last=False),
    "three kept, and the last one": train("last", save_top_k=3, save_last=True),
}
sys.stdout.flush()
for name, (before, after) in found.items():
    print(f"{name}: epoch in the .nemo while the third trains: {before}, at the end: {after}")
assert found == dict(zip(found, [(2, 1), (None, 1), (1, 1)])), found
PROGRAM
cd "$work"
"$python" best.py 2>"$work/err" || { tail -20 "$work/err"; exit 1; }
# Seen with Python 3.11.7:
# three kept, no last one: epoch in the .nemo while the third trains: 2, at the end: 1
# one kept, no last one: epoch in the .nemo while the third trains: None, at the end: 1
# three kept, and the last one: epoch in the .nemo while the third trains: 1, at the end: 1
