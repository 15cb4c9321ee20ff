#!/usr/bin/env bash
# Lightning 2.6.6: a training that stopped early cannot be resumed with more patience.
#
# EarlyStopping ended a training after two epochs without progress. Whoever resumes it with patience=20 would expect up
# to 18 more. It trains one epoch and stops again: the callback's state in the checkpoint holds the patience beside
# the count of epochs, and loading it overwrites what the new callback was made with. min_delta is the new one's, since
# it is not in the state; so one setting of the callback can be changed for a resumed training, and its neighbour cannot.
# Nothing is said of it. A look at callback.patience after the restore tells.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 lightning==2.6.6 numpy==2.4.6
cat >"$work/train.py" <<'PROGRAM'
import logging
import warnings

import lightning
import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch.utils.data import DataLoader, TensorDataset

warnings.filterwarnings("ignore")
logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.ERROR)
ROWS = DataLoader(TensorDataset(torch.ones(4, 1)))


class NoProgress(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, _):
        return self.layer(batch[0]).sum()

    def validation_step(self, *_):
        self.log("val_wer", 0.25)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def train(patience, min_delta, checkpoint=None):
    """Return how many epochs are trained in all, and what the callback says of itself afterwards."""
    stopping = EarlyStopping("val_wer", patience=patience, min_delta=min_delta)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=100,
        callbacks=[stopping, ModelCheckpoint("checkpoints", save_last=True)],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(NoProgress(), ROWS, ROWS, ckpt_path=checkpoint)
    return trainer.current_epoch, stopping.patience, abs(stopping.min_delta)


print("lightning", lightning.__version__, "torch", torch.__version__)
seen = {
    "patience 2": train(2, 0.01),
    "resumed with patience 20": train(20, 0.02, "checkpoints/last.ckpt"),
    "patience 20 from the start": train(20, 0.02),
}
for way, (epochs, patience, min_delta) in seen.items():
    print(f"{way}: {epochs} epochs; the callback has patience {patience}, min_delta {min_delta}")
assert list(seen.values()) == [(3, 2, 0.01), (4, 2, 0.02), (21, 20, 0.02)], "the behaviour changed"
PROGRAM
cd "$work"
"$python" train.py 2>&1 | grep -v -E '^(GPU|TPU|HPU|💡|.Trainer)'
