"""Stands in for tasks/entrypoints/boost_strengths.py: the same request, events and files, no NeMo.

Usage: boost_strengths.py REQUEST.json

A model with phrases writes a text without an error where the recording's name says so, the more
often the stronger it is boosted; else it writes what it writes without phrases.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import finetune_script  # type: ignore[import-not-found]  # lies beside this file
from interpolate import answer  # type: ignore[import-not-found]  # likewise
from transcribe import (  # type: ignore[import-not-found]  # likewise
    folder_of,
    hypothesis,
    references,
    say,
)

_STRONGEST = 2.0


def boosted(audio: Path, note: dict[str, Any], strength: float) -> str:
    """Return what a boosted model hears."""
    share = int(hashlib.sha256(f"boost {audio.name}".encode()).hexdigest()[:8], 16) / 16**8
    folder = folder_of(audio)
    if folder is not None and share < strength / _STRONGEST:
        return str(references(folder)[audio.name][0])
    return str(hypothesis(audio, note))


def main() -> None:
    """Decode the candidates that are asked for."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if request.get("probe"):
        return
    folder = Path(request["answers"])
    note = finetune_script.read_note(Path(request["model"]))
    sets = {one["name"]: [Path(path) for path in one["audio"]] for one in request["sets"]}
    say("model", how="CTC in float32 on cpu, by the stub")
    number = asked = 0
    while True:
        asked += 1
        wanted = answer(folder, asked)
        if wanted.get("done"):
            return
        for phrases, strength in wanted["candidates"]:
            number += 1
            hyps = {
                name: [boosted(audio, note, strength) for audio in sets[name]]
                for name in wanted["sets"]
            }
            out = folder / f"candidate-{number}.json"
            out.write_text(json.dumps({"hyps": hyps}))
            say("candidate", list=phrases, strength=strength, out=out.name, seconds=0.01)


if __name__ == "__main__":
    main()
