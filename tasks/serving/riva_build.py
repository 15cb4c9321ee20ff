"""From a decoder to Riva: decoder flag, NIM family and the commands (specification, table 4f).

The wrong container family makes a broken RMIR without a clear error, so that the one table that
maps a decoder to its flag and family stands here. The form of the commands is NVIDIA's of 2026:
``riva-build`` takes a .nemo by an inline ``nemo2riva`` block and knows no ``-f`` (it has
``force=true``); ``riva-deploy`` has ``-f``. See NVIDIA/skills, nemotron-speech/asr-custom.md, and
https://docs.nvidia.com/nim/speech/latest/asr/customization/pipeline-configuration.html, whose notes
on each model have the last word.
"""

from __future__ import annotations

import re
import shlex
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.models.decoder_targets import Target

MOUNT = PurePosixPath("/riva_build_deploy")
"""Where the hand-off folder is seen inside NVIDIA's container."""
EXPORT = PurePosixPath("/model_tar")
BUILD_NAME = "build.sh"
CONTAINER_USER = 1000
LEAST_CAPABILITY = 8
"""Of a GPU, by the support matrix."""
DOCUMENTATION = (
    "https://docs.nvidia.com/nim/speech/latest/asr/customization/pipeline-configuration.html"
)
SUPPORT_MATRIX = "https://docs.nvidia.com/nim/speech/latest/reference/support-matrix/asr.html"


def commands(target: Target, model: str, name: str) -> Mapping[str, str]:
    """Return the commands from the folder to a running NIM, each one line of a shell.

    Args:
        target: the decoder's target.
        model: file name of the .nemo in the folder.
        name: of the pipeline.

    Returns:
        ``riva_build``, ``riva_build_older`` for images that know the positional form alone,
        ``riva_deploy`` and ``pack``, which run inside the container, and ``serve``, which starts
        the NIM.
    """
    rmir = MOUNT / f"{PurePosixPath(model).stem}.rmir"
    source = f"source_path=[{{path: {MOUNT / model}, nemo2riva: {target.conversion}}}]"
    build = [
        "riva-build",
        *_configs(target),
        "force=true",
        f"output_path={rmir}",
        source,
        f"name={name}",
        *target.more,
        # The last word: the script puts the name there that the image's riva-build knows.
        target.flag,
    ]
    older = [
        "riva-build",
        "speech_recognition",
        str(rmir),
        str((MOUNT / model).with_suffix(".riva")),
        f"--name={name}",
        *(["--offline"] if target.mode == "offline" else []),
        *(f"--{option}" for option in target.more),
        f"--decoder_type={target.flag.removeprefix('decoder=')}",
    ]
    serve = [
        "docker", "run", "--rm", "--runtime=nvidia", "--gpus", '"device=0"', "--shm-size=8GB",
        # The name alone: docker takes the value from the environment, and no list shows it.
        "-e", "NGC_API_KEY",
        # Without it the container serves NVIDIA's own model instead of this one.
        "-e", "NIM_DISABLE_MODEL_DOWNLOAD=true",
        "-e", "NIM_HTTP_API_PORT=9000", "-e", "NIM_GRPC_API_PORT=50051",
        "-p", "127.0.0.1:9000:9000", "-p", "127.0.0.1:50051:50051",
        "-e", "NIM_EXPORT_PATH=/opt/nim/export",
    ]  # fmt: skip
    return {
        "riva_build": shlex.join(build),
        "riva_build_older": shlex.join(older),
        "riva_deploy": shlex.join(["riva-deploy", "-f", str(rmir), "/data/models"]),
        "pack": f"tar -C /data/models -czf {EXPORT / 'custom_model.tar.gz'} .",
        "serve": shlex.join(serve) + ' -v "$NIM_EXPORT_PATH:/opt/nim/export" "$NIM_IMAGE"',
    }


def files_read(riva_build: str) -> list[str]:
    """List the files of the hand-off folder that a riva-build line reads, relative to it."""
    (source,) = (word for word in shlex.split(riva_build) if word.startswith("source_path="))
    return re.findall(rf"path: {re.escape(str(MOUNT))}/([^,}}]+)", source)


def _configs(target: Target) -> list[str]:
    return ["--config-path=pkg://servicemaker.configs.asr", f"--config-name={target.mode}"]


def build_script(target: Target, model: str, lines: Mapping[str, str]) -> str:
    """Return the script for the container, which asks its riva-build for what it knows."""
    mounted = MOUNT / model
    riva = mounted.with_suffix(".riva")
    return f"""#!/usr/bin/env bash
# Runs inside the NIM container: builds, deploys and packs the model of this folder.
set -euo pipefail
new=({lines["riva_build"]})
older=({lines["riva_build_older"]})
known=$(riva-build {shlex.join(_configs(target))} -h 2>&1) || known=""
if grep -q source_path <<<"$known"; then
  build=("${{new[@]}}")
elif riva-build -h 2>&1 | grep -w speech_recognition >/dev/null; then
  build=("${{older[@]}}")
  known=$(riva-build speech_recognition -h 2>&1) || true
  if [ ! -f {riva} ]; then
    command -v nemo2riva >/dev/null || {{
      echo "This image's riva-build takes {riva.name}, not a .nemo. Fix: make it beside it" \
        "(nemo2riva --out {riva.name} {model}), or take an image of 2026." >&2
      exit 1
    }}
    nemo2riva --out {riva} {mounted}
  fi
else
  echo "This image's riva-build knows neither source_path nor speech_recognition. Fix: NIM_IMAGE" \
    "must be a NIM container for speech recognition." >&2
  exit 1
fi
# The greedy decoder of CTC is greedy_ctc to some riva-builds, greedy to others.
last=${{build[-1]}}
if [ "${{last#*=}}" = greedy_ctc ] && ! grep -qw greedy_ctc <<<"$known"; then
  build[-1]="${{last%%=*}}=greedy"
fi
rm -f {mounted.with_suffix(".rmir")}
echo "${{build[*]}}"
"${{build[@]}}"
{lines["riva_deploy"]}
{lines["pack"]}
"""


def script(target: Target, lines: Mapping[str, str]) -> str:
    """Return the script that is run on the GPU host, in the hand-off folder."""
    return f"""#!/usr/bin/env bash
# Builds, deploys and serves the model of this folder, on the host whose GPU will serve.
# NIM_IMAGE: a container of the family {target.family}; its name and tag are in
#   {SUPPORT_MATRIX}
# Another family makes a broken RMIR without a clear error. NGC_API_KEY comes from the environment.
set -euo pipefail
cd "$(dirname "$0")"
: "${{NIM_IMAGE:?set it to nvcr.io/nim/nvidia/<a container of {target.family}>:<tag>}}"
: "${{NGC_API_KEY:?export your NGC key}}"
export NGC_API_KEY
export NIM_EXPORT_PATH="${{NIM_EXPORT_PATH:-$HOME/nim_export}}"

# Step 1, GPU class: what is built here serves on this class of GPU.
if gpu=$(nvidia-smi --query-gpu=name,compute_cap --format=csv,noheader -i 0 2>/dev/null); then
  class=${{gpu##*, }}
  echo "GPU: ${{gpu%,*}}, compute capability $class. The build serves on this class of GPU."
  if [ "${{class%%.*}}" -lt {LEAST_CAPABILITY} ]; then
    echo "NIM needs compute capability {LEAST_CAPABILITY}.0 or higher. Fix: take another GPU." >&2
    exit 1
  fi
else
  echo "nvidia-smi does not answer: the GPU's class was not checked." >&2
fi

# Step 2, owner: the container's user {CONTAINER_USER} writes into both folders.
mkdir -p "$NIM_EXPORT_PATH"
for folder in "$PWD" "$NIM_EXPORT_PATH"; do
  [ "$(stat -c %u "$folder")" = {CONTAINER_USER} ] && continue
  chown {CONTAINER_USER}:{CONTAINER_USER} "$folder" 2>/dev/null || {{
    echo "Fix: sudo chown {CONTAINER_USER}:{CONTAINER_USER} '$folder'" >&2
    exit 1
  }}
done

# Step 3, build: the image's riva-build is asked what it knows.
docker run --rm --gpus all --ulimit nofile=65536:65536 \\
  -v "$PWD:{MOUNT}" -v "$NIM_EXPORT_PATH:{EXPORT}" --entrypoint /bin/bash "$NIM_IMAGE" \\
  {MOUNT / BUILD_NAME}

# Step 4, serve.
{lines["serve"]}
"""
