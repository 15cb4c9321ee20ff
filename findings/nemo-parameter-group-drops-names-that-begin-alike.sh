#!/usr/bin/env bash
# NeMo 3.0.0: a learning rate of its own for `encoder` takes `encoder_decoder_proj` out of the training.
#
# model.optim_param_groups gives a part of a model its own rate, and "unspecified params will use the default LR". Whoever
# names `encoder` would expect every other part at the default rate. The rest is found by the beginning of a name:
# what begins with "encoder" counts as the encoder's, whose group holds encoder.parameters() alone. So a part beside it whose
# name begins alike is in no group. Its gradients are computed, clipped and reduced over the GPUs, and nothing applies them.
# NeMo's multi-task model (Canary's class) has such a pair, where encoder and decoder are of unlike width. Nothing is said of it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check "nemo_toolkit[core]==3.0.0" torch==2.13.0
cat >"$work/groups.py" <<'PROGRAM'
import logging
import warnings

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
import torch
from nemo.core.classes import ModelPT
from omegaconf import OmegaConf

OPTIM = {"name": "adamw", "lr": 1e-3, "weight_decay": 0.0}


class Model(ModelPT):
    """The parts of EncDecMultiTaskModel, each a layer."""

    def __init__(self, cfg):
        super().__init__(cfg)
        self.encoder = torch.nn.Linear(3, 4)
        self.encoder_decoder_proj = torch.nn.Linear(4, 2)
        self.transf_decoder = torch.nn.Linear(2, 1)

    def forward(self, batch):
        return self.transf_decoder(self.encoder_decoder_proj(self.encoder(batch)))

    def setup_training_data(self, *_):
        pass

    def setup_validation_data(self, *_):
        pass

    @classmethod
    def list_available_models(cls):
        return []


def moved_after_a_step(groups):
    """Return, for each part, whether it has a gradient, and whether a step of the optimiser moved it."""
    torch.manual_seed(0)
    model = Model(OmegaConf.create({"optim": OPTIM, **groups}))
    optimizer, _ = model.setup_optimization()
    before = {name: part.weight.clone() for name, part in model.named_children()}
    model(torch.ones(5, 3)).sum().backward()
    optimizer.step()
    return {
        name: (bool(part.weight.grad.abs().sum()), not torch.equal(before[name], part.weight))
        for name, part in model.named_children()
    }


found = {
    "no groups": moved_after_a_step({}),
    "a rate for the encoder": moved_after_a_step({"optim_param_groups": {"encoder": {"lr": 1e-4}}}),
    "a rate for the decoder": moved_after_a_step({"optim_param_groups": {"transf_decoder": {"lr": 1e-4}}}),
}
for name, parts in found.items():
    still = [part for part, (_, moved) in parts.items() if not moved]
    print(f"{name}: not moved: {', '.join(still) or 'nothing'}")
    assert all(gradient for gradient, _ in parts.values()), parts
    assert still == (["encoder_decoder_proj"] if name == "a rate for the encoder" else []), parts
PROGRAM
cd "$work"
"$python" groups.py
# Seen with Python 3.11.7:
# no groups: not moved: nothing
# a rate for the encoder: not moved: encoder_decoder_proj
# a rate for the decoder: not moved: nothing
