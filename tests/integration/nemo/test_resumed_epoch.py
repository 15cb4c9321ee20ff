"""A training that was killed after an epoch goes on with the next one, in Lightning and NeMo."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tasks.runtimes.base import ENTRY

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import os, sys
sys.path.insert(0, sys.argv[1])
folder, killed = sys.argv[2], sys.argv[3] == "killed"
import lightning.pytorch as pl
import torch
from nemo.utils.exp_manager import exp_manager
from training_events import end_finished_epoch

class Model(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.trained = []

    def training_step(self, batch, number):
        if killed and self.current_epoch == 1:
            os._exit(0)
        self.trained.append((self.current_epoch, number))
        return self.layer(batch).sum()

    def validation_step(self, batch, number):
        self.log("val_loss", self.layer(batch).sum())

    def on_train_start(self):
        end_finished_epoch(self.trainer)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-3)

    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.ones(12, 1), batch_size=3)

    def val_dataloader(self):
        return torch.utils.data.DataLoader(torch.ones(3, 1))

model = Model()
trainer = pl.Trainer(
    max_epochs=2, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
    enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
)
exp_manager(trainer, {
    "exp_dir": folder, "name": "a", "create_tensorboard_logger": False,
    "use_datetime_version": False, "resume_if_exists": True, "resume_ignore_no_checkpoint": True,
    "checkpoint_callback_params": {"monitor": "val_loss", "save_nemo_on_train_end": False},
})
trainer.fit(model)
print("trained", model.trained, trainer.global_step)
"""


def test_no_batch_of_the_finished_epoch_is_trained_again(tmp_path: Path) -> None:
    """Without us one more is, beyond its last: findings/nemo-resume-trains-a-batch-more.sh."""
    told = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM, str(ENTRY), str(tmp_path), how],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout
        for how in ("killed", "whole")
    ]
    assert "trained" not in told[0]
    assert told[1].splitlines()[-1] == "trained [(1, 0), (1, 1), (1, 2), (1, 3)] 8"
