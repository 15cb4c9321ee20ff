#!/usr/bin/env bash
# torch 2.13.0: several checkpoints, compared within one autocast context, are scored by the first one's weights.
#
# Autocast keeps the bf16 copy of each 32-bit weight until its outermost context ends, and finds it by the tensor, not by
# what the tensor holds. load_state_dict writes into the same tensors. So whoever opens autocast and no_grad once and loads
# one checkpoint, average or mixture after the other tests the first one's linear layers again and again, with the norms
# of the newest, which are computed in 32 bits and not copied. There is no warning, and the scores look sound.
# With inference_mode in the place of no_grad, or with requires_grad_(False), nothing is kept and each scores as itself:
# what is meant to have no influence on a forward pass decides. cache_enabled=False helps too, and so does a context for
# each checkpoint; but not if these stand within another one, even one that only switches autocast off (enabled=False).
# A training whose steps stand within one context goes on with its first weights likewise: the loss never moves.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6

"$python" - <<'PROGRAM'
from contextlib import nullcontext

import torch
from torch import nn
from torch.nn.functional import mse_loss

print("torch", torch.__version__)
torch.manual_seed(0)
INPUT, WANTED = torch.randn(64, 16), torch.randn(64, 1)


def make():
    return nn.Sequential(nn.Linear(16, 16), nn.LayerNorm(16), nn.Linear(16, 1))


checkpoints = []
for _ in range(3):
    made = make()
    nn.init.normal_(made[1].weight)
    checkpoints.append(made.state_dict())


def autocast(**options):
    return torch.autocast("cpu", torch.bfloat16, **options)


def score(model, weights):
    model.load_state_dict(weights)
    return round(mse_loss(model(INPUT).float(), WANTED).item(), 4)


def scores_within_one(no_gradients, *, frozen=False, **options):
    model = make().requires_grad_(not frozen)
    with no_gradients(), autocast(**options):
        return [score(model, weights) for weights in checkpoints]


def scores_each_within_its_own():
    model, found = make(), []
    for weights in checkpoints:
        with torch.no_grad(), autocast():
            found.append(score(model, weights))
    return found


true = scores_each_within_its_own()
with autocast(enabled=False):
    within_none = scores_each_within_its_own()
# The first checkpoint's linear layers with each one's norm.
chimeras = []
for weights in checkpoints:
    norm = {name: value for name, value in weights.items() if name.startswith("1.")}
    with torch.no_grad(), autocast():
        chimeras.append(score(make(), {**checkpoints[0], **norm}))
seen = {
    "a context for each": true,
    "one context, no_grad": scores_within_one(torch.no_grad),
    "a context for each, all within a disabled one": within_none,
    "one context, inference_mode": scores_within_one(torch.inference_mode),
    "one context, no_grad, requires_grad_(False)": scores_within_one(torch.no_grad, frozen=True),
    "one context, no_grad, cache_enabled=False": scores_within_one(torch.no_grad, cache_enabled=False),
    "the first one's linear layers, each one's norm": chimeras,
}
print("loss of three checkpoints:")
for way, found in seen.items():
    print(f"  {way}: {found}")


def train(steps, *, one_context):
    torch.manual_seed(1)
    model = nn.Linear(16, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    with autocast() if one_context else nullcontext():
        for _ in range(steps):
            with autocast():
                loss = mse_loss(model(INPUT).float(), WANTED)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(round(loss.item(), 4))
    return losses


apart, together = train(4, one_context=False), train(4, one_context=True)
print("loss of four steps, a context for each:", apart)
print("loss of four steps within one context: ", together)
stale = {way for way, found in seen.items() if found == chimeras != true}
right = {way for way, found in seen.items() if found == true}
assert len(stale) == 3 and "one context, no_grad" in stale, "the behaviour changed"
assert len(right) == 4 and "a context for each" in right, "the behaviour changed"
assert len(set(together)) == 1 and apart[3] < apart[0], "the behaviour of training changed"
PROGRAM
