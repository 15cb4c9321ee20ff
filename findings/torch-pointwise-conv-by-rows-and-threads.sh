#!/usr/bin/env bash
# torch 2.13.0, CPU: how a row of a batch is convolved depends on how many rows lie beside it, and on the number of threads.
#
# A convolution of kernel 1 over time, such as a Conformer has two of in each layer, runs by oneDNN from two rows on with
# two threads, but with one thread only from a number of rows on (16 here). Below, it runs by PyTorch's own
# slow_conv2d, forward and backward, at twice the time a row on the machine where this was written. One worker a core with
# one thread each, as one sets for throughput, meets just that; a single recording meets it always. Kernel 3 does not.
# The two round otherwise: three quarters of a row's numbers differ in their last bits, from another batch size or another
# number of threads, where neither changes a bit of the same product as a linear layer. Neither is nearer to 64 bits. So
# texts that must be equal to the bit need the same rows a batch and the same threads, or no convolution of kernel 1.
# No warning, no setting tells it; torch.backends.mkldnn only switches oneDNN off for both.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6

"$python" - <<'PROGRAM' 2>/dev/null
import time

import torch
from torch.nn.functional import linear
from torch.profiler import ProfilerActivity, profile

KERNELS = {"aten::mkldnn_convolution": "oneDNN", "aten::_slow_conv2d_forward": "slow_conv2d"}
CHANNELS, FRAMES, MOST = 176, 100, 24
print("torch", torch.__version__)
torch.manual_seed(0)


def kernel_of(layer, rows):
    with torch.no_grad(), profile(activities=[ProfilerActivity.CPU]) as seen:
        layer(torch.randn(rows, CHANNELS, FRAMES))
    (name,) = {event.key for event in seen.key_averages()} & KERNELS.keys()
    return KERNELS[name]


def first_rows_by_onednn(width, threads):
    torch.set_num_threads(threads)
    layer = torch.nn.Conv1d(CHANNELS, 2 * CHANNELS, width, padding=width // 2)
    kernels = [kernel_of(layer, rows) for rows in range(1, MOST)]
    first = kernels.index("oneDNN")
    assert set(kernels[:first]) <= {"slow_conv2d"}, kernels
    assert set(kernels[first:]) == {"oneDNN"}, kernels
    return first + 1


found = {}
for width in (1, 3):
    for threads in (1, 2):
        found[width, threads] = first_rows_by_onednn(width, threads)
        print(f"kernel {width}, {threads} threads: oneDNN from {found[width, threads]} rows on")

layer = torch.nn.Conv1d(CHANNELS, 2 * CHANNELS, 1)


def convolved(batch, threads):
    torch.set_num_threads(threads)
    with torch.no_grad():
        return layer(batch)


def multiplied(batch, threads):
    torch.set_num_threads(threads)
    with torch.no_grad():
        return linear(batch.transpose(1, 2), layer.weight[:, :, 0], layer.bias)


batch = torch.randn(20, CHANNELS, FRAMES)
apart = {}
for name, do in (("convolution", convolved), ("linear", multiplied)):
    whole = do(batch, 1)
    in_fours = torch.cat([do(four, 1) for four in batch.split(4)])
    apart[name] = (
        round((whole != in_fours).float().mean().item(), 2),
        round((do(batch[:4], 1) != do(batch[:4], 2)).float().mean().item(), 2),
    )
    print(f"{name}: share of other numbers by rows, by threads: {apart[name]}")

exact = torch.nn.functional.conv1d(batch.double(), layer.weight.double(), layer.bias.double())
errors = [
    (made.double() - exact).abs().max().item()
    for made in (convolved(batch, 1), torch.cat([convolved(one, 1) for one in batch.split(4)]))
]
print("largest errors against 64 bits:", ["%.1e" % error for error in errors])


def milliseconds_a_row(rows):
    torch.set_num_threads(1)
    input_ = torch.randn(rows, CHANNELS, FRAMES, requires_grad=True)
    layer(input_).sum().backward()
    started = time.process_time()
    for _ in range(40):
        layer(input_).sum().backward()
    return (time.process_time() - started) / 40 / rows * 1000


few, many = milliseconds_a_row(4), milliseconds_a_row(20)
print(f"ms a row, forward and backward, one thread: {few:.2f} in batches of 4, {many:.2f} of 20")

assert found[1, 1] > 4 and found[1, 2] == found[3, 1] == found[3, 2] == 2, found
assert min(apart["convolution"]) > 0.3, apart
assert apart["linear"] == (0.0, 0.0), apart
assert max(errors) < 1e-5 and max(errors) < 3 * min(errors), errors
print("as seen")
PROGRAM
