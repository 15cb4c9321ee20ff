#!/usr/bin/env bash
# webdataset 1.0.2: epochs cut by with_epoch begin at the same shards each time, shuffled or not; the rest is never trained on.
#
# with_epoch(n) is for validating more often than once in a long corpus, or for giving ranks and workers equal numbers of rows.
# One would expect the next epoch to go on where the last one ended, or, with shardshuffle, to begin at other shards. But
# each epoch is a new pass that is cut off after n rows, and the shards' order is drawn once, when the data set is made (that
# it repeats is known as webdataset#502). Together they freeze the choice: of 12 shards, 24 epochs with four times the
# rows of the corpus read 4, and 3 without workers. The shuffling of rows mixes what lies in its buffer, so that
# each epoch looks new. Losses fall, nothing warns, and another start of the program trains on another third.
#
# An epoch as long as the corpus has it too, if shards and workers do not divide evenly: of 12 shards for 8 workers, the
# workers with two shards never read the end of their second one, and those with one read half of theirs twice. The cut rows
# are the same in each epoch, a sixth of the corpus. resampled=True reads all, and so does detshuffle=True, but this
# one only with persistent_workers=True: it counts epochs in the worker, and a worker that starts anew counts from 0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check webdataset==1.0.2 torch==2.13.0 numpy==2.4.6
cat >"$work/read.py" <<'PROGRAM'
"""Read 12 shards of 20 rows in epochs that with_epoch cuts; print how much of the corpus was ever read."""

import importlib.metadata
import warnings
from collections import Counter

warnings.filterwarnings("ignore")
import webdataset
from torch.utils.data import DataLoader

for shard in range(12):
    with webdataset.TarWriter(f"{shard:02}.tar") as tar:
        for row in range(20):
            tar.write({"__key__": f"{shard:02}-{row:02}", "txt": "take five milligrams"})


def read(rows, epochs, workers, shuffled=10, persistent=False, **options):
    """Return each epoch's keys; a worker ends its epoch after so many rows, and with None at the end of its shards."""
    data = webdataset.WebDataset("{00..11}.tar", empty_check=False, **options)
    data = data.shuffle(shuffled) if shuffled else data
    data = data.with_epoch(rows) if rows else data
    loader = DataLoader(data, batch_size=None, num_workers=workers, persistent_workers=persistent)
    return [[sample["__key__"] for sample in loader] for _ in range(epochs)]


def tell(name, epochs):
    shards = {key[:2] for epoch in epochs for key in epoch}
    print(f"{name}: {len(epochs)} epochs of {len(epochs[0])} rows read {len(shards)} of 12 shards")


print("webdataset", importlib.metadata.version("webdataset"))
tell("no with_epoch", read(None, 4, workers=2, shardshuffle=12))
tell("with_epoch, no workers", read(40, 24, workers=0, shardshuffle=12))
tell("with_epoch, workers", read(20, 24, workers=2, shardshuffle=12))
tell("with_epoch, workers that stay", read(20, 24, workers=2, persistent=True, shardshuffle=12))
tell("with_epoch, detshuffle", read(20, 24, workers=2, shardshuffle=12, detshuffle=True))
tell("with_epoch, detshuffle, workers that stay", read(20, 48, workers=2, persistent=True, shardshuffle=12, detshuffle=True))
tell("with_epoch, resampled", read(20, 72, workers=2, resampled=True))
epochs = read(30, 6, workers=8, shuffled=0, shardshuffle=12)
times = Counter(Counter(key for epoch in epochs for key in epoch).values())
print(f"8 workers, 6 epochs of {len(epochs[0])}: {times[6]} rows six times, {times[12]} twelve, {240 - times.total()} never")
PROGRAM
cd "$work"
"$python" read.py | tee "$work/seen"

cat >"$work/expected" <<'SEEN'
webdataset 1.0.2
no with_epoch: 4 epochs of 240 rows read 12 of 12 shards
with_epoch, no workers: 24 epochs of 40 rows read 3 of 12 shards
with_epoch, workers: 24 epochs of 40 rows read 4 of 12 shards
with_epoch, workers that stay: 24 epochs of 40 rows read 4 of 12 shards
with_epoch, detshuffle: 24 epochs of 40 rows read 4 of 12 shards
with_epoch, detshuffle, workers that stay: 48 epochs of 40 rows read 12 of 12 shards
with_epoch, resampled: 72 epochs of 40 rows read 12 of 12 shards
8 workers, 6 epochs of 240: 160 rows six times, 40 twelve, 40 never
SEEN
diff "$work/expected" "$work/seen"
