"""Stands in for tasks/entrypoints/interpolate.py: the same request, events and files, no NeMo.

Usage: interpolate.py REQUEST.json

A mixture writes what the tuned model writes with its value as the chance, and else what the base
writes; see transcribe.py beside this file. Its .nemo is the tuned one with the value in its note.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import finetune_script  # type: ignore[import-not-found]  # lies beside this file
from transcribe import hypothesis, say  # type: ignore[import-not-found]  # likewise

_ANSWER_S = 600.0


def answer(folder: Path, number: int) -> dict[str, Any]:
    """Ask what comes next and wait for it."""
    say("asks", number=number)
    path = folder / f"answer-{number}.json"
    until = time.monotonic() + _ANSWER_S
    while not path.is_file():
        if time.monotonic() > until:
            sys.exit(f"{path.name}: nobody has answered")
        time.sleep(0.01)
    return dict(json.loads(path.read_text()))


def main() -> None:
    """Decode the candidates that are asked for, and write the one that is chosen."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    folder, tuned = Path(request["answers"]), Path(request["tuned"])
    note = finetune_script.read_note(tuned)
    wanted: dict[str, Any] = {"values": request["values"]}
    number = 0
    while "ship" not in wanted:
        for value in wanted["values"]:
            mixed = {**note, "value": value}
            hyps = {
                one["name"]: [hypothesis(Path(path), mixed) for path in one["audio"]]
                for one in request["sets"]
            }
            out = folder / f"candidate-{value:.4f}.json"
            out.write_text(json.dumps({"value": value, "hyps": hyps}))
            say("candidate", value=value, out=out.name, seconds=0.01)
        number += 1
        wanted = answer(folder, number)
    finetune_script.write_model(
        tuned, Path(request["out"]), 0, note["seed"], {}, value=wanted["ship"]
    )
    say("shipped", value=wanted["ship"])


if __name__ == "__main__":
    main()
