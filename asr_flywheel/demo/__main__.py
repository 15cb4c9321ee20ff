"""Synthesise the demo's cycle and its general English, and do nothing else.

python -m asr_flywheel.demo FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from asr_flywheel.demo.prepare import prepare_cycle, prepare_general


def main() -> None:
    """Make the folder of the command line; what is there is kept."""
    directory = Path(sys.argv[1])
    prepare_cycle(directory, seed=42)
    prepare_general(directory)


# Synthesis spawns processes that import this module.
if __name__ == "__main__":
    main()
