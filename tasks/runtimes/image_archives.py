"""An image as one file, for a machine without a registry: Docker's archive, or a squashfs.

The archive is what `docker save` writes and `docker load` or `podman load` reads. The squashfs is
the image's files alone, for enroot, apptainer and charliecloud; its variables are written where
charliecloud reads them (``/ch/environment``).
"""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from typing import TYPE_CHECKING

from tasks.common.errors import InputError
from tasks.runtimes import docker_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


def save_archive(image: str, target: Path, report: Callable[[str], None]) -> str:
    """Write an image as Docker's archive and return its id.

    Raises:
        FaultError: no engine answers, or the image cannot be had.
    """
    client = docker_engine.connect()
    number = docker_engine.image_id(client, image, report)
    with target.open("wb") as out:
        for chunk in client.images.get(image).save(named=image):
            out.write(chunk)
    return number


def save_squashfs(image: str, target: Path, report: Callable[[str], None]) -> str:
    """Write an image's files as a squashfs and return the image's id.

    Raises:
        FaultError: no engine answers, or the image cannot be had.
        InputError: mksquashfs is absent, or refused.
    """
    program = shutil.which("mksquashfs")
    if program is None:
        raise InputError(
            "mksquashfs: not found, and a squashfs is asked for. Fix: apt-get install "
            "squashfs-tools, or take --image-format docker."
        )
    client = docker_engine.connect()
    number = docker_engine.image_id(client, image, report)
    variables = docker_engine.environment(client, image)
    container = client.containers.create(image, command=["true"])
    try:
        line = [program, "-", str(target), "-tar", "-noappend", "-quiet", "-no-progress"]
        with subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            assert process.stdin is not None  # noqa: S101 - a pipe was asked for
            try:
                process.stdin.write(_begin_archive(variables))
                for chunk in container.export():
                    process.stdin.write(chunk)
            except BrokenPipeError:
                pass  # its own words follow
            said, _ = process.communicate()
    finally:
        container.remove(force=True)
    if process.returncode:
        raise InputError(
            f"{image}: mksquashfs refused it: {said.decode(errors='replace').strip()[-500:]}. Fix: "
            "squashfs-tools 4.5 or newer, and room for the file."
        )
    return number


def _begin_archive(variables: Mapping[str, str]) -> bytes:
    """Return the first members of a tar, to which the members of another are joined.

    mksquashfs adds no files of its own to a tar that it reads.
    """
    text = "".join(f"{key}={value}\n" for key, value in sorted(variables.items())).encode()
    folder = tarfile.TarInfo("ch")
    folder.type, folder.mode = tarfile.DIRTYPE, 0o755
    file = tarfile.TarInfo("ch/environment")
    file.size, file.mode = len(text), 0o644
    padding = b"\0" * (-len(text) % tarfile.BLOCKSIZE)
    return folder.tobuf() + file.tobuf() + text + padding
