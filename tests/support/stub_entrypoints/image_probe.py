"""Stands in for tasks/entrypoints/image_probe.py: any image can run the stub."""

from __future__ import annotations

import json
import platform

PREFIX = "asr-flywheel-image: "


def main() -> None:
    """Say that there is all that the stub needs, and no stock script."""
    told = {
        "nemo": "",
        "torch": "",
        "cuda": "",
        "python": platform.python_version(),
        "package": "stub",
        "asr": True,
        "examples": "",
    }
    print(PREFIX + json.dumps(told))


if __name__ == "__main__":
    main()
