"""``python -m asr_flywheel``."""

from asr_flywheel.cli import main

main()
