#!/usr/bin/env bash
# soundfile 0.14.0 (libsndfile 1.2.2): an MP3 of variable bit rate without a frame count is read in part, in silence.
#
# Six seconds are written as a VBR MP3: three of a quiet tone, three of noise. The first frame (Xing) holds the number of
# frames and no sound; many writers that stream leave it out, and every decoder may do without it. Expected: without it, the
# same 96,000 samples. Seen: about 25,000 are read, the length is guessed from the first frame's bit rate, and there
# is neither an error nor a warning. A reader that trusts the length loses two thirds of the recording or more.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet soundfile==0.14.0 numpy==2.4.6
cd "$dir"
"$dir/venv/bin/python" - 2>/dev/null <<'PY'
import numpy as np
import soundfile

rate = 16000
time = np.arange(6 * rate) / rate
noise = np.random.default_rng(0).uniform(-0.8, 0.8, len(time))
wave = np.where(time > 3, noise, 0.05 * np.sin(2 * np.pi * 220 * time))
soundfile.write("a.mp3", wave, rate, format="MP3", subtype="MPEG_LAYER_III", bitrate_mode="VARIABLE")
data = open("a.mp3", "rb").read()
open("b.mp3", "wb").write(data[data.index(data[:2], 4):])
counted, uncounted = len(soundfile.read("a.mp3")[0]), len(soundfile.read("b.mp3")[0])
print("soundfile", soundfile.__version__, "libsndfile", soundfile.__libsndfile_version__)
print("samples with a frame count:", counted, "without:", uncounted)
assert counted == 96000 and uncounted < 32000, "the behaviour changed"
PY
