#!/usr/bin/env bash
# Lightning 2.6.6: with EMAWeightAveraging from a later step on, a training that stops early ends with its first weights.
#
# update_starting_at_step leaves the wild first steps out of the average. Until then one would expect the trained weights to
# be validated, saved and kept. But the average is a copy of the weights from before the first step, and is used as if it
# were one: each validation scores the untrained model (known as pytorch-lightning#21724), so the metric does not move. Two
# things follow that are not told there. EarlyStopping sees no progress, and ends the training before the average begins,
# however well it goes. And the end of fit copies the "average" over the model: what was trained is gone from memory, also
# without EarlyStopping, if max_epochs comes first. The checkpoints hold untrained weights in state_dict, which
# load_from_checkpoint and ckpt_path="best" take; the trained ones are in current_model_state alone. The number of averaged
# models (averaging_state.n_averaged) is 0 in such a checkpoint, which tells.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 lightning==2.6.6 numpy==2.4.6
cat >"$work/train.py" <<'PROGRAM'
"""Train one weight from 0 to 10 with early stopping, without and with an average; print what is scored and kept."""

import logging
import warnings

import lightning
import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import EarlyStopping, EMAWeightAveraging, ModelCheckpoint
from torch.utils.data import DataLoader, TensorDataset

warnings.filterwarnings("ignore")
logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.ERROR)
ROWS = DataLoader(TensorDataset(torch.ones(4, 1)))
STEPS_AN_EPOCH = 4


class ToTen(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.scored = []

    def training_step(self, *_):
        return (self.weight - 10).square().sum()

    def validation_step(self, _, number):
        self.log("val_loss", (self.weight - 10).square().sum())
        if number == 0:
            self.scored.append(round(self.weight.item(), 1))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.05)


def train(name, *callbacks, epochs=12):
    """Print the weight that each validation scored, the one after the training, and those of the best checkpoint."""
    model = ToTen()
    best = ModelCheckpoint(name, monitor="val_loss")
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=[*callbacks, best],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(model, ROWS, ROWS)
    saved = torch.load(best.best_model_path, weights_only=False)
    trained = saved.get("current_model_state", {}).get("weight")
    print(f"{name}: {trainer.global_step} steps, scored {model.scored}, kept {model.weight.item():.1f}, best checkpoint "
          f"{saved['state_dict']['weight'].item():.1f}" + (f" beside {trained.item():.1f}" if trained is not None else ""))  # fmt: skip


def stopping():
    return EarlyStopping("val_loss", patience=2)


def average(epoch):
    return EMAWeightAveraging(decay=0.5, update_starting_at_step=epoch * STEPS_AN_EPOCH)


print("lightning", lightning.__version__, "torch", torch.__version__.split("+")[0])
train("no average", epochs=5)
train("average from the start", average(0), epochs=5)
train("average from epoch 3 of 5", average(3), epochs=5)
train("average from epoch 3 of 12, early stopping", average(3), stopping())
train("average from epoch 8 of 5", average(8), epochs=5)
PROGRAM
cd "$work"
"$python" train.py 2>"$work/errors" | grep -v -E '^(GPU|TPU|HPU|💡|.Trainer)' | tee "$work/seen" || { cat "$work/errors"; exit 1; }

cat >"$work/expected" <<'SEEN'
lightning 2.6.6 torch 2.13.0
no average: 20 steps, scored [3.4, 5.7, 7.2, 8.1, 8.8], kept 8.8, best checkpoint 8.8
average from the start: 20 steps, scored [2.8, 5.2, 6.8, 7.9, 8.6], kept 8.6, best checkpoint 8.6 beside 8.8
average from epoch 3 of 5: 20 steps, scored [0.0, 0.0, 0.0, 8.0, 8.6], kept 8.6, best checkpoint 8.6 beside 8.8
average from epoch 3 of 12, early stopping: 12 steps, scored [0.0, 0.0, 0.0], kept 0.0, best checkpoint 0.0 beside 3.4
average from epoch 8 of 5: 20 steps, scored [0.0, 0.0, 0.0, 0.0, 0.0], kept 0.0, best checkpoint 0.0 beside 3.4
SEEN
diff "$work/expected" "$work/seen"
