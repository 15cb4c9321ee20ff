#!/usr/bin/env bash
# Lightning 2.6.6: a training that is resumed with a smaller save_top_k keeps every new checkpoint, and deletes none.
#
# Whoever sees a disk fill up resumes with save_top_k=2 in the place of 5, and would expect two checkpoints, or the five and
# no more. But the callback gets its list of the five best from the checkpoint, and deletes the worst when the list is as
# long as save_top_k: not longer, as long. A list of five never is two, so each epoch that is better than the worst of the
# list is saved and nothing goes: ten epochs, ten files more, each with weights and the optimiser's moments. So the setting
# that was made against a full disk fills it. A larger number works. Nothing is said. Lightning 2.4.0 does the same.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 lightning==2.6.6 numpy==2.4.6
cat >"$work/train.py" <<'PROGRAM'
"""Train six epochs with the five best kept, resume for ten more with another number, and count the files."""

import logging
import shutil
import warnings
from pathlib import Path

import lightning
import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader, TensorDataset

warnings.filterwarnings("ignore")
logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.ERROR)
ROWS = DataLoader(TensorDataset(torch.ones(2, 1)))
FOLDER = Path("checkpoints").resolve()


class Better(pl.LightningModule):
    """Have a lower error rate after each epoch."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, _):
        return self.layer(batch[0]).sum()

    def validation_step(self, *_):
        self.log("val_wer", 1 - 0.01 * self.current_epoch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def train(epochs, best, checkpoint=None):
    """Return how many checkpoints lie in the folder afterwards, beside the last one, and how many the callback lists."""
    keep = ModelCheckpoint(FOLDER, monitor="val_wer", save_top_k=best, save_last=True)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=[keep],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(Better(), ROWS, ROWS, ckpt_path=checkpoint)
    return len(list(FOLDER.glob("epoch=*.ckpt"))), len(keep.best_k_models)


print("lightning", lightning.__version__, "torch", torch.__version__.split("+")[0])
for best in (5, 7, 4, 2, 1):
    shutil.rmtree(FOLDER, ignore_errors=True)
    before, _ = train(6, 5)
    files, listed = train(16, best, FOLDER / "last.ckpt")
    print(f"save_top_k 5 and {before} files; resumed for ten epochs with {best}: {files} files, {listed} in the list")
PROGRAM
cd "$work"
"$python" train.py 2>"$work/errors" | grep -v -E '^(GPU|TPU|HPU|💡|.Trainer)' | tee "$work/seen" || { cat "$work/errors"; exit 1; }

cat >"$work/expected" <<'SEEN'
lightning 2.6.6 torch 2.13.0
save_top_k 5 and 5 files; resumed for ten epochs with 5: 5 files, 5 in the list
save_top_k 5 and 5 files; resumed for ten epochs with 7: 7 files, 7 in the list
save_top_k 5 and 5 files; resumed for ten epochs with 4: 15 files, 15 in the list
save_top_k 5 and 5 files; resumed for ten epochs with 2: 15 files, 15 in the list
save_top_k 5 and 5 files; resumed for ten epochs with 1: 15 files, 15 in the list
SEEN
diff "$work/expected" "$work/seen"
