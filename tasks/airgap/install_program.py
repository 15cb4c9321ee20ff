"""The program in each part: installs a bundle on a machine that has Python and nothing else.

    python3 install.pyz [--id ID] TARGET PART…

It prints what a person wants to know on standard error, and on standard output one line: PYTHONPATH
of an installation beside the host's packages, or the command of one with an environment of its own.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tasks.airgap import bundle_installation
from tasks.airgap.bundle_manifest import BundleLayout
from tasks.airgap.bundle_parts import verify_parts
from tasks.common.errors import FlywheelError, InputError

EXIT_FAILED, EXIT_BAD_INPUT = 1, 2


def main() -> None:
    """Verify, install, and print where."""
    parser = argparse.ArgumentParser(prog="install.sh", description="Install an offline bundle.")
    parser.add_argument("--id", default="", help="the id that `bundle make` printed")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("target", type=Path, metavar="TARGET")
    parser.add_argument("parts", type=Path, nargs="+", metavar="PART")
    given = parser.parse_args()
    try:
        print(run(given.target, given.parts, given.python, given.id))
    except InputError as wrong:
        print(f"error: {wrong}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    except (FlywheelError, OSError) as failed:
        print(f"failed: {failed}", file=sys.stderr)
        sys.exit(EXIT_FAILED)


def run(target: Path, folders: list[Path], python: str, bundle: str = "") -> str:
    """Verify and install parts, and return the line that tells how to use them."""
    parts = verify_parts(folders, bundle)
    about = parts.manifest.about
    report(f"bundle {parts.manifest.bundle}: every file of {len(folders)} parts has its hash")
    bundle_installation.install(parts, target, python, report)
    if about.layout is BundleLayout.BESIDE:
        return f"PYTHONPATH={bundle_installation.python_path(target.absolute())}"
    place = target.absolute() / bundle_installation.CURRENT / bundle_installation.ENVIRONMENT
    return str(place / "bin" / "asr-flywheel")


def report(line: str) -> None:
    """Print a line for a person; standard output is for the result."""
    print(line, file=sys.stderr)
