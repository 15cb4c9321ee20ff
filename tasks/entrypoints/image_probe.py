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


def _distribution_version(*names: str) -> str:
    for name in names:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return ""


def _package_folder(package: str) -> Path | None:
    """Return a package's folder; find a top-level one without running any of its code."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _nemo_version(package: Path | None) -> str:
    """Return the version of the distribution, or the package's own if none is installed."""
    installed = _distribution_version("nemo_toolkit", "nemo-toolkit")
    if installed or package is None:
        return installed
    version_parts = dict(
        re.findall(
            r"^(MAJOR|MINOR|PATCH)\s*=\s*(\d+)", _read(package / "package_info.py"), re.MULTILINE
        )
    )
    return (
        ".".join(version_parts.get(part, "0") for part in ("MAJOR", "MINOR", "PATCH"))
        if version_parts
        else ""
    )


def _cuda_version() -> str:
    """Return the CUDA version that torch was built for."""
    torch = _package_folder("torch")
    text = _read(torch / "version.py") if torch is not None else ""
    match = re.search(r"^cuda\b[^=]*=\s*['\"]([\d.]+)['\"]", text, re.MULTILINE)
    return match.group(1) if match else ""


def _examples_folder(asked_for: str, package: Path | None) -> str:
    roots = [Path(root) for root in _CHECKOUTS]
    if package is not None:
        roots.append(package.parent)
    for folder in (Path(asked_for), *(root / "examples" / "asr" for root in roots)):
        if (folder / _SCRIPT).is_file() and (folder / _CONFIG).is_file():
            return str(folder)
    return ""


def main(asked_for: str) -> None:
    """Look, and print what was found."""
    # Beside this program lie others whose names an image may use as well.
    sys.path[:] = [place for place in sys.path if place != str(Path(__file__).parent)]
    package = _package_folder("nemo")
    report = {
        "nemo": _nemo_version(package),
        "torch": _distribution_version("torch"),
        "cuda": _cuda_version(),
        "python": platform.python_version(),
        "package": str(package or ""),
        "asr": package is not None and (package / "collections/asr/__init__.py").is_file(),
        "examples": _examples_folder(asked_for, package),
    }
    print(PREFIX + json.dumps(report), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
