"""Offline bundles with an image, made and installed as a host does it."""

from __future__ import annotations

import ensurepip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tasks.airgap import image_loading
from tasks.airgap.bundle_manifest import BundleLayout, ContentKind
from tasks.airgap.bundle_writing import describe, write_parts
from tasks.runtimes import image_archives
from tests.support import offline_bundles

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def ignore(_line: str) -> None:
    """Take a line for a person."""


def install(target: Path, parts: list[Path], path: str) -> str:
    """Install by the script, and return what it says to a person."""
    names = ("DOCKER_HOST",)
    environment = {name: os.environ[name] for name in names if name in os.environ}
    environment |= {"PATH": path, "PYTHON": sys.executable}
    line = ["sh", str(parts[0] / "install.sh"), str(target), *map(str, parts)]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def check(target: Path) -> dict[str, Any]:
    """What `bundle check` says."""
    line = [sys.executable, "-m", "asr_flywheel", "bundle", "check", str(target), "--json"]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def bundle_image(image: str, folder: Path, limit: int) -> list[Path]:
    """A bundle with pip and an image, in parts."""
    files = folder / "files"
    files.mkdir()
    (pip,) = Path(ensurepip.__file__).parent.glob("_bundled/pip-*.whl")
    shutil.copy(pip, files)
    number = image_archives.save_archive(image, files / "image.tar", ignore)
    details = {"image": image, "format": image_loading.DOCKER, "id": number}
    contents = [
        *offline_bundles.describe_all(files),
        describe(files / "image.tar", ContentKind.IMAGE, details),
    ]
    about = offline_bundles.about(BundleLayout.WHOLE, PYTHON)
    write_parts(contents, files, folder / "out", limit, about, ignore)
    return offline_bundles.list_parts(folder / "out")
