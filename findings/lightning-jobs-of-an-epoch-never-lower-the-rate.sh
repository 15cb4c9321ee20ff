#!/usr/bin/env bash
# Lightning 2.6.6: each resume forgets an epoch of ReduceLROnPlateau, and in jobs of one epoch the rate never falls.
#
# On a cluster a training is cut into jobs: each resumes from the last checkpoint. One would expect that the scheduler counts
# the epochs without progress as in one piece. But ModelCheckpoint saves when an epoch's validation ends, and a
# plateau's scheduler is stepped after that, so that a checkpoint never holds what its own epoch did to the scheduler and to
# the rate; resuming does not make up for it. Other schedulers do not have it: they are stepped before the save. So of
# n epochs a job counts n - 1, and a rate that was lowered at its end is as high as before in the next one. With a job
# for each epoch nothing is ever counted, and a training of any length keeps its first rate. Nothing is said: the scheduler's
# state is in the checkpoint and is loaded. That plateaus "continue to save an older state potentially" stands in
# pytorch-lightning#7877 of 2021. save_on_train_epoch_end=True does not help. Lightning 2.4.0 does the same.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 lightning==2.6.6 numpy==2.4.6
cat >"$work/train.py" <<'PROGRAM'
"""Train twelve epochs without progress, in one job or in several, and print each epoch's learning rate."""

import logging
import shutil
import warnings
from pathlib import Path

import lightning
import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.optim.lr_scheduler import ExponentialLR, ReduceLROnPlateau
from torch.utils.data import DataLoader, TensorDataset

warnings.filterwarnings("ignore")
logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.ERROR)
ROWS = DataLoader(TensorDataset(torch.ones(1, 1)))
FOLDER, EPOCHS = Path("checkpoints").resolve(), 12


class NoProgress(pl.LightningModule):
    def __init__(self, make_scheduler):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.make_scheduler, self.rates = make_scheduler, []

    def training_step(self, batch, _):
        self.rates.append(f"{self.optimizers().param_groups[0]['lr']:g}")
        return self.layer(batch[0]).sum()

    def validation_step(self, *_):
        self.log("val_wer", 0.25)

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=1.0)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self.make_scheduler(optimizer), "monitor": "val_wer"}}


def rates(make_scheduler, epochs_a_job, **saving):
    shutil.rmtree(FOLDER, ignore_errors=True)
    found = []
    for until in range(epochs_a_job, EPOCHS + 1, epochs_a_job):
        keep = ModelCheckpoint(FOLDER, filename="{epoch}", save_top_k=-1, **saving)
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=until,
            callbacks=[keep],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        model = NoProgress(make_scheduler)
        trainer.fit(model, ROWS, ROWS, ckpt_path=FOLDER / f"epoch={len(found) - 1}.ckpt" if found else None)
        found += model.rates
    return " ".join(found)


def plateau(optimizer):
    return ReduceLROnPlateau(optimizer, factor=0.5, patience=1)


def halved(optimizer):
    return ExponentialLR(optimizer, 0.5)


print("lightning", lightning.__version__, "torch", torch.__version__.split("+")[0])
for epochs_a_job in (12, 4, 3, 2, 1):
    print(f"jobs of {epochs_a_job} epochs: {rates(plateau, epochs_a_job)}")
print(f"jobs of 1 epochs, saved at the end of the training epoch: {rates(plateau, 1, save_on_train_epoch_end=True)}")
print("each epoch halves the rate:", "the same" if rates(halved, 12) == rates(halved, 1) else "another", "in jobs of 1 epochs")
PROGRAM
cd "$work"
"$python" train.py 2>"$work/errors" | grep -v -E '^(GPU|TPU|HPU|💡|.Trainer)' | tee "$work/seen" || { cat "$work/errors"; exit 1; }

cat >"$work/expected" <<'SEEN'
lightning 2.6.6 torch 2.13.0
jobs of 12 epochs: 1 1 1 0.5 0.5 0.25 0.25 0.125 0.125 0.0625 0.0625 0.03125
jobs of 4 epochs: 1 1 1 0.5 0.5 0.5 0.25 0.25 0.25 0.125 0.125 0.0625
jobs of 3 epochs: 1 1 1 1 0.5 0.5 0.5 0.25 0.25 0.25 0.125 0.125
jobs of 2 epochs: 1 1 1 1 1 0.5 0.5 0.5 0.5 0.25 0.25 0.25
jobs of 1 epochs: 1 1 1 1 1 1 1 1 1 1 1 1
jobs of 1 epochs, saved at the end of the training epoch: 1 1 1 1 1 1 1 1 1 1 1 1
each epoch halves the rate: the same in jobs of 1 epochs
SEEN
diff "$work/expected" "$work/seen"
