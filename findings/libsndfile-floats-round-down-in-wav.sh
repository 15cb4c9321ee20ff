#!/usr/bin/env bash
# soundfile 0.14.0 (libsndfile 1.2.2): the same floats become other 16-bit samples in a WAV than in a FLAC.
#
# Both hold the same 16-bit integers, so one would expect the same ones, each at most half a step from its float. In FLAC
# they are rounded. In WAV, AIFF, CAF, AU and Wave64 they are rounded down: soundfile switches clipping on, and with it
# libsndfile scales a float to 32 bits and keeps the upper ones. Half of all samples differ by one step. Such a
# file has an offset of half a step and four times the power of rounding's error (6 dB), and what is quieter than a step is
# no silence: it is -1 wherever it is negative. A comparison of the two, or a hash of the samples, fails.
# What has come out of a 16-bit file as floats goes back unchanged in both, so that a round trip shows nothing.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check soundfile==0.14.0 numpy==2.4.6
"$dir/venv/bin/python" - <<'PY'
import io

import numpy as np
import soundfile

print("soundfile", soundfile.__version__, "libsndfile", soundfile.__libsndfile_version__)
FORMATS = ("FLAC", "WAV", "AIFF", "CAF", "AU", "W64")
time = np.arange(160_000) / 16_000
speech = 0.3 * np.sin(2 * np.pi * 440 * time + np.sin(2 * np.pi * 3.7 * time))
quiet = speech * 2.0**-16  # less than a third of a step


def written(samples, kind, *, as_type):
    file = io.BytesIO()
    soundfile.write(file, samples.astype(as_type), 16_000, format=kind, subtype="PCM_16")
    file.seek(0)
    return soundfile.read(file, dtype="int16")[0]


for as_type in ("float32", "float64"):
    flac = written(speech, "FLAC", as_type=as_type)
    for kind in FORMATS:
        steps = written(speech, kind, as_type=as_type)
        error = steps - speech * 32768
        offset, power = error.mean(), (error**2).mean() * 12
        unlike = (steps != flac).mean()
        silent = np.unique(written(quiet, kind, as_type=as_type)).tolist()
        again = written(steps / 32768, kind, as_type=as_type)
        print(
            f"{as_type} {kind:4}: offset {offset:5.2f} steps, error {power:4.2f} of rounding's,"
            f" {unlike:4.0%} unlike FLAC's, less than a step becomes {silent}"
        )
        assert (again == steps).all(), "the behaviour of a round trip changed"
        down = kind != "FLAC"
        expected = (-0.5, 4.0, 0.5, [-1, 0]) if down else (0.0, 1.0, 0.0, [0])
        close = np.allclose((offset, power, unlike), expected[:3], atol=0.05)
        assert close and silent == expected[3], "the behaviour changed"
PY
