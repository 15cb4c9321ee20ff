"""Stock fine-tuning where the stock script is not to be had.

NeMo's package on PyPI has no examples/asr/speech_to_text_finetune.py. This program takes the same
Hydra keys and does the same with NeMo's public classes, in the same order, so that one seed gives
the same weights: a trainer, its experiment manager, the restored base with its own vocabulary, data
loaders, optimiser, SpecAugment, fit.
"""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from nemo.collections.asr.models import ASRModel
from nemo.core.config import hydra_runner
from nemo.utils.exp_manager import exp_manager
from nemo.utils.trainer_utils import resolve_trainer_cfg
from omegaconf import OmegaConf


@hydra_runner(config_path="conf", config_name="sft")  # type: ignore[untyped-decorator]
def main(cfg: Any) -> None:  # noqa: ANN401 - an OmegaConf configuration
    """Tune the base that ``init_from_nemo_model`` names."""
    trainer = pl.Trainer(**resolve_trainer_cfg(cfg.trainer))
    exp_manager(trainer, cfg.exp_manager)
    model = ASRModel.restore_from(cfg.init_from_nemo_model)
    model.set_trainer(trainer)
    settings = OmegaConf.create(OmegaConf.to_container(cfg.model, resolve=True))
    model.setup_training_data(settings.train_ds)
    model.setup_multiple_validation_data(settings.validation_ds)
    model.setup_optimization(settings.optim)
    model.spec_augment = ASRModel.from_config_dict(settings.spec_augment)
    trainer.fit(model)


if __name__ == "__main__":
    main()
