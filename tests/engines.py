"""A real Docker Engine for tests, and a tiny image made of busybox."""

from __future__ import annotations

import io
import tarfile
from typing import Any

import docker

from tests import needs
from tests.needs import BUSYBOX, require

STANDIN = needs.STANDIN
TINY = "asr-flywheel/tiny:test"
NEMO_LABEL = "asr-flywheel.nemo"
_APPLETS = ("sh", "sleep", "echo", "id", "touch", "cat", "ls", "printf", "dd", "true", "false")


def client() -> Any:
    """A client of the engine; skips the test where there is none."""
    require("engine")
    return docker.from_env()


def with_standin() -> Any:
    """A client of the engine that holds the stand-in image; skips the test where there is none."""
    require("engine", "standin-image")
    return docker.from_env()


def tiny_image(engine: Any) -> str:
    """An image of one program with a few names; made in a second, without a registry."""
    require("busybox")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for folder in ("bin", "tmp", "etc", "proc", "sys", "dev"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(entry)
        program = tarfile.TarInfo("bin/busybox")
        program.size, program.mode = BUSYBOX.stat().st_size, 0o755
        with BUSYBOX.open("rb") as stream:
            tar.addfile(program, stream)
        for name in _APPLETS:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    repository, _, tag = TINY.partition(":")
    engine.api.import_image_from_data(archive.getvalue(), repository=repository, tag=tag)
    return TINY
