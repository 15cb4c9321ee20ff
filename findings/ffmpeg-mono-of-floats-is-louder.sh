#!/usr/bin/env bash
# FFmpeg 8 (in PyAV 18.1.0): two channels mixed to one are 3 dB louder as floats than as 16-bit integers, from one file.
#
# "One channel, please" (-ac 1, or a resampler's layout "mono") would be expected to give the same wave whatever the
# samples are stored as. For integers FFmpeg takes half of either channel, so that nothing can clip. If both the result
# and the arithmetic are floats it takes 0.707 of either, so that two channels with the same sound come out at 1.41 times
# their level, beyond full scale if they were loud: whoever stores that as integers afterwards clips it. So two tools
# that mix the same recording by the same library give a recogniser different levels. A mean of the channels, as librosa
# and others take it, is the quieter of the two.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6
"$dir/venv/bin/python" - "$dir/stereo.wav" <<'PY'
import sys
import wave

import av
import numpy as np

path = sys.argv[1]
print("PyAV", av.__version__, "libswresample", ".".join(map(str, av.library_versions["libswresample"])))
tone = np.round(0.8 * 32768 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)).astype("<i2")
with wave.open(path, "wb") as file:
    file.setnchannels(2)
    file.setsampwidth(2)
    file.setframerate(16_000)
    file.writeframes(np.stack([tone, tone], axis=1).tobytes())


def peak(*formats):
    """Mix to one channel; the samples have the first format before and the last one after it."""
    before = av.AudioResampler(format=formats[0], layout="stereo", rate=16_000)
    mix = av.AudioResampler(format=formats[1], layout="mono", rate=16_000)
    top = 0.0
    with av.open(path) as container:
        for frame in container.decode(audio=0):
            for one in before.resample(frame):
                for mixed in mix.resample(one):
                    values = mixed.to_ndarray()
                    scale = 1 if values.dtype.kind == "f" else np.iinfo(values.dtype).max + 1
                    top = max(top, float(np.abs(values / scale).max()))
    return top


seen = {f"{one} to {other}": round(peak(one, other), 2) for one in ("s16", "flt") for other in ("s16", "s32", "flt")}
print("peak of both channels: 0.8; of the one they are mixed to:")
for formats, top in seen.items():
    print(f"  {formats}: {top}")
for formats, top in seen.items():
    expected = 1.13 if formats.endswith("flt") else 0.8
    assert abs(top - expected) < 0.01, "the behaviour changed"
PY
