#!/usr/bin/env bash
# soundfile 0.14.0 (libsndfile 1.2.2): 32-bit floats in a Wave64 file are read as 32-bit integers, if the format chunk is
# extended.
#
# A format chunk may say 0xFFFE and name the sample format in its extension, as ffmpeg 5.1 writes floats. In WAV libsndfile
# reads the extension (WAVEX FLOAT); in Wave64 it says PCM_32 and takes the bits of the floats for integers. There is no error:
# a sine at half of full scale becomes a distorted wave of about the same level, so that a look at level or length shows nothing.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet soundfile==0.14.0 numpy==2.4.6
"$dir/venv/bin/python" - "$dir" <<'PY'
import struct
import sys
from pathlib import Path

import numpy as np
import soundfile

folder = Path(sys.argv[1])
print("soundfile", soundfile.__version__, "libsndfile", soundfile.__libsndfile_version__)
sine = (0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)).astype("<f4")
body = sine.tobytes()
float_format = bytes.fromhex("0300000000001000800000aa00389b71")
extended = struct.pack("<HHIIHHHHI", 0xFFFE, 1, 16000, 64000, 4, 32, 22, 32, 4) + float_format

chunks = b"WAVEfmt " + struct.pack("<I", len(extended)) + extended + b"data" + struct.pack("<I", len(body)) + body
(folder / "sine.wav").write_bytes(b"RIFF" + struct.pack("<I", len(chunks)) + chunks)

tail = bytes.fromhex("f3acd3118cd100c04f8edb8a")
riff = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")
wave64 = b"wave" + tail
for name, content in ((b"fmt ", extended), (b"data", body)):
    wave64 += name + tail + struct.pack("<Q", 24 + len(content)) + content
(folder / "sine.w64").write_bytes(riff + struct.pack("<Q", 24 + len(wave64)) + wave64)

found = {}
for name in ("sine.wav", "sine.w64"):
    info = soundfile.info(folder / name)
    samples, _ = soundfile.read(folder / name)
    likeness = float(np.corrcoef(samples, sine)[0, 1])
    print(f"{name}: {info.format} {info.subtype}, {info.frames} frames, peak {abs(samples).max():.3f}, like the sine {likeness:.3f}")
    found[name] = (info.subtype, len(samples) == len(sine), likeness > 0.999)
assert found["sine.wav"] == ("FLOAT", True, True), found
assert found["sine.w64"] == ("PCM_32", True, False), "the behaviour changed"
PY
