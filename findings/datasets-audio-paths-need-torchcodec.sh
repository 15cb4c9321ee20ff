#!/usr/bin/env bash
# datasets 5.2.0: a data set of audio *paths* cannot be made without torchcodec.
#
# Expected: an audio folder, or a column of paths with features Audio(decode=False), is a table of
# paths. Nothing is encoded or decoded, so that no codec is needed.
# Behaviour: Audio.encode_example imports torchcodec before it looks at the value, and raises
# ImportError. So load_dataset("audiofolder") fails. cast_column of the same paths works.
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "datasets==5.2.0" "soundfile==0.14.0"

cd "$folder"
HF_HOME="$folder/hf" "$folder/venv/bin/python" - <<'PYTHON'
import platform
from pathlib import Path

import datasets
import numpy as np
import soundfile

print("datasets", datasets.__version__, "Python", platform.python_version())
Path("corpus").mkdir()
soundfile.write("corpus/a.wav", np.zeros(1600), 16000)
Path("corpus/metadata.csv").write_text("file_name,text\na.wav,hello\n")

cast = datasets.Dataset.from_dict({"audio": ["corpus/a.wav"]})
cast = cast.cast_column("audio", datasets.Audio(decode=False))
print("cast_column of a path:", cast[0])


def attempt(what, make):
    try:
        make()
    except Exception as wrong:
        causes = f"{wrong} <- {wrong.__cause__}"
        print(f"{what}: {type(wrong).__name__}: {causes}")
        return "torchcodec" in causes
    print(f"{what}: works")
    return False


features = datasets.Features({"audio": datasets.Audio(decode=False)})
seen = [
    attempt(
        "features of a path",
        lambda: datasets.Dataset.from_dict({"audio": ["corpus/a.wav"]}, features=features),
    ),
    attempt(
        "load_dataset('audiofolder')",
        lambda: datasets.load_dataset("audiofolder", data_dir="corpus", split="train"),
    ),
]
raise SystemExit(0 if seen == [True, True] else 1)
PYTHON
