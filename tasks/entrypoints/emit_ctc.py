"""Write what a CTC model hears in each frame of long recordings, and the labels of their words.

Usage: emit_ctc.py REQUEST.json

The request: {"model": path, "window_s": seconds, "margin_s": seconds, "recordings": [{"audio":
path, "words": [text, ...], "out": path}]}; optionally what transcribe.py takes too. Recordings have
one channel and the model's sample rate. Windows of ``window_s`` overlap by twice ``margin_s``.

Each ``out`` becomes an .npz with ``log_probs`` (frames, labels) float16, ``labels`` and ``counts``:
the labels of all words one after the other, and how many are each word's. It appears when it is
whole. Standard output gets {"event": "model", "how", "stride_s", "blank"}, {"event": "progress",
"done", "of"} in seconds of sound, and {"event": "recording", "out", "seconds"}.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import job_phases  # type: ignore[import-not-found]  # lies beside this file
import numpy as np
import nvrtc_guard  # type: ignore[import-not-found]  # likewise
import soundfile
import torch
from emission_windows import EmissionWindow, plan_windows  # type: ignore[import-not-found]
from greedy_decoder import (  # type: ignore[import-not-found]  # likewise
    GreedyRecognizer,
    compute_dtype,
    restore,
)
from transcribe import Reporter, begin  # type: ignore[import-not-found]  # likewise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

say = Reporter()
_TOGETHER = {"cpu": 4, "cuda": 32}


class CtcEmitter:
    """A CTC model that tells the log-probability of each label in each frame."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        """Load the model.

        Raises:
            SystemExit: it has no CTC decoder that can be taken apart.
        """
        model = restore(request["model"], "cuda" if torch.cuda.is_available() else "cpu")
        head = getattr(model, "ctc_decoder", None)  # of a hybrid beside its transducer
        if head is not None:
            model.cur_decoder = "ctc"
        self._model = GreedyRecognizer(model, compute_dtype(model, request.get("dtype")))
        if self._model.whole or self._model.is_transducer:
            sys.exit(f"{request['model']}: has no CTC decoder, which alignment needs.")
        self._model.keeps_scores = True
        self._rate: int = self._model.rate
        stride_s = float(model.cfg.preprocessor.get("window_stride", 0.01))  # NeMo's own default
        factor = int(getattr(model.encoder, "subsampling_factor", 1))
        self._hop = round(stride_s * self._rate) * factor
        self._longest = int(request["window_s"] * self._rate) // self._hop
        self._margin = int(request["margin_s"] * self._rate) // self._hop
        job_phases.enter("prepare")
        self._model.warm_up(self._longest * factor)
        blank = int((head or model.decoder).num_classes_with_blank) - 1
        say("model", how=self._model.describe(), stride_s=self._hop / self._rate, blank=blank)

    def emit(self, wanted: Mapping[str, Any], before_s: float, all_s: float) -> float:
        """Write one recording's emissions; return its seconds."""
        with soundfile.SoundFile(wanted["audio"]) as audio:
            if audio.channels != 1 or audio.samplerate != self._rate:
                sys.exit(f"{wanted['audio']}: must have one channel of {self._rate} Hz.")
            # The encoder makes a frame of what is left, however short.
            frames = -(-audio.frames // self._hop)
            windows = plan_windows(frames, self._longest, self._margin)
            together = _TOGETHER[self._model.device.type]
            parts: list[Any] = []
            for start in range(0, len(windows), together):
                parts += self._hear(audio, windows[start : start + together])
                done = windows[min(start + together, len(windows)) - 1].last * self._hop
                say("progress", done=round(before_s + done / self._rate), of=round(all_s))
            seconds: float = audio.frames / self._rate
        spelt = [self._labels(word) for word in wanted["words"]]
        out = Path(wanted["out"])
        part = out.with_name(out.name + ".part")
        with part.open("wb") as stream:
            np.savez(
                stream,
                log_probs=np.concatenate(parts),
                labels=np.array([label for word in spelt for label in word], dtype=np.int32),
                counts=np.array([len(word) for word in spelt], dtype=np.int32),
            )
        os.replace(part, out)  # noqa: PTH105 - atomic on every platform
        return seconds

    def _hear(self, audio: soundfile.SoundFile, windows: Sequence[EmissionWindow]) -> list[Any]:
        """Return the log-probabilities of the frames that count, window by window."""
        signals = []
        for window in windows:
            audio.seek(window.start * self._hop)
            signals.append(audio.read((window.end - window.start) * self._hop, dtype="float32"))
        lengths = torch.tensor([len(signal) for signal in signals], dtype=torch.int64)
        batch = torch.zeros(len(signals), int(lengths.max()))
        for row, signal in zip(batch, signals, strict=True):
            row[: len(signal)] = torch.from_numpy(signal)
        with torch.inference_mode():
            encoded = self._model.encode(batch, lengths)
            scores = encoded.output.float().cpu()
        counts = encoded.lengths.cpu().tolist()
        heard = []
        for row, count, window in zip(scores, counts, windows, strict=True):
            # Rounding may lack the last frame of what was read.
            wanted = window.last - window.start
            padded = row[: min(count, wanted)]
            if len(padded) < wanted:
                padded = torch.cat([padded, padded[-1:].expand(wanted - len(padded), -1)])
            heard.append(padded[window.first - window.start :].numpy().astype(np.float16))
        return heard

    def _labels(self, word: str) -> list[int]:
        return list(self._model.model.tokenizer.text_to_ids(word)) if word else []


def main() -> None:
    """Write the emissions of all recordings of the request."""
    request = begin()
    emitter = CtcEmitter(request)
    lengths = [soundfile.info(one["audio"]).duration for one in request["recordings"]]
    job_phases.enter("decode")
    before = 0.0
    for wanted in request["recordings"]:
        started = time.monotonic()
        before += emitter.emit(wanted, before, sum(lengths))
        nvrtc_guard.check()  # before anything is kept that this process may have garbled
        say("recording", out=wanted["out"], seconds=round(time.monotonic() - started, 3))
    job_phases.enter("end")


if __name__ == "__main__":
    main()
