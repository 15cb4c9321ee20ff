#!/usr/bin/env bash
# lhotse 1.33.0: a recording that is a little shorter than its manifest says is lengthened by its own end, backwards.
#
# Up to a tolerance, load_audio() answers with as many samples as were declared. The missing ones are neither zeros nor
# an error: they are the last samples mirrored. With 50 ms too much declared, a model is trained on 50 ms of reversed
# speech behind the last word, and nothing is logged.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet lhotse==1.33.0 torch==2.13.0 numpy==2.4.6 soundfile==0.13.1 urllib3==2.8.0
cd "$dir"
"$dir/venv/bin/python" -W ignore - <<'PY'
import lhotse
import numpy as np
import soundfile
from lhotse import AudioSource, Recording

ramp = np.linspace(0.1, 0.9, 16_000, dtype=np.float32)  # one second that only rises
soundfile.write("ramp.wav", ramp, 16_000, subtype="FLOAT")
print("lhotse", lhotse.__version__)
for extra in (80, 320, 800):
    declared = 16_000 + extra
    recording = Recording("ramp", [AudioSource("file", [0], "ramp.wav")], 16_000, declared, declared / 16_000)
    heard = recording.load_audio()[0]
    added = heard[16_000:]
    print(f"{extra} samples too many declared: got {len(heard)}, the added ones fall from {added[0]:.4f} to {added[-1]:.4f}")
    assert len(heard) == declared, "the behaviour changed"
    assert np.array_equal(added, ramp[-2 : -2 - extra : -1]), "the behaviour changed"
PY
