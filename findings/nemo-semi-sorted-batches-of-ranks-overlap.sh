#!/usr/bin/env bash
# NeMo 3.0.0: with semi-sorted batches and several GPUs an epoch leaves rows out and trains others twice.
#
# SemiSortBatchSampler is a DistributedSampler and has a seed, 42 if nothing is said. One would expect each row once in an
# epoch, on one of the ranks. But only the order of the batches comes from that seed. Which rows a rank gets comes from
# a sort by durations with noise, and the noise from NumPy's global generator, which nobody seeds unless the script
# does. Each rank sorts for itself and takes every n-th row of its own order. So with 2 ranks about a quarter of the
# rows is in no batch of an epoch, with 4 nearly a third; as many places go to rows that another rank has as well.
# Nothing tells: each rank has the right number of batches. With one NumPy seed in all ranks each row comes once, until
# a single number is drawn on one of them alone.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check torch==2.13.0
"$python" -m pip install --quiet --disable-pip-version-check "nemo_toolkit[asr]==3.0.0" numpy==2.4.6 numba==0.68.1 \
  lightning==2.4.0
"$python" -m pip list --disable-pip-version-check 2>/dev/null | grep -i -E '^(nemo_toolkit|nemo-toolkit|numpy|torch) '

cat >"$work/rank.py" <<'PROGRAM'
"""Print the rows that one rank of several trains in an epoch; each rank is a process of its own."""

import json
import sys

import numpy as np
from nemo.collections.asr.parts.utils.asr_batching import SemiSortBatchSampler

ROWS, BATCH = 4096, 8
rank, ranks = int(sys.argv[1]), int(sys.argv[2])
durations = np.random.default_rng(0).uniform(1, 15, ROWS)  # seconds; alike on all ranks, as a manifest is


def epoch():
    sampler = SemiSortBatchSampler(rank, ranks, durations, BATCH)
    batches = [[int(row) for row in batch] for batch in sampler]
    assert len(batches) == len(sampler) == ROWS // BATCH // ranks
    return [row for batch in batches for row in batch]


taken = {"as it is": epoch()}
np.random.seed(7)
taken["one NumPy seed"] = epoch()
np.random.seed(7)
if rank == 1:
    np.random.random()
taken["one NumPy seed, then one draw on rank 1"] = epoch()
print(json.dumps(taken))
PROGRAM
cd "$work"
for ranks in 2 4; do
  for rank in $(seq 0 $((ranks - 1))); do
    "$python" rank.py "$rank" "$ranks" >out 2>log || { cat log >&2; exit 1; }
    tail -1 out >"rank-$rank.json"
  done
  "$python" - "$ranks" <<'PROGRAM'
import json
import sys
from collections import Counter

ROWS, ranks = 4096, int(sys.argv[1])
epochs = [json.load(open(f"rank-{rank}.json")) for rank in range(ranks)]
for way in epochs[0]:
    taken = Counter(row for epoch in epochs for row in epoch[way])
    assert sum(taken.values()) == ROWS
    missing, often = 1 - len(taken) / ROWS, sum(times > 1 for times in taken.values()) / ROWS
    print(f"{ranks} ranks, {way}: {missing:.1%} of the rows in no batch, {often:.1%} in several")
    expected = {"as it is": {2: 0.25, 4: 0.315}[ranks], "one NumPy seed": 0.0}.get(way)
    changed = missing < 0.1 if expected is None else abs(missing - expected) > 0.03
    assert not changed, "the behaviour changed"
PROGRAM
done
