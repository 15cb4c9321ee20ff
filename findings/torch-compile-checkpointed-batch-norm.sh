#!/usr/bin/env bash
# torch 2.13.0: a block with a batch norm under torch.utils.checkpoint moves its running statistics
# twice a step when it runs eagerly (the recomputation moves them again, as is known), and once when
# torch.compile compiles around the checkpoint. So the same program, trained for the same steps, ends
# with other statistics and validates otherwise, with the same gradients on the way. Past its
# recompile limit the compiler runs new shapes eagerly: from then on, in mid-training and for these
# shapes alone, a step moves them twice. num_batches_tracked shows it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy

cat > "$work/steps.py" <<'PROGRAM'
"""One step of a checkpointed block, eager and compiled: updates, statistics, gradients."""

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

BACKENDS = ("aot_eager", "inductor")


def step(way):
    torch.manual_seed(0)
    block = nn.Sequential(nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), nn.ReLU(), nn.Conv1d(4, 2, 3))
    sound = torch.randn(8, 3, 16) + 5

    def recomputed(x):
        return checkpoint(block, x, use_reentrant=False)

    if way == "without a checkpoint":
        run = block
    elif way == "checkpoint":
        run = recomputed
    else:
        run = torch.compile(recomputed, backend=way)
    run(sound).square().mean().backward()
    norm = block[1]
    return int(norm.num_batches_tracked), norm.running_mean.clone(), block[0].weight.grad.clone()


def updates_of_two_shapes():
    """The second shape is over the limit; return the updates after each step."""
    torch.compiler.reset()
    torch._dynamo.config.recompile_limit = 1
    block = nn.Sequential(nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), nn.Conv1d(4, 2, 3))
    run = torch.compile(
        lambda x: checkpoint(block, x, use_reentrant=False), backend="aot_eager", dynamic=False
    )
    updates = []
    for samples in (16, 18):
        run(torch.randn(8, 3, samples)).square().mean().backward()
        updates.append(int(block[1].num_batches_tracked))
    return updates


print("torch", torch.__version__)
ways = ("without a checkpoint", "checkpoint", *BACKENDS)
found = {way: step(way) for way in ways}
for way, (updates, mean, _) in found.items():
    print(f"{way:>21}: {updates} updates, running mean {mean[0]:.4f}")
plain_mean, plain_gradient = found["without a checkpoint"][1:]
past_limit = updates_of_two_shapes()
print("compiled, the second shape over the recompile limit: updates after each step", past_limit)
same_gradients = all(torch.allclose(one[2], plain_gradient, atol=1e-5) for one in found.values())
once = all(torch.allclose(found[way][1], plain_mean, atol=1e-5) for way in BACKENDS)
twice = torch.allclose(found["checkpoint"][1], 1.9 * plain_mean, atol=1e-5)
counts = [found[way][0] for way in ways]
as_found = counts == [1, 2, 1, 1] and past_limit == [1, 3] and once and twice and same_gradients
raise SystemExit(0 if as_found else "changed: eager and compiled now agree, or the gradients differ")
PROGRAM
"$python" "$work/steps.py"
echo "as found: a checkpointed batch norm is moved twice a step eagerly, once compiled"
