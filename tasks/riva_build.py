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
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from tasks.nemo_archive import Decoder

if TYPE_CHECKING:
    from collections.abc import Mapping

STREAMING_FAMILY = "nemotron-streaming-*"
MOUNT = PurePosixPath("/riva_build_deploy")
"""Where the hand-off folder is seen inside NVIDIA's container."""
EXPORT = PurePosixPath("/model_tar")
DOCUMENTATION = (
    "https://docs.nvidia.com/nim/speech/latest/asr/customization/pipeline-configuration.html"
)
SUPPORT_MATRIX = "https://docs.nvidia.com/nim/speech/latest/reference/support-matrix/asr.html"


@dataclass(frozen=True, slots=True)
class Target:
    """How a decoder is served.

    Attributes:
        flag: what riva-build is told.
        family: the NIM containers that serve it, as a pattern of their names.
        conversion: the inline nemo2riva block.
    """

    flag: str
    family: str
    conversion: str


_TARGETS = {
    Decoder.CTC: Target(
        "decoder=greedy_ctc", "parakeet-*-ctc-*", "{format: onnx, onnx_opset: 19, max_dim: 1000}"
    ),
    Decoder.RNNT: Target("decoder=nemo", "parakeet-rnnt-*", "{format: nemo}"),
    Decoder.TDT: Target("decoder=nemo", "parakeet-tdt-*", "{format: nemo}"),
}


def target(decoder: Decoder) -> Target | None:
    """How a decoder is served; None for a hybrid, of which one head must be chosen first."""
    return _TARGETS.get(decoder)


def commands(found: Target, model: str, name: str) -> Mapping[str, str]:
    """The commands from the folder to a running NIM, each one line of a shell.

    Args:
        found: the decoder's target.
        model: file name of the .nemo in the folder.
        name: of the pipeline.

    Returns:
        ``riva_build`` and ``riva_deploy``, which run inside the container, ``pack``, likewise, and
        ``serve``, which starts the NIM.
    """
    rmir = MOUNT / f"{PurePosixPath(model).stem}.rmir"
    source = f"source_path=[{{path: {MOUNT / model}, nemo2riva: {found.conversion}}}]"
    build = [
        "riva-build",
        "--config-path=pkg://servicemaker.configs.asr",
        "--config-name=offline",
        "force=true",
        f"output_path={rmir}",
        source,
        f"name={name}",
        found.flag,
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
        "riva_deploy": shlex.join(["riva-deploy", "-f", str(rmir), "/data/models"]),
        "pack": f"tar -C /data/models -czf {EXPORT / 'custom_model.tar.gz'} .",
        "serve": shlex.join(serve) + ' -v "$NIM_EXPORT_PATH:/opt/nim/export" "$NIM_IMAGE"',
    }


def files_read(riva_build: str) -> list[str]:
    """The files of the hand-off folder that a riva-build line reads, relative to it."""
    (source,) = (one for one in shlex.split(riva_build) if one.startswith("source_path="))
    return re.findall(rf"path: {re.escape(str(MOUNT))}/([^,}}]+)", source)


def script(found: Target, lines: Mapping[str, str]) -> str:
    """The commands as a script that is run on the GPU host, in the hand-off folder."""
    inside = " && \\\n    ".join(
        lines[step].replace("'", "'\\''") for step in ("riva_build", "riva_deploy", "pack")
    )
    return f"""#!/usr/bin/env bash
# Builds, deploys and serves the model of this folder, on the host whose GPU will serve.
# NIM_IMAGE: a container of the family {found.family}; its name and tag are in
#   {SUPPORT_MATRIX}
# Another family makes a broken RMIR without a clear error. NGC_API_KEY comes from the environment.
set -euo pipefail
cd "$(dirname "$0")"
: "${{NIM_IMAGE:?set it to nvcr.io/nim/nvidia/<a container of {found.family}>:<tag>}}"
: "${{NGC_API_KEY:?export your NGC key}}"
export NGC_API_KEY
export NIM_EXPORT_PATH="${{NIM_EXPORT_PATH:-$HOME/nim_export}}"
mkdir -p "$NIM_EXPORT_PATH" # the container's user, 1000, must be able to write there

docker run --rm --gpus all --ulimit nofile=65536:65536 \\
  -v "$PWD:{MOUNT}" -v "$NIM_EXPORT_PATH:{EXPORT}" --entrypoint /bin/bash "$NIM_IMAGE" -c '
    {inside}'

{lines["serve"]}
"""
