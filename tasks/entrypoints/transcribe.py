"""Offline transcription where NeMo is: each model is loaded once and decodes all its sets.

Usage: transcribe.py REQUEST.json

The request: {"jobs": [{"model": path, "sets": [{"audio": [path, ...], "durations": [seconds, ...],
"out": path}]}]}; a set may say "apart": true: its recordings are much longer than the others', and
batches are prepared for them alone, after the others. A job may have "boosting": {"phrases": [text,
...], "strength": number}, and then prefers these phrases. Optionally "dtype": "float32" or
"bfloat16" (by default bfloat16 for a large model on a GPU that has it); where nobody else ends an
abandoned job, "heartbeat": path and "abandoned_after_s"; on a GPU "locks": folder and
"locks_wait_s". Each ``out`` becomes JSONL with one {"audio", "hyp"} a row in the order asked for;
it appears only when it is whole.

A set may name "shifts": of each recording, the samples of silence before it under which it is
decoded, such as [0, 240, 480], where 0 is the recording as it is. Its ``out`` then has one
{"audio", "shift", "hyp"} a recording and shift.

Progress goes to standard output as JSON, one object a line. Seconds are those of decoding: neither
loading the model nor warming up counts.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import decoding_pipeline  # type: ignore[import-not-found]  # lies beside this file
import job_phases  # type: ignore[import-not-found]  # likewise
import nvrtc_guard  # type: ignore[import-not-found]  # likewise
import phrase_boosting  # type: ignore[import-not-found]  # likewise
import torch
from gpu_locks import hold  # type: ignore[import-not-found]  # likewise
from greedy_decoder import (  # type: ignore[import-not-found]  # likewise
    GreedyRecognizer,
    compute_dtype,
    restore,
)
from heartbeat import watch  # type: ignore[import-not-found]  # likewise
from nemo.utils import logging
from weights_only import load_tensors_only  # type: ignore[import-not-found]  # likewise

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_REPORT_EVERY_S = 1.0


class Reporter:
    """Prints events; of progress only what is news to a person."""

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, event: str, **values: object) -> None:
        """Print an event with its values."""
        now = time.monotonic()
        if event == "progress" and now - self._last < _REPORT_EVERY_S:
            return
        self._last = now
        print(json.dumps({"event": event, **values}), flush=True)


def load(path: str, dtype: str | None) -> Any:  # noqa: ANN401 - NeMo ships no types
    """Load a recogniser, on a GPU if there is one."""
    on_gpu = torch.cuda.is_available()
    model = restore(path, "cuda" if on_gpu else "cpu")
    return GreedyRecognizer(model, compute_dtype(model, dtype))


def write(out: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write a set's rows; the file appears only when it is whole."""
    part = out.with_name(out.name + ".part")
    with part.open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(row) + "\n")
    os.replace(part, out)  # noqa: PTH105 - atomic on every platform


def rows(
    audio_set: dict[str, Any], shifts: Sequence[Sequence[int]], texts: Sequence[Sequence[str]]
) -> Iterator[dict[str, Any]]:
    """Yield a set's rows as its file holds them."""
    for path, several, hyps in zip(audio_set["audio"], shifts, texts, strict=True):
        for shift, hyp in zip(several, hyps, strict=True):
            of_variant = {"shift": shift} if "shifts" in audio_set else {}
            yield {"audio": path, **of_variant, "hyp": hyp}


def begin() -> dict[str, Any]:
    """Read the request of the command line, and do what every job that decodes begins with."""
    job_phases.begin()
    request: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if "heartbeat" in request:
        watch(request["heartbeat"], request["abandoned_after_s"])
    if "locks" in request:
        with job_phases.within("wait"):
            hold(request["locks"], request["locks_wait_s"])
    job_phases.enter("load")
    load_tensors_only(trust=request.get("trust", False))
    logging.setLevel(logging.ERROR)
    return request


def prepare(model: Any, sets: Sequence[dict[str, Any]], *, apart: bool) -> Any:  # noqa: ANN401
    """Prepare for sets whose recordings are of like length."""
    longest = max(max(audio_set["durations"]) for audio_set in sets)
    rows = sum(len(audio_set["durations"]) for audio_set in sets) if apart else None
    shifts = [max(several) for audio_set in sets for several in audio_set.get("shifts", ())]
    return decoding_pipeline.prepare(model, longest, together=rows, shift=max(shifts, default=0))


def main() -> None:
    """Do all jobs of the request."""
    request = begin()
    report = Reporter()
    for job in request["jobs"]:
        boosting = job.get("boosting")
        if boosting:
            phrase_boosting.require_nemo()  # before anything is loaded
        job_phases.enter("load")
        model = load(job["model"], request.get("dtype"))
        if boosting:
            booster = phrase_boosting.Booster(model.model, boosting["phrases"])
            model.boost(booster, float(boosting["strength"]))
        budget, prepared_for = None, None
        for number, audio_set in enumerate(job["sets"]):
            audio, durations = audio_set["audio"], audio_set["durations"]
            apart = audio_set.get("apart", False)
            if prepared_for is not apart:
                alike = [one for one in job["sets"] if one.get("apart", False) is apart]
                if prepared_for is not None:
                    model.release()
                job_phases.enter("prepare")
                budget = prepare(model, alike, apart=apart)
                prepared_for = apart
            if not number:
                report("model", model=job["model"], how=model.describe())
            shifts = audio_set.get("shifts", [(0,)] * len(audio))
            job_phases.enter("decode")
            started = time.monotonic()
            texts = decoding_pipeline.transcribe_variants(
                model, audio, durations, shifts, budget, report
            )
            seconds = time.monotonic() - started
            nvrtc_guard.check()  # before texts are kept that this process may have garbled
            write(Path(audio_set["out"]), rows(audio_set, shifts, texts))
            report(
                "set",
                model=job["model"],
                out=audio_set["out"],
                rows=sum(map(len, shifts)),
                audio_seconds=round(
                    sum(
                        length * len(several)
                        for length, several in zip(durations, shifts, strict=True)
                    ),
                    3,
                ),
                seconds=round(seconds, 3),
            )
        model.release()
        del model
    job_phases.enter("end")


if __name__ == "__main__":
    main()
