"""Offline transcription where NeMo is: each model is loaded once and decodes all its sets.

Usage: transcribe.py REQUEST.json

The request: {"batch_size": int, "jobs": [{"model": path, "sets": [{"audio": [path, ...],
"durations": [seconds, ...], "out": path}]}]}; where nobody else ends an abandoned job, "heartbeat":
path and "abandoned_after_s"; on a GPU "locks": folder and "locks_wait_s". Each ``out`` becomes
JSONL with one {"audio", "hyp"} a row in the order asked for; it appears only when it is whole.
Progress goes to standard output as JSON, one object a line.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from devices import hold  # type: ignore[import-not-found]  # lies beside this file
from heartbeat import watch  # type: ignore[import-not-found]  # likewise
from nemo.collections.asr.models import ASRModel
from nemo.utils import logging
from omegaconf import OmegaConf, open_dict

_BATCHES_A_CALL = 8


def _report(event: str, **values: object) -> None:
    print(json.dumps({"event": event, **values}), flush=True)


def load(path: str) -> Any:  # noqa: ANN401 - NeMo ships no types
    """Restore a model for inference, on a GPU if there is one."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = ASRModel.restore_from(path, map_location=device)
    if model.cfg.get("validation_ds") is None:
        # transcribe() reads this key, and a model that was never validated lacks it.
        with open_dict(model.cfg):
            model.cfg.validation_ds = OmegaConf.create({"sample_rate": model.cfg.sample_rate})
    return model.to(device).eval()


def transcribe(model: Any, one_set: dict[str, Any], batch_size: int) -> list[str]:  # noqa: ANN401
    """Hypotheses of one set in the order of its audio.

    Files are decoded longest first: a batch is as slow as its longest file, and what does not
    fit into memory shows at once.
    """
    audio, durations = one_set["audio"], one_set["durations"]
    order = sorted(range(len(audio)), key=lambda place: -durations[place])
    texts: list[str] = [""] * len(audio)
    width = batch_size * _BATCHES_A_CALL
    for start in range(0, len(order), width):
        places = order[start : start + width]
        with torch.inference_mode():
            answer = model.transcribe(
                [audio[place] for place in places],
                batch_size=batch_size,
                num_workers=0,
                verbose=False,
            )
        # Older releases answer (best, all) for transducers.
        best = answer[0] if isinstance(answer, tuple) else answer
        for place, hypothesis in zip(places, best, strict=True):
            texts[place] = getattr(hypothesis, "text", hypothesis)
        _report("progress", done=start + len(places), of=len(order))
    return texts


def main() -> None:
    """Do all jobs of the request."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if "heartbeat" in request:
        watch(request["heartbeat"], request["abandoned_after_s"])
    if "locks" in request:
        hold(request["locks"], request["locks_wait_s"])
    logging.setLevel(logging.ERROR)
    for job in request["jobs"]:
        model = load(job["model"])
        for one_set in job["sets"]:
            started = time.monotonic()
            texts = transcribe(model, one_set, request["batch_size"])
            seconds = time.monotonic() - started
            out = Path(one_set["out"])
            part = out.with_name(out.name + ".part")
            with part.open("w", encoding="utf-8") as stream:
                for path, text in zip(one_set["audio"], texts, strict=True):
                    stream.write(json.dumps({"audio": path, "hyp": text}) + "\n")
            os.replace(part, out)  # noqa: PTH105 - atomic on every platform
            _report(
                "set",
                model=job["model"],
                out=str(out),
                rows=len(texts),
                audio_seconds=round(sum(one_set["durations"]), 3),
                seconds=round(seconds, 3),
            )
        del model


if __name__ == "__main__":
    main()
