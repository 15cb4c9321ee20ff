#!/usr/bin/env bash
# lhotse 1.33.0: with data loader workers, CutMix draws the same few noises and levels in each worker and in each epoch.
#
# CutMix mixes a random noise at a random level into each cut, so that a model never hears a recording twice alike. In the
# main process it does. But its generator has a fixed seed (42 unless one is given), and is made at the first call: in
# workers that is in each of them, and anew for each epoch, for which they are started again. So all workers, and the
# ranks of a distributed training too, go through one and the same series, and begin it again in each epoch. With 4
# workers, three epochs of 240 cuts hear 60 pairs of noise and level in the place of 720. PyTorch's own seeds of workers do
# not reach it, and another integer as the seed changes nothing. seed="randomized" with lhotse's worker_init_fn makes the
# workers differ, and not the epochs; persistent_workers=True makes the epochs differ, and not the workers. Only
# seed="trng" draws all anew, and then a run cannot be repeated.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 lhotse==1.33.0 soundfile==0.14.0 urllib3==2.8.0 numpy==2.4.6

cat >"$work/draws.py" <<'PROGRAM'
"""Count the pairs of noise and level that three epochs of 240 cuts get, by workers and seed."""

import logging
import warnings
from importlib.metadata import version

import torch
from lhotse import CutSet
from lhotse.dataset import CutMix, DynamicCutSampler
from lhotse.dataset.dataloading import make_worker_init_fn
from lhotse.testing.dummies import dummy_cut
from torch.utils.data import DataLoader, Dataset

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
SPEECH = CutSet.from_cuts(dummy_cut(number, duration=2.0) for number in range(240))
NOISE = CutSet.from_cuts(dummy_cut(1000 + number, duration=2.0) for number in range(500))


class Mixed(Dataset):
    def __init__(self, mix):
        self.mix = mix

    def __getitem__(self, cuts):
        tracks = [cut.tracks[1] for cut in self.mix(cuts)]
        return [f"{track.cut.recording_id} {track.snr}" for track in tracks]


def draws(workers, mix, **loading):
    sampler = DynamicCutSampler(SPEECH, max_cuts=4, shuffle=True)
    loader = DataLoader(Mixed(mix), sampler=sampler, batch_size=None, num_workers=workers, **loading)
    found = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        found += [pair for batch in loader for pair in batch]
    return f"{len(set(found))} pairs for {len(found)} cuts"


def mix(**options):
    return CutMix(NOISE, snr=(5.0, 20.0), p=1.0, **options)


print("lhotse", version("lhotse"), "torch", torch.__version__.split("+")[0])
print("no workers:", draws(0, mix()))
print("4 workers:", draws(4, mix()))
print("4 workers, seed=7:", draws(4, mix(seed=7)))
print("4 workers that persist:", draws(4, mix(), persistent_workers=True))
own = make_worker_init_fn(seed=7)
print("4 workers, seed='randomized', lhotse's worker_init_fn:", draws(4, mix(seed="randomized"), worker_init_fn=own))
print("4 workers, seed='trng':", draws(4, mix(seed="trng")))
PROGRAM
"$python" "$work/draws.py" 2>"$work/errors" | tee "$work/seen" || { cat "$work/errors"; exit 1; }

cat >"$work/expected" <<'SEEN'
lhotse 1.33.0 torch 2.13.0
no workers: 720 pairs for 720 cuts
4 workers: 60 pairs for 720 cuts
4 workers, seed=7: 60 pairs for 720 cuts
4 workers that persist: 180 pairs for 720 cuts
4 workers, seed='randomized', lhotse's worker_init_fn: 240 pairs for 720 cuts
4 workers, seed='trng': 720 pairs for 720 cuts
SEEN
diff "$work/expected" "$work/seen"
