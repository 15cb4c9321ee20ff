"""An image for Charliecloud, made of this machine's Python: a folder with a file system's tree.

No registry can be reached by the tests. It has no CUDA; with ``packages`` it has NeMo.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import yaml

_FOLDERS = ("bin", "dev", "etc", "home", "lib64", "mnt", "opt", "proc", "root", "sys", "tmp", "usr",
            "var")  # fmt: skip
_LEFT_OUT = shutil.ignore_patterns(
    "site-packages", "test", "config-*", "__pycache__", "idlelib", "tkinter", "lib2to3", "*.a"
)


_USR_LIB = ("/", "usr", "lib")
_LIBRARIES = "/usr/lib/x86_64-linux-gnu"


def make(folder: Path, *, packages: bool = False) -> Path:
    """Make the tree in an empty folder.

    Args:
        folder: becomes the image.
        packages: whether it has this environment's packages, linked where the disk is the same.
    """
    for name in _FOLDERS:
        (folder / name).mkdir()
    (folder / "etc" / "passwd").touch()
    (folder / "etc" / "group").touch()
    for name in ("hosts", "resolv.conf"):
        (folder / "etc" / name).touch()
    python = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    stdlib = Path(sysconfig.get_path("stdlib"))
    # The folder is below this one, as Python looks for it.
    shutil.copytree(stdlib, folder / "usr" / "lib" / stdlib.name, ignore=_LEFT_OUT)
    (folder / "usr" / "bin").mkdir()
    shutil.copy(python, folder / "usr" / "bin" / "python")
    site = folder / "usr" / "lib" / stdlib.name / "site-packages"
    if packages:
        subprocess.run(["cp", "-al", sysconfig.get_path("purelib"), site], check=True)
        for path in site.glob("__editable__*"):
            path.unlink()
    else:
        site.mkdir()
        shutil.copytree(Path(yaml.__file__).parent, site / "yaml")
    _copy_libraries(folder, [python, *folder.rglob("*.so"), *folder.rglob("*.so.*")])
    return folder


def _copy_libraries(folder: Path, linked: list[Path]) -> None:
    """Copy what these files link to outside of themselves, to the same places."""
    for start in range(0, len(linked), 64):
        told = subprocess.run(
            ["ldd", *linked[start : start + 64]], capture_output=True, text=True, check=False
        ).stdout
        for line in told.splitlines():
            for library in [Path(word) for word in line.split() if word.startswith("/")][:1]:
                system = library.parts[1] in {"lib", "lib64"} or library.parts[:3] == _USR_LIB
                target = folder / (str(library) if system else f"{_LIBRARIES}/{library.name}")[1:]
                if not target.exists() and library.is_file():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(library, target)
