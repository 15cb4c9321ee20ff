#!/usr/bin/env bash
# Lightning 2.6.6: resumed from a checkpoint of a validation, a training drops the gradients that were accumulated by then.
#
# With accumulate_grad_batches=4 a step is made from four batches. A checkpoint knows which batch is next, and one would
# expect that the open step is completed, or begun again. But its gradients are in no checkpoint, and the count of its
# batches is: the resumed training takes only the rest of the four, still divides each loss by four, and makes a whole step
# of it. So after a validation that fell behind the third batch of a window, the first step has a quarter of its gradient,
# from a quarter of its rows; an optimiser like Adam takes it for a full one. Steps, rates and losses look as without the
# break, and nothing is said. Validations fall there by themselves: val_check_interval counts batches, not steps, and as a
# fraction of an epoch it is seldom a multiple of the window. Lightning 2.4.0 does the same. With an interval in multiples
# of accumulate_grad_batches nothing is lost.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 lightning==2.6.6 numpy==2.4.6
cat >"$work/train.py" <<'PROGRAM'
"""Train with equal rows, whose every step has the gradient 1; print the steps' gradients without and with a break."""

import logging
import warnings

import lightning
import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader, TensorDataset

warnings.filterwarnings("ignore")
logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.ERROR)
ROWS = DataLoader(TensorDataset(torch.ones(16, 1)))


class Slope(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.batches, self.steps = 0, []

    def training_step(self, batch, _):
        self.batches += 1
        return (self.weight * batch[0]).sum()

    def validation_step(self, *_):
        pass

    def on_before_optimizer_step(self, _):
        self.steps.append(f"{self.weight.grad.item():g} of {self.batches}")
        self.batches = 0

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def train(interval, checkpoint=None):
    """Return gradient and number of batches of each step, and the first checkpoint that a validation left."""
    left = ModelCheckpoint(f"checkpoints-{interval}", filename="{step}", save_top_k=-1, save_on_train_epoch_end=False)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        accumulate_grad_batches=4,
        val_check_interval=interval,
        callbacks=[left],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    model = Slope()
    trainer.fit(model, ROWS, ROWS, ckpt_path=checkpoint)
    return model.steps, trainer.global_step, f"checkpoints-{interval}/step=1.ckpt"


print("lightning", lightning.__version__, "torch", torch.__version__.split("+")[0])
for interval in (4, 5, 6, 7):
    steps, _, checkpoint = train(interval)
    assert steps == ["1 of 4"] * 4
    steps, done, _ = train(interval, checkpoint)
    print(f"resumed after batch {interval}: {done} steps in all, after the break with gradients {', '.join(steps)} batches")
PROGRAM
cd "$work"
"$python" train.py 2>"$work/errors" | grep -v -E '^(GPU|TPU|HPU|💡|.Trainer)' | tee "$work/seen" || { cat "$work/errors"; exit 1; }

cat >"$work/expected" <<'SEEN'
lightning 2.6.6 torch 2.13.0
resumed after batch 4: 4 steps in all, after the break with gradients 1 of 4, 1 of 4, 1 of 4 batches
resumed after batch 5: 4 steps in all, after the break with gradients 0.75 of 3, 1 of 4, 1 of 4 batches
resumed after batch 6: 4 steps in all, after the break with gradients 0.5 of 2, 1 of 4, 1 of 4 batches
resumed after batch 7: 4 steps in all, after the break with gradients 0.25 of 1, 1 of 4, 1 of 4 batches
SEEN
diff "$work/expected" "$work/seen"
