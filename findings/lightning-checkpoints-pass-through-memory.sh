#!/usr/bin/env bash
# Lightning 2.6.6 (torch 2.13.0) writes a checkpoint into memory as a whole, and only then into its
# file. One would expect it to need no memory of its own, as torch.save with a path: here a model of
# 512 MiB takes 512 MiB more to be saved, and by torch.save none. Of a large model with its
# optimiser's state that is gigabytes at the end of each epoch, in which the GPU waits; it ends a
# training in a container whose limit everything else kept.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 lightning==2.6.6

cat > "$work/save.py" <<'PROGRAM'
"""Save a model of 512 MiB in one way; print by how many MiB the process's peak memory rose."""

import resource
import sys

import torch
from lightning.fabric.plugins import TorchCheckpointIO

MIB = 1 << 20
way, path = sys.argv[1:]
state = {str(number): torch.ones(16 * MIB // 4) for number in range(32)}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
if way == "lightning":
    TorchCheckpointIO().save_checkpoint({"state_dict": state}, path)
else:
    torch.save({"state_dict": state}, path)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
PROGRAM

"$python" -c 'import lightning, torch; print(f"lightning {lightning.__version__}, torch {torch.__version__}")'
by_lightning=$("$python" "$work/save.py" lightning "$work/a.ckpt" 2> /dev/null)
by_torch=$("$python" "$work/save.py" torch "$work/b.ckpt" 2> /dev/null)
echo "a model of 512 MiB, more memory at the peak: $by_lightning MiB by Lightning, $by_torch MiB by torch.save with a path"
[ "$(stat -c %s "$work/a.ckpt")" -ge 536870912 ] || { echo "no whole checkpoint was written"; exit 1; }
if [ "$by_lightning" -ge 500 ] && [ "$by_torch" -lt 100 ]; then
  echo "as found: all of a checkpoint is in memory once more before it is a file"
else
  echo "changed: Lightning's checkpoints no longer pass through memory"
  exit 1
fi
