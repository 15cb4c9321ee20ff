"""Stands in for tasks/entrypoints/mix_weights.py: the same request, event and file, no torch.

Usage: mix_weights.py REQUEST.json

Its .nemo is the tuned one with the value in its note.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import finetune_script  # type: ignore[import-not-found]  # lies beside this file
from transcribe import say  # type: ignore[import-not-found]  # likewise


def main() -> None:
    """Write the mixture."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    tuned, value = Path(request["tuned"]), float(request["value"])
    seed = finetune_script.read_note(tuned)["seed"]
    finetune_script.write_model(tuned, Path(request["out"]), 0, seed, {}, value=value)
    say("shipped", value=value)


if __name__ == "__main__":
    main()
