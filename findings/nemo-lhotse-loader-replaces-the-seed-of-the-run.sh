#!/usr/bin/env bash
# NeMo 3.0.0: a training with the lhotse loader is the same one whatever it was seeded with, and by default not repeatable.
#
# seed_everything(1), (2), (3) before three fine-tunings tell how much of a result is chance. One would expect three trainings:
# another dropout, another order. But get_lhotse_dataloader_from_config, which use_lhotse calls when a model's data is set
# up, seeds torch, NumPy and random anew: with the data's `seed`, 0 unless it is given. What comes after it, dropout and
# SpecAugment above all, is the same for each seed of the run. A fine-tuning initialises nothing, so the whole training is the
# same, to the bit, if shard_seed is "randomized" or nothing is shuffled: whoever compares two methods over five seeds
# has one pair, and a spread of zero. With the default shard_seed, "trng", the order comes from the system: then one
# seed gives another training each time, and the spread is that of the order alone. In the configuration `seed` stands
# among the data's settings. seed_everything after the set-up, or the run's seed there too, makes three trainings.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check torch==2.13.0
"$python" -m pip install --quiet --disable-pip-version-check "nemo_toolkit[asr]==3.0.0" numpy==2.4.6 numba==0.68.1 \
  lightning==2.4.0 lhotse==1.33.0

cat >"$work/seeds.py" <<'PROGRAM'
"""Train a layer with dropout from given weights under three seeds; print how many other results there are."""

import json
import logging
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

warnings.filterwarnings("ignore")
import numpy as np
import soundfile
import torch
from lightning.pytorch import seed_everything
from nemo.collections.common.data.lhotse import get_lhotse_dataloader_from_config
from nemo.utils import logging as nemo_logging
from omegaconf import OmegaConf

nemo_logging.setLevel(logging.ERROR)
logging.disable(logging.WARNING)
FOLDER = Path(sys.argv[1])
SECONDS = [0.5 + number / 32 for number in range(32)]
with (FOLDER / "manifest.json").open("w") as manifest:
    for number, seconds in enumerate(SECONDS):
        path = FOLDER / f"{number}.wav"
        soundfile.write(path, 0.1 * np.ones(round(seconds * 16000)), 16000)
        manifest.write(json.dumps({"audio_filepath": str(path), "duration": seconds, "text": "a"}) + "\n")


class Durations(torch.utils.data.Dataset):
    def __getitem__(self, cuts):
        return torch.tensor([[cut.duration] for cut in cuts])


def of_torch():
    return torch.utils.data.DataLoader(torch.tensor(SECONDS)[:, None], batch_size=4, shuffle=True)


def of_lhotse(**options):
    config = {"manifest_filepath": str(FOLDER / "manifest.json"), "batch_size": 4, "shuffle": True, "use_bucketing": False}
    return get_lhotse_dataloader_from_config(OmegaConf.create(config | options), 0, 1, Durations())


def train(seed, make_loader, again=False):
    """Return the weights after two epochs from the same beginning."""
    seed_everything(seed, verbose=False)
    loader = make_loader(seed)
    if again:
        seed_everything(seed, verbose=False)
    layer = torch.nn.Linear(1, 64)
    torch.nn.init.constant_(layer.weight, 0.1)
    torch.nn.init.constant_(layer.bias, 0.1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    for _ in range(2):
        for batch in loader:
            optimizer.zero_grad()
            torch.nn.functional.dropout(layer(batch), 0.5).square().mean().backward()
            optimizer.step()
    return tuple(layer.weight.flatten().tolist())


def other(*arguments, **options):
    seeds = {train(seed, *arguments, **options) for seed in (1, 2, 3)}
    same = {train(1, *arguments, **options) for _ in range(3)}
    return f"{len(seeds)} of 3 seeds, {len(same)} of one seed three times"


print("nemo_toolkit", version("nemo_toolkit"), "lhotse", version("lhotse"))
print("different trainings:")
print("  torch's loader:", other(lambda seed: of_torch()))
print("  lhotse's, as it is:", other(lambda seed: of_lhotse()))
print("  lhotse's, shard_seed='randomized':", other(lambda seed: of_lhotse(shard_seed="randomized")))
print("  lhotse's, shuffle=False:", other(lambda seed: of_lhotse(shuffle=False)))
print("  lhotse's, shard_seed='randomized', seeded again:", other(lambda seed: of_lhotse(shard_seed="randomized"), again=True))
print("  lhotse's, shard_seed='randomized', seed=the run's:", other(lambda seed: of_lhotse(shard_seed="randomized", seed=seed)))
PROGRAM
"$python" "$work/seeds.py" "$work" 2>"$work/errors" | tee "$work/seen" || { tail -20 "$work/errors"; exit 1; }

cat >"$work/expected" <<'SEEN'
nemo_toolkit 3.0.0 lhotse 1.33.0
different trainings:
  torch's loader: 3 of 3 seeds, 1 of one seed three times
  lhotse's, as it is: 3 of 3 seeds, 3 of one seed three times
  lhotse's, shard_seed='randomized': 1 of 3 seeds, 1 of one seed three times
  lhotse's, shuffle=False: 1 of 3 seeds, 1 of one seed three times
  lhotse's, shard_seed='randomized', seeded again: 3 of 3 seeds, 1 of one seed three times
  lhotse's, shard_seed='randomized', seed=the run's: 3 of 3 seeds, 1 of one seed three times
SEEN
diff "$work/expected" "$work/seen"
