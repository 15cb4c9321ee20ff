"""Tells what an image holds, without importing any of it: NeMo, the stock script, Python, torch.

Usage: image_probe.py EXAMPLES

EXAMPLES is the folder where the stock script is expected; the places where it lies in a checkout or
beside the package are tried after it. It prints one line: PREFIX and a JSON object {"nemo",
"torch", "cuda": versions or "", "python", "package": NeMo's folder or "", "asr": whether that
folder can train speech recognition, "examples": the folder that has script and YAML, or ""}.
"""

from __future__ import annotations

import importlib.util
import json
import platform
import re
import sys
from importlib import metadata
from pathlib import Path

PREFIX = "asr-flywheel-image: "
_SCRIPT = "speech_to_text_finetune.py"
_CONFIG = "conf/asr_finetune/speech_to_text_finetune.yaml"
_CHECKOUTS = ("/opt/NeMo", "/workspace/NeMo", "/workspace/nemo", "/workspace")


def _distribution(*names: str) -> str:
    for name in names:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return ""


def _folder(package: str) -> Path | None:
    """Where a package lies; a top-level one is found without running any of its code."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        return None
    return Path(next(iter(found.submodule_search_locations)))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _nemo(package: Path | None) -> str:
    """The version of the distribution, or what the package says where none is installed."""
    installed = _distribution("nemo_toolkit", "nemo-toolkit")
    if installed or package is None:
        return installed
    told = dict(
        re.findall(
            r"^(MAJOR|MINOR|PATCH)\s*=\s*(\d+)", _read(package / "package_info.py"), re.MULTILINE
        )
    )
    return ".".join(told.get(part, "0") for part in ("MAJOR", "MINOR", "PATCH")) if told else ""


def _cuda() -> str:
    """The CUDA that torch was built for."""
    torch = _folder("torch")
    told = _read(torch / "version.py") if torch is not None else ""
    found = re.search(r"^cuda\b[^=]*=\s*['\"]([\d.]+)['\"]", told, re.MULTILINE)
    return found.group(1) if found else ""


def _examples(wanted: str, package: Path | None) -> str:
    roots = [Path(root) for root in _CHECKOUTS]
    if package is not None:
        roots.append(package.parent)
    for folder in (Path(wanted), *(root / "examples" / "asr" for root in roots)):
        if (folder / _SCRIPT).is_file() and (folder / _CONFIG).is_file():
            return str(folder)
    return ""


def main(wanted: str) -> None:
    """Look, and print what was found."""
    # Beside this program lie others whose names an image may use as well.
    sys.path[:] = [place for place in sys.path if place != str(Path(__file__).parent)]
    package = _folder("nemo")
    found = {
        "nemo": _nemo(package),
        "torch": _distribution("torch"),
        "cuda": _cuda(),
        "python": platform.python_version(),
        "package": str(package or ""),
        "asr": package is not None and (package / "collections/asr/__init__.py").is_file(),
        "examples": _examples(wanted, package),
    }
    print(PREFIX + json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
