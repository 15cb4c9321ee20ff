"""Synthesise the demo's cycle and its general English, and do nothing else.

    python -m asr_flywheel.demo FOLDER
    python -m asr_flywheel.demo --general CACHE

The second makes general English alone, once, and prints its manifest's path.
"""

from __future__ import annotations

import sys
from pathlib import Path

from asr_flywheel.demo.prepare import cached_general, prepare_cycle, prepare_general
from tasks.common.errors import InputError


def main() -> None:
    """Make the folder of the command line; what is there is kept."""
    if sys.argv[1] == "--general":
        try:
            sys.stdout.write(f"{cached_general(Path(sys.argv[2]))}\n")
        except InputError as wrong:
            sys.exit(str(wrong))
        return
    directory = Path(sys.argv[1])
    prepare_cycle(directory, seed=42)
    prepare_general(directory)


# Synthesis spawns processes that import this module.
if __name__ == "__main__":
    main()
