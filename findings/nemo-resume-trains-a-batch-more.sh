#!/usr/bin/env bash
# A training that was killed after an epoch, and is resumed by NeMo's experiment manager (NeMo 3.0.0,
# Lightning 2.4.0), trains one batch more of the epoch that was over, beyond its last one. One would
# expect it to go on with the next epoch. `disable_validation_on_resume`, on by default, has the loop
# answer that no validation is due; Lightning, which asks that to skip the finished epoch's training,
# then trains. Each resume is a step of the optimiser and of the learning rate's schedule too many.
# With the setting off there is no such step.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check torch==2.13.0
"$python" -m pip install --quiet --disable-pip-version-check "nemo_toolkit[asr]==3.0.0" numpy==2.4.6 numba==0.68.1 lightning==2.4.0

cat > "$work/train.py" <<'PROGRAM'
"""Train two epochs of four batches, or go on with them; print (epoch, batch) of each that was trained."""
import logging
import os
import sys
import warnings

warnings.filterwarnings("ignore")
import lightning
import lightning.pytorch as pl
import nemo
import torch
from nemo.utils.exp_manager import exp_manager

logging.disable(logging.CRITICAL)


class Model(pl.LightningModule):
    def __init__(self, killed):
        super().__init__()
        self.killed = killed
        self.layer = torch.nn.Linear(1, 1)
        self.trained = []

    def training_step(self, batch, number):
        if self.killed and self.current_epoch == 1:
            os._exit(0)  # as a kill, or a host that went away
        self.trained.append((self.current_epoch, number))
        return self.layer(batch).sum()

    def validation_step(self, batch, number):
        self.log("val_loss", self.layer(batch).sum())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-3)

    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.ones(12, 1), batch_size=3)

    def val_dataloader(self):
        return torch.utils.data.DataLoader(torch.ones(3, 1))


def fit(folder, skip, killed):
    model = Model(killed)
    trainer = pl.Trainer(
        max_epochs=2, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )
    exp_manager(trainer, {
        "exp_dir": folder, "name": "a", "create_tensorboard_logger": False, "use_datetime_version": False,
        "create_checkpoint_callback": True, "resume_if_exists": True, "resume_ignore_no_checkpoint": True,
        "disable_validation_on_resume": skip,
        "checkpoint_callback_params": {"monitor": "val_loss", "save_nemo_on_train_end": False},
    })
    trainer.fit(model)
    return model.trained, trainer.global_step


if __name__ == "__main__":
    folder, skip, killed = sys.argv[1], sys.argv[2] == "skip", sys.argv[3] == "killed"
    trained, step = fit(folder, skip, killed)
    print(f"trained {trained}, step {step}")
PROGRAM

# What is trained after a kill at the beginning of the second epoch.
resumed() {
  "$python" "$work/train.py" "$work/$1" "$1" killed > /dev/null 2>&1
  "$python" "$work/train.py" "$work/$1" "$1" whole 2> /dev/null | grep '^trained'
}

"$python" -c 'import lightning, nemo; print(f"nemo_toolkit {nemo.__version__}, lightning {lightning.__version__}")' 2> /dev/null | tail -1
by_default=$(resumed skip)
without=$(resumed validate)
echo "disable_validation_on_resume, the default: $by_default"
echo "without: $without"
second="(1, 0), (1, 1), (1, 2), (1, 3)"
if [ "$by_default" = "trained [(0, 4), $second], step 9" ] && [ "$without" = "trained [$second], step 8" ]; then
  echo "as found: a fifth batch of an epoch of four"
else
  echo "changed: a resumed training trains other batches"
  exit 1
fi
