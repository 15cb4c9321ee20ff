"""Decode recordings with lists of phrases at several strengths; each recording is encoded once.

Usage: boost_strengths.py REQUEST.json

The request: {"model": path, "lists": {name: path}, "sets": [{"name": text, "audio": [path,
...], "durations": [seconds, ...], "lead": samples of silence before each}], "answers": folder};
optionally what transcribe.py takes too. A list is a text file with a phrase on each line.
{"probe": true} alone ends well where NeMo can boost.

It prints {"event": "asks", "number": n} and waits for ``answers``/answer-<n>.json, which another
process writes: {"sets": [name, ...], "candidates": [[list, strength], ...]}, or {"done": true}.
Strength 0 is the model without phrases. After each candidate it prints {"event": "candidate",
"list", "strength", "out", "seconds"} and has written ``answers``/``out``: {"hyps": {set: [text,
...]}}. Seconds are those of decoding and spelling, after the encoder; what a set's features and
encoder took is told once, by {"event": "encoded", "set", "seconds"}.
"""

from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import decoding_pipeline  # type: ignore[import-not-found]  # lies beside this file
import job_phases  # type: ignore[import-not-found]  # likewise
import length_batching  # type: ignore[import-not-found]  # likewise
import nvrtc_guard  # type: ignore[import-not-found]  # likewise
import phrase_boosting  # type: ignore[import-not-found]  # likewise
import torch
from greedy_labels import Encoded  # type: ignore[import-not-found]  # likewise
from interpolate import Answers, ChoosingSet  # type: ignore[import-not-found]  # likewise
from transcribe import Reporter, begin, load  # type: ignore[import-not-found]  # likewise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

say = Reporter()


class EncodedSet:
    """A set's recordings, encoded once; the encodings wait in the host's memory."""

    def __init__(self, wanted: Mapping[str, Any], work: Path, model: Any, budget: Any) -> None:  # noqa: ANN401
        """Read and encode the recordings."""
        started = time.monotonic()
        self._count = len(wanted["audio"])
        recordings = ChoosingSet(wanted, work)
        plan = list(length_batching.plan(recordings.durations, budget))

        def encode(places: list[int]) -> tuple[list[int], Any]:
            with torch.inference_mode():
                batch = recordings.batch(model, places)
                encoded = model.encode_features(batch.features, batch.counts)
                return places, Encoded(encoded.output.cpu(), encoded.lengths.cpu())

        with ThreadPoolExecutor(_workers(model)) as pool:
            self._batches = list(pool.map(encode, plan))
        say("encoded", set=recordings.name, seconds=round(time.monotonic() - started, 3))

    def decode(self, model: Any) -> list[str]:  # noqa: ANN401 - a GreedyRecognizer
        """Return the texts as the recogniser decodes now, in the set's order."""
        texts = [""] * self._count
        with ThreadPoolExecutor(_workers(model)) as pool:
            groups = pool.map(lambda group: _decode(model, group), self._groups(model))
            for places, spelt in groups:
                for place, text in zip(places, spelt, strict=True):
                    texts[place] = text
        return texts

    def _groups(self, model: Any) -> list[list[tuple[list[int], Any]]]:  # noqa: ANN401
        """List the batches that are decoded together: many where that takes as long as few."""
        groups: list[list[tuple[list[int], Any]]] = []
        rows = model.together + 1
        for batch in self._batches:
            if rows + len(batch[0]) > model.together:
                groups.append([])
                rows = 0
            groups[-1].append(batch)
            rows += len(batch[0])
        return groups


def _decode(model: Any, group: Sequence[tuple[list[int], Any]]) -> tuple[list[int], list[str]]:  # noqa: ANN401
    with torch.inference_mode():
        encoded = [
            Encoded(one.output.to(model.device), one.lengths.to(model.device)) for _, one in group
        ]
        texts: list[str] = model.spell(model.decode(encoded))
    return [place for places, _ in group for place in places], texts


def _workers(model: Any) -> int:  # noqa: ANN401
    return 1 if model.on_gpu else decoding_pipeline.cpu_workers()


class Candidates:
    """A model, its sets and its lists; each set and each list is prepared when it is asked for."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self._wanted = {str(one["name"]): one for one in request["sets"]}
        self._lists: Mapping[str, str] = request["lists"]
        self._work = Path(request["answers"])
        self._model = load(request["model"], request.get("dtype"))
        if self._model.whole:
            sys.exit(f"{phrase_boosting.NO_BOOSTING}: {self._model.whole}")
        self._model.keeps_scores = True
        longest = max(max(one["durations"]) for one in request["sets"])
        job_phases.enter("prepare")
        rows = max(len(one["durations"]) for one in request["sets"])
        self._budget = decoding_pipeline.prepare(self._model, longest, together=rows)
        say("model", how=self._model.describe())
        self._encoded: dict[str, EncodedSet] = {}
        self._boosters: dict[str, Any] = {}

    def hear(self, name: str) -> None:
        """Encode a set, unless it has been."""
        if name not in self._encoded:
            self._encoded[name] = EncodedSet(
                self._wanted[name], self._work, self._model, self._budget
            )

    def texts(self, phrases: str, strength: float, sets: Sequence[str]) -> dict[str, list[str]]:
        """Return the texts of sets with a list of phrases; strength 0 is without any."""
        if not strength:
            self._model.boost(None, 0.0)
        else:
            if phrases not in self._boosters:
                lines = Path(self._lists[phrases]).read_text(encoding="utf-8").split("\n")
                listed = [line for line in lines if line]
                self._boosters[phrases] = phrase_boosting.Booster(self._model.model, listed)
            self._model.boost(self._boosters[phrases], strength)
        return {name: self._encoded[name].decode(self._model) for name in sets}


def main() -> None:
    """Decode the candidates that are asked for."""
    phrase_boosting.require_nemo()  # before anything is loaded, or a GPU is waited for
    if json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")).get("probe"):
        job_phases.begin()  # all of it was the import of NeMo
        return
    request = begin()
    candidates = Candidates(request)
    answers = Answers(Path(request["answers"]))
    number = 0
    while not (answer := answers.ask()).get("done"):
        job_phases.enter("decode")
        for name in answer["sets"]:
            candidates.hear(name)
        for phrases, strength in answer["candidates"]:
            started = time.monotonic()
            hyps = candidates.texts(phrases, float(strength), answer["sets"])
            seconds = time.monotonic() - started
            nvrtc_guard.check()  # before texts are kept that this process may have garbled
            number += 1
            out = Path(request["answers"]) / f"candidate-{number}.json"
            part = out.with_name(out.name + ".part")
            part.write_text(json.dumps({"hyps": hyps}), encoding="utf-8")
            os.replace(part, out)  # noqa: PTH105 - atomic on every platform
            say(
                "candidate",
                list=phrases,
                strength=strength,
                out=out.name,
                seconds=round(seconds, 3),
            )


if __name__ == "__main__":
    main()
