#!/usr/bin/env bash
# NeMo 3.0.0: with its lhotse loader as it is and a plain manifest, two GPUs leave a quarter of the rows out of an epoch.
#
# get_lhotse_dataloader_from_config is given rank and world size, and lhotse's sampler has each rank make the same batches
# and take every n-th; so one would expect each row once. But the seed of the sampler is shard_seed, by default "trng", a
# number from the system, and so another one on each rank. That is meant for tarred data, whose ranks read without end and
# share nothing; for a plain manifest, which is shared out, it has each rank deal from a pack of its own. A quarter of the
# rows is trained by nobody in an epoch, a quarter twice, and which ones is chance. Nothing warns. A number as shard_seed is
# half of the cure: concurrent_bucketing, on by default, makes the batches depend on how fast a thread reads (see the
# finding of lhotse's concurrent bucketing), so that the same happens again, if not in each run. With a number as shard_seed
# and concurrent_bucketing off each row comes once. NeMo's own semi-sorted batches overlap for another reason, NumPy's seed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check torch==2.13.0
"$python" -m pip install --quiet --disable-pip-version-check "nemo_toolkit[asr]==3.0.0" numpy==2.4.6 numba==0.68.1 \
  lightning==2.4.0 lhotse==1.33.0

cat >"$work/rank.py" <<'PROGRAM'
"""Print the rows of each batch of an epoch of one rank, which is a process of its own as in a training."""

import json
import logging
import random
import sys
import warnings

warnings.filterwarnings("ignore")
import torch
from nemo.collections.common.data.lhotse import get_lhotse_dataloader_from_config
from nemo.utils import logging as nemo_logging
from omegaconf import OmegaConf

nemo_logging.setLevel(logging.ERROR)
manifest, rank, ranks, options = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])


class Names(torch.utils.data.Dataset):
    def __getitem__(self, cuts):
        return [cut.recording_id for cut in cuts]


torch.manual_seed(0)
random.seed(0)
config = {"manifest_filepath": manifest, "shuffle": True, "batch_duration": 100, "use_bucketing": True, "num_buckets": 10}
loader = get_lhotse_dataloader_from_config(OmegaConf.create(config | options), rank, ranks, Names())
print("batches:", json.dumps(list(loader)))
PROGRAM
cat >"$work/compare.py" <<'PROGRAM'
import json
import random
import subprocess
import sys
from collections import Counter
from importlib.metadata import version
from pathlib import Path

ROWS, FOLDER = 6000, Path(sys.argv[1])
durations = random.Random(1)
rows = ({"audio_filepath": f"/data/{number}.wav", "duration": round(durations.uniform(1, 20), 2), "sampling_rate": 16000, "text": "a"}
        for number in range(ROWS))  # fmt: skip
(FOLDER / "manifest.json").write_text("".join(json.dumps(row) + "\n" for row in rows))


def epoch(ranks, options):
    command = [sys.executable, FOLDER / "rank.py", FOLDER / "manifest.json"]
    runs = [
        subprocess.Popen([*command, str(rank), str(ranks), json.dumps(options)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for rank in range(ranks)
    ]
    lines = [line for run in runs for line in run.communicate()[0].splitlines() if line.startswith("batches:")]
    return [json.loads(line.removeprefix("batches:")) for line in lines]


print("nemo_toolkit", version("nemo_toolkit"), "lhotse", version("lhotse"))
for ranks, options, whole in (
    (1, {}, True),
    (2, {}, False),
    (2, {"concurrent_bucketing": False}, False),
    (2, {"shard_seed": 0, "concurrent_bucketing": False}, True),
    (2, {"use_bucketing": False}, False),
):
    batches = epoch(ranks, options)
    assert len(batches) == ranks
    seen = Counter(row for of_rank in batches for batch in of_rank for row in batch)
    missed, twice = ROWS - len(seen), sum(times > 1 for times in seen.values())
    print(f"{ranks} rank(s), {options or 'as it is'}: {missed / ROWS:.0%} of the rows missed, {twice / ROWS:.0%} twice")
    assert (missed == twice == 0) if whole else (missed > ROWS / 10 and twice > ROWS / 10), "the behaviour changed"
PROGRAM
"$python" "$work/compare.py" "$work"
