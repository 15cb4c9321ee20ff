#!/usr/bin/env bash
# torch 2.13.0 (Lightning 2.6.6): a training that is validated more often becomes another model, from the same seed.
#
# Validation draws nothing at random: its rows are not shuffled, and dropout is off. One would expect weights that do not
# depend on how often it is done, so that two runs can be compared that differ in nothing else. But each iteration over a
# DataLoader draws a number for its workers' seeds from the global generator, shuffled or not, with workers or
# without. What the training draws next, for dropout, augmentation or the next epoch's order, is shifted by each
# validation. Lightning restores the generator after its sanity check, and not after a validation.
# With a generator of its own for the validation's DataLoader (generator=torch.Generator()) it has no such effect.
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
from torch import nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, TensorDataset

warnings.filterwarnings("ignore")
for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.seed"):
    logging.getLogger(name).setLevel(logging.ERROR)
ROWS = TensorDataset(*torch.randn(2, 64, 8, generator=torch.Generator().manual_seed(3)))


class Model(pl.LightningModule):
    def __init__(self, dropout):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, 8), nn.Dropout(dropout), nn.Linear(8, 8))

    def training_step(self, batch, _):
        return mse_loss(self.layers(batch[0]), batch[1])

    def validation_step(self, batch, _):
        mse_loss(self.layers(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def train(validations, *, dropout=0.5, own_generator=False):
    pl.seed_everything(0)
    model = Model(dropout)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        val_check_interval=8 // validations,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    generator = torch.Generator() if own_generator else None
    trainer.fit(model, DataLoader(ROWS, batch_size=8), DataLoader(ROWS, batch_size=8, generator=generator))
    return round(float(sum(parameter.abs().sum() for parameter in model.parameters())), 4)


print("lightning", lightning.__version__, "torch", torch.__version__)
COUNTS = (1, 2, 4, 8)
print(f"sum of all weights after eight steps with {COUNTS} validations:")
plain = [train(count) for count in COUNTS]
print("  dropout:", plain)
own = [train(count, own_generator=True) for count in COUNTS]
print("  dropout, a generator of its own for validation:", own)
without = [train(count, dropout=0.0) for count in COUNTS]
print("  no dropout:", without)
assert len(set(plain)) == len(COUNTS) and len(set(own)) == len(set(without)) == 1, "the behaviour changed"
PROGRAM
cd "$work"
"$python" train.py 2>&1 | grep -v -E '^(GPU|TPU|HPU|💡|.Trainer)'
