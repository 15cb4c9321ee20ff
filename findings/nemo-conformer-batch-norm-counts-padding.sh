#!/usr/bin/env bash
# NeMo 3.0.0: a Conformer's batch norm takes its statistics over padding too, so that training hears how batches are cut.
#
# Attention and convolution mask what lies behind a row's end, and one would expect a row's output not to depend on
# how far it is padded. With layer norm it does not. With batch norm, the default and that of the published models,
# the padded frames are zeros that count like frames: in training a row that is padded to twice its length has other
# outputs, by a quarter, and to eight times by three quarters; and the running statistics, which decoding uses
# afterwards, shrink with the share of padding. So batches of random lengths train another model than batches of like lengths
# from the same rows at the same rate, and a fine-tuning on short utterances beside a few long ones moves the base's
# statistics although nothing was learnt: here no weight is changed at all.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check torch==2.13.0
"$python" -m pip install --quiet --disable-pip-version-check "nemo_toolkit[asr]==3.0.0" numpy==2.4.6 numba==0.68.1 \
  lightning==2.4.0
"$python" -m pip list --disable-pip-version-check 2>/dev/null | grep -i -E '^(nemo_toolkit|nemo-toolkit|torch) '

"$python" - 2>"$work/log" <<'PROGRAM' || { tail -n 30 "$work/log" >&2; exit 1; }
import torch
from nemo.collections.asr.modules import ConformerEncoder

FRAMES = 400
torch.manual_seed(1)
ROW = torch.randn(1, 16, FRAMES)
LENGTH = torch.tensor([FRAMES])
SIZES = {"feat_in": 16, "n_layers": 2, "d_model": 32, "n_heads": 2, "subsampling_conv_channels": 32}
NO_DROPOUT = dict.fromkeys(("dropout", "dropout_att", "dropout_emb", "dropout_pre_encoder"), 0.0)


@torch.no_grad()
def encode(norm, padded_to):
    """Encode the row as it is padded, in training; then as it is, by the statistics of 200 such batches."""
    torch.manual_seed(0)
    default = {} if norm == "batch_norm" else {"conv_norm_type": norm}
    encoder = ConformerEncoder(**SIZES, **NO_DROPOUT, **default).train()
    padded = torch.zeros(1, 16, padded_to * FRAMES)
    padded[..., :FRAMES] = ROW
    for _ in range(200):
        training, length = encoder(audio_signal=padded, length=LENGTH)
    decoding, _ = encoder.eval()(audio_signal=ROW, length=LENGTH)
    return training[..., :length], decoding


def change(before, after):
    return round(float((after - before).norm() / before.norm()), 2)


print("row padded to: change of its output in training; in decoding afterwards, without padding")
seen = {}
for norm in ("layer_norm", "batch_norm"):
    alone = encode(norm, 1)
    for times in (2, 4, 8):
        seen[norm, times] = [change(*pair) for pair in zip(alone, encode(norm, times))]
        print(f"  {norm}, {times} times its length: {seen[norm, times][0]:.0%}; {seen[norm, times][1]:.0%}")
for (norm, times), changes in seen.items():
    expected = {2: 0.27, 4: 0.53, 8: 0.78}[times] if norm == "batch_norm" else 0
    assert all(abs(one - expected) < 0.1 * expected + 0.001 for one in changes), "the behaviour changed"
PROGRAM
