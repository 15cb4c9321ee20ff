#!/usr/bin/env bash
# torchmetrics 1.9.0: MetricTracker calls the epoch whose metric is NaN the best one, for losses and for rates.
#
# A tracker keeps a metric for each epoch; best_metric tells the best value and its epoch, and one would expect the best of
# those that there are: 0.9 of 2.0, 1.4, 0.9 and NaN. It takes PyTorch's minimum, or maximum, for which a NaN is
# both the smallest and the largest. So the training that broke in its fourth epoch has its best in the fourth, and
# so has one that was validated on no row in it, for which WordErrorRate is 0/0. Whoever loads the checkpoint
# of that epoch gets the broken model, and from then on no epoch can be better. There is no warning of it. MeanMetric
# does not help: it leaves NaN out of its mean, but of nothing but NaN the mean is NaN again.
# Lightning's ModelCheckpoint, which stands beside it in many programs, takes a NaN for the worst.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check torchmetrics==1.9.0 torch==2.13.0 numpy==2.4.6
cat >"$work/track.py" <<'PROGRAM'
"""Track losses and rates over epochs of which one is NaN; print which epoch is called the best."""

import math
import warnings

warnings.filterwarnings("ignore")
import torchmetrics
from torchmetrics import MeanMetric
from torchmetrics.text import WordErrorRate
from torchmetrics.wrappers import MetricTracker


def best(metric, epochs, maximize=False):
    """Return the best value and its epoch, counted from 0; an epoch is a list of updates."""
    tracker = MetricTracker(metric, maximize=maximize)
    for updates in epochs:
        tracker.increment()
        for update in updates:
            tracker.update(*update)
    return tracker.best_metric(return_step=True)


def losses(*epochs):
    return [[(loss,)] for loss in epochs]


said = "take five milligrams of metoprolol"
ROWS = [("take nine milligrams of metro roll", said)], [("take five milligrams of metro roll", said)], [], [(said, said)]
print("torchmetrics", torchmetrics.__version__)
value, epoch = best(MeanMetric(), losses(2.0, 1.4, 0.9, 1.0))
print(f"losses 2, 1.4, 0.9, 1: best {value:.1f} in epoch {epoch}")
value, epoch = best(MeanMetric(), losses(2.0, 1.4, 0.9, math.nan))
print(f"losses 2, 1.4, 0.9, NaN: best {value:.1f} in epoch {epoch}")
value, epoch = best(MeanMetric(), losses(2.0, 1.4, 0.9, math.nan), maximize=True)
print(f"the same, maximize: best {value:.1f} in epoch {epoch}")
value, epoch = best(WordErrorRate(), ROWS)
print(f"WER, no row in epoch 2, no error in epoch 3: best {value:.1f} in epoch {epoch}")
value, epoch = best(WordErrorRate(), [rows for rows in ROWS if rows])
print(f"WER of the epochs with rows: best {value:.1f} in epoch {epoch}")
PROGRAM
cd "$work"
"$python" track.py | tee "$work/seen"

cat >"$work/expected" <<'SEEN'
torchmetrics 1.9.0
losses 2, 1.4, 0.9, 1: best 0.9 in epoch 2
losses 2, 1.4, 0.9, NaN: best nan in epoch 3
the same, maximize: best nan in epoch 3
WER, no row in epoch 2, no error in epoch 3: best nan in epoch 2
WER of the epochs with rows: best 0.0 in epoch 2
SEEN
diff "$work/expected" "$work/seen"
