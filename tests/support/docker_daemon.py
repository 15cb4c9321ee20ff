"""A real Docker Engine for tests, and a tiny image made of busybox."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import docker

from tasks.runtimes import docker_engine
from tests.support import needs
from tests.support.needs import BUSYBOX, require

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


def jobs_started(engine: Any, since: float, folder: Path) -> list[str]:
    """The jobs with a cycle's label whose containers were started, by the engine's events.

    Args:
        engine: a client.
        since: seconds since 1970.
        folder: the cycle's; a run's jobs that decode have no label of it.
    """
    label = docker_engine.LABEL
    events = engine.events(
        since=int(since),
        until=int(time.time()) + 1,
        filters={"type": "container", "event": "start", "label": f"{label}.cycle={folder}"},
        decode=True,
    )
    return [event["Actor"]["Attributes"][f"{label}.job"] for event in events]


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


PYTHON = "asr-flywheel/python:test"


def python_image(engine: Any, name: str, contents: dict[str, str], variables: str = "") -> str:
    """An image of this machine's Python, without packages, with some files more.

    Args:
        engine: a client.
        name: its tag.
        contents: text files by their paths.
        variables: lines of ENV for its Dockerfile.
    """
    if not engine.images.list(PYTHON):
        repository, _, tag = PYTHON.partition(":")
        engine.api.import_image_from_data(_python(), repository=repository, tag=tag)
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        lines = f"FROM {PYTHON}\nENV PATH=/usr/bin:/bin\n{variables}\nCOPY root/ /\n"
        texts = {f"root/{path.lstrip('/')}": text for path, text in contents.items()}
        for path, text in {"Dockerfile": lines, "root/etc/made": name, **texts}.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(text.encode()), 0o644
            tar.addfile(entry, io.BytesIO(text.encode()))
    context.seek(0)
    tag = f"asr-flywheel/{name}:test"
    engine.images.build(fileobj=context, custom_context=True, tag=tag, rm=True)
    return tag


def _python() -> bytes:
    version = "python{}.{}".format(*sys.version_info[:2])
    prefix = Path(sys.base_prefix)
    program = (prefix / "bin" / version).resolve()
    library = prefix / "lib" / version
    linked = {Path("/lib64/ld-linux-x86-64.so.2")}
    for binary in (program, *(library / "lib-dynload").glob("*.so")):
        told = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=False)
        linked |= {Path(found) for found in re.findall(r"=> (/\S+)", told.stdout)}

    def wanted(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        unwanted = {"site-packages", "dist-packages", "test", "__pycache__", "idlelib"}
        parts = set(Path(entry.name).parts)
        return None if parts & unwanted or entry.name.endswith(".a") else entry

    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", dereference=True) as tar:
        for folder in ("tmp", "etc", "proc", "sys", "dev"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(entry)
        tar.add(program, str(prefix / "bin" / version).lstrip("/"))
        tar.add(library, str(library).lstrip("/"), filter=wanted)
        for found in sorted(linked):
            tar.add(found, str(found).lstrip("/"))
        link = tarfile.TarInfo("usr/bin/python")
        link.type, link.linkname = tarfile.SYMTYPE, str(prefix / "bin" / version)
        tar.addfile(link)
    return archive.getvalue()
