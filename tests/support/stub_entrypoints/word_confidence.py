"""Stands in for tasks/entrypoints/word_confidence.py: the same request, events and files, no NeMo.

Usage: word_confidence.py REQUEST.json

The words are those of the stub's transcribe.py; a word with a digit is unsure.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import finetune_script  # type: ignore[import-not-found]  # lies beside this file
from transcribe import hypothesis, say  # type: ignore[import-not-found]  # likewise

_SURE, _UNSURE = 0.9, 0.2


def main() -> None:
    """Tell of each recording how sure the model is."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    note = finetune_script.read_note(Path(request["model"]))
    say("model", how="CTC in float32 on cpu, by the stub")
    rows = []
    for path in request["audio"]:
        words = hypothesis(Path(path), note).split()
        sure = [_UNSURE if any(map(str.isdigit, word)) else _SURE for word in words]
        rows.append(json.dumps({"audio": path, "words": words, "confidence": sure}))
    Path(request["out"]).write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
