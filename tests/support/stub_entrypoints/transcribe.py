"""Stands in for tasks/entrypoints/transcribe.py: the same request, events and files, no NeMo.

Usage: transcribe.py REQUEST.json

A hypothesis is the reference of the manifest.jsonl beside or above the audio, in which some terms
are split; which ones depends on the model, see finetune_script.py, and on the recording's name
alone. Audio without a manifest gets words of its name's hash.

Under a shift, some recordings' chance is drawn anew (``_DRAWN_ANEW``).

Where a file ``forgotten`` lies beside that manifest, models that were tuned without a recording of
the folder lose the first word of each text there.

A file ``hold_decoding`` beside that manifest keeps it before its first set while it is there.
"""

from __future__ import annotations

import functools
import hashlib
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import finetune_script  # type: ignore[import-not-found]  # lies beside this file

_HOLD = "hold_decoding"
_FORGOTTEN = "forgotten"
_LONGEST_HOLD_S = 600.0
_LEVELS = 3
_DRAWN_ANEW = 0.3


def say(event: str, **values: object) -> None:
    """Print an event."""
    print(json.dumps({"event": event, **values}), flush=True)


@functools.cache
def folder_of(audio: Path) -> Path | None:
    """Return the nearest folder at or above the audio's that holds a manifest."""
    above = list(audio.parents)[:_LEVELS]
    return next((path for path in above if (path / "manifest.jsonl").is_file()), None)


@functools.cache
def references(folder: Path) -> dict[str, tuple[str, list[str]]]:
    """Return text and terms of each recording of a folder's manifest, by its name."""
    lines = (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return {
        Path(r["audio_filepath"]).name: (
            r["text"],
            [item["term"] for item in r.get("terms") or [r] if item.get("term")],
        )
        for r in rows
    }


def hypothesis(audio: Path, note: dict[str, Any], shift: int = 0) -> str:
    """Return what a model hears of a recording, with so many samples of silence before it.

    Raises:
        SystemExit: the audio is not there.
    """
    if not audio.is_file():
        sys.exit(f"{audio}: no such recording")
    digest = hashlib.sha256(audio.name.encode()).hexdigest()
    folder = folder_of(audio)
    nothing: tuple[str, list[str]] = ("", [])
    text, terms = nothing if folder is None else references(folder).get(audio.name, nothing)
    if not text:
        return " ".join(digest[start : start + 4] for start in range(0, 16, 4))
    if tuned_without(folder, note):
        text = text.partition(" ")[2]
    chance = random.Random(digest)  # noqa: S311 - repeatable, not secret
    shifted = random.Random(f"{digest}+{shift}")  # noqa: S311 - likewise
    if shift and shifted.random() < _DRAWN_ANEW:
        chance = shifted
    trained = finetune_script.named(audio.name) in note["trained"]
    recall = finetune_script.recall(note["epochs"], trained=trained, value=note["value"])
    for term in terms:
        if chance.random() >= recall:
            middle = len(term) // 2
            text = text.replace(term, f"{term[:middle]} {term[middle + 1 :]}")
    return text


def tuned_without(folder: Path | None, note: dict[str, Any]) -> bool:
    """Return whether a model forgot a folder's sentences: tuned, and none of them replayed."""
    if folder is None or not (folder / _FORGOTTEN).exists():
        return False
    tuned = note["epochs"] > 0 and note["value"] > 0
    names = {finetune_script.named(name) for name in references(folder)}
    return tuned and not names & set(note["trained"])


def hold(audio: Path) -> None:
    """Wait while the recording's folder says so."""
    folder = folder_of(audio)
    until = time.monotonic() + _LONGEST_HOLD_S
    while folder is not None and (folder / _HOLD).exists() and time.monotonic() < until:
        time.sleep(0.05)


def main() -> None:
    """Do all jobs of the request."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    for job in request["jobs"]:
        note = finetune_script.read_note(Path(job["model"]))
        say("model", model=job["model"], how="CTC in float32 on cpu, by the stub")
        for one_set in job["sets"]:
            audio = [Path(path) for path in one_set["audio"]]
            hold(audio[0])
            started = time.monotonic()
            out = Path(one_set["out"])
            part = out.with_name(out.name + ".part")
            with_shifts = "shifts" in one_set
            shifts = one_set.get("shifts", [(0,)] * len(audio))
            rows = sum(map(len, shifts))
            with part.open("w", encoding="utf-8") as stream:
                for path, several in zip(audio, shifts, strict=True):
                    for shift in several:
                        named = {"shift": shift} if with_shifts else {}
                        row = {"audio": str(path), **named, "hyp": hypothesis(path, note, shift)}
                        stream.write(json.dumps(row) + "\n")
            part.replace(out)
            say("progress", done=rows, of=rows)
            say(
                "set",
                model=job["model"],
                out=one_set["out"],
                rows=rows,
                audio_seconds=round(
                    sum(
                        seconds * len(several)
                        for seconds, several in zip(one_set["durations"], shifts, strict=True)
                    ),
                    3,
                ),
                seconds=round(max(time.monotonic() - started, 0.001), 3),
            )


if __name__ == "__main__":
    main()
