"""Decode mixtures of base and tuned model, and write the one that is chosen.

Usage: interpolate.py REQUEST.json

The mixtures are those of mix_weights.py. Both models' weights are loaded once, and the features of
each recording are computed once.

The request: {"base": path, "tuned": path, "sets": [{"name": text, "audio": [path, ...],
"durations": [seconds, ...], "lead": samples of silence before each}], "values": [0.2, ...],
"answers": folder, "out": path}; optionally what transcribe.py takes too.

After each candidate it prints {"event": "candidate", "value", "out", "seconds"} and has written
``answers``/candidate-<value>.json: {"value", "hyps": {set: [text, ...]}}. After the last one it
prints {"event": "asks", "number": n} and waits for ``answers``/answer-<n>.json, which another
process writes: {"values": [more]} or {"ship": value}. The shipped mixture is then at ``out``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import decoding_pipeline  # type: ignore[import-not-found]  # lies beside this file
import job_phases  # type: ignore[import-not-found]  # likewise
import length_batching  # type: ignore[import-not-found]  # likewise
import mix_weights  # type: ignore[import-not-found]  # likewise
import numpy as np
import nvrtc_guard  # type: ignore[import-not-found]  # likewise
import soundfile
import torch
from audio_reader import read  # type: ignore[import-not-found]  # likewise
from greedy_decoder import (  # type: ignore[import-not-found]  # likewise
    GreedyRecognizer,
    compute_dtype,
    restore,
)
from omegaconf import OmegaConf
from transcribe import Reporter, begin  # type: ignore[import-not-found]  # likewise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ANSWER_S = 3600.0
_ASK_EVERY_S = 0.02
say = Reporter()


def check_alike(base: Any, tuned: Any) -> None:  # noqa: ANN401 - NeMo ships no types
    """Refuse two models that are not one architecture with one tokenizer.

    Raises:
        SystemExit: names what differs.
    """
    for name in mix_weights.ARCHITECTURE:
        ours, theirs = (_plain(model.cfg.get(name)) for model in (base, tuned))
        if ours != theirs:
            sys.exit(f"models that differ cannot be mixed: {name} of base and tuned model differ")
    if _vocabulary(base) != _vocabulary(tuned):
        sys.exit("models that differ cannot be mixed: base and tuned model spell differently")
    if names := mix_weights.differing(base.state_dict(), tuned.state_dict()):
        sys.exit(f"models that differ cannot be mixed: {', '.join(names[:3])} differ in shape")


def _plain(node: Any) -> Any:  # noqa: ANN401 - of a model's configuration
    return OmegaConf.to_container(node) if OmegaConf.is_config(node) else node


def _vocabulary(model: Any) -> list[str]:  # noqa: ANN401
    tokenizer: Any = getattr(model, "tokenizer", None)
    if tokenizer is None:
        return []
    return [str(token) for token in tokenizer.ids_to_tokens(list(range(tokenizer.vocab_size)))]


class Mixtures:
    """Both models' weights, and a recogniser of their mixtures."""

    def __init__(self, base: str, tuned: str, dtype: str | None, *, trust: bool = False) -> None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._archives = tuple(mix_weights.Archive(path, trust=trust) for path in (base, tuned))
        with ThreadPoolExecutor(1) as pool:  # reads a file while NeMo builds the model
            reading = pool.submit(self._archives[0].weights)
            model = restore(tuned, device)
            self._base = reading.result()
        tuned_weights = {name: tensor.detach() for name, tensor in model.state_dict().items()}
        # NeMo, which takes long to build a model, knows what two configurations leave open.
        if mix_weights.unlike(*self._archives) or mix_weights.differing(self._base, tuned_weights):
            first = restore(base, "cpu")
            check_alike(first, model)
            self._base = {name: tensor.detach() for name, tensor in first.state_dict().items()}
        self._on_device = {name: tensor.to(device) for name, tensor in self._base.items()}
        # The recogniser may cast the model itself to 16 bits.
        self._tuned = {name: tensor.clone() for name, tensor in tuned_weights.items()}
        self._recognizer = GreedyRecognizer(model, compute_dtype(model, dtype))

    def recognizer(self, value: float) -> Any:  # noqa: ANN401 - a GreedyRecognizer
        """Return the recogniser, which decodes by a mixture until it is asked for another one."""
        self._recognizer.load_weights(mix_weights.mix(self._on_device, self._tuned, value))
        return self._recognizer

    def write(self, value: float, out: Path) -> None:
        """Write a mixture, computed on the CPU as mix_weights.py does."""
        tuned = {name: tensor.cpu() for name, tensor in self._tuned.items()}
        self._archives[1].write_with(mix_weights.mix(self._base, tuned, value), out)


class ChoosingSet:
    """A set's recordings and batches."""

    def __init__(self, wanted: Mapping[str, Any], work: Path) -> None:
        self.name = str(wanted["name"])
        self.durations: list[float] = wanted["durations"]
        self.audio: list[str] = wanted["audio"]
        self._lead = int(wanted.get("lead", 0))
        self._work = work

    def batch(self, recognizer: Any, places: list[int]) -> Batch:  # noqa: ANN401
        """Read some recordings, with silence before each, and compute their features."""
        samples = [read(self.audio[place], recognizer.rate) for place in places]
        lengths = torch.tensor([self._lead + len(one) for one in samples])
        signal = torch.zeros(len(samples), int(lengths.max()))
        for row, one in zip(signal, samples, strict=True):
            row[self._lead : self._lead + len(one)] = torch.from_numpy(one)
        with torch.inference_mode():
            return Batch(self, places, *recognizer.features(signal, lengths))

    def delay(self) -> None:
        """Write the recordings with the silence, for a model that reads files."""
        self.audio = [self._delayed(place) for place in range(len(self.audio))]

    def _delayed(self, place: int) -> str:
        if not self._lead:
            return self.audio[place]
        samples, rate = soundfile.read(self.audio[place], dtype="float32", always_2d=True)
        path = self._work / f"{self.name.replace('/', '-')}-{place}.wav"
        silence = np.zeros((self._lead, samples.shape[1]), dtype=np.float32)
        soundfile.write(path, np.concatenate([silence, samples]), rate, subtype="FLOAT")
        return str(path)


@dataclass(frozen=True)
class Batch:
    """Some recordings of a set and their features."""

    of: ChoosingSet
    places: list[int]
    features: Any
    counts: Any

    def decode(self, recognizer: Any) -> list[str]:  # noqa: ANN401
        """Return the texts of its recordings."""
        with torch.inference_mode():
            encoded = recognizer.encode_features(self.features, self.counts)
            texts: list[str] = recognizer.spell(recognizer.decode([encoded]))
        return texts


class ChoosingSets:
    """All sets of a request; the features of each recording are computed once.

    A set has a few batches only. So those of all sets wait in one line, and no core waits for a
    set's last batch.
    """

    def __init__(self, wanted: Sequence[Mapping[str, Any]], work: Path) -> None:
        self._sets = [ChoosingSet(one, work) for one in wanted]
        self._batches: list[Batch] = []

    def prepare(self, recognizer: Any) -> None:  # noqa: ANN401
        """Warm the recogniser up, and get the recordings ready."""
        longest = max(max(one.durations) for one in self._sets)
        rows = max(len(one.durations) for one in self._sets)
        budget = decoding_pipeline.prepare(recognizer, longest, together=rows)
        if recognizer.whole:
            for one in self._sets:
                one.delay()
            return
        plans = [
            (one, places)
            for one in self._sets
            for places in length_batching.plan(one.durations, budget)
        ]
        with ThreadPoolExecutor(_workers(recognizer)) as pool:
            batches = pool.map(lambda plan: plan[0].batch(recognizer, plan[1]), plans)
            # The longest first, so that none of them is left over for one core.
            self._batches = sorted(batches, key=lambda batch: -batch.features.numel())

    def decode(self, recognizer: Any) -> dict[str, list[str]]:  # noqa: ANN401
        """Return the texts of each set, in its order."""
        if recognizer.whole:
            return {
                one.name: [
                    str(text)
                    for text in decoding_pipeline.transcribe(
                        recognizer, one.audio, one.durations, None
                    )
                ]
                for one in self._sets
            }
        texts = {one.name: [""] * len(one.audio) for one in self._sets}
        with ThreadPoolExecutor(_workers(recognizer)) as pool:
            decoded = pool.map(lambda batch: batch.decode(recognizer), self._batches)
            for batch, spelt in zip(self._batches, decoded, strict=True):
                for place, text in zip(batch.places, spelt, strict=True):
                    texts[batch.of.name][place] = text
        return texts


def _workers(recognizer: Any) -> int:  # noqa: ANN401
    return 1 if recognizer.on_gpu else decoding_pipeline.cpu_workers()


class Answers:
    """The folder through which the process that chooses is asked and answers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._asked = 0

    def give(self, value: float, hyps: Mapping[str, Sequence[str]], seconds: float) -> None:
        """Write a candidate's texts and say so."""
        out = self._folder / f"candidate-{value:.4f}.json"
        part = out.with_name(out.name + ".part")
        part.write_text(json.dumps({"value": value, "hyps": hyps}), encoding="utf-8")
        os.replace(part, out)  # noqa: PTH105 - atomic on every platform
        say("candidate", value=value, out=out.name, seconds=round(seconds, 3))

    def ask(self) -> dict[str, Any]:
        """Ask what comes next, and wait for the answer.

        Raises:
            SystemExit: there is none for an hour.
        """
        self._asked += 1
        say("asks", number=self._asked)
        path = self._folder / f"answer-{self._asked}.json"
        until = time.monotonic() + _ANSWER_S
        with job_phases.within("choose"):
            while not path.is_file():
                if time.monotonic() > until:
                    sys.exit(f"{path.name}: nobody has answered for {_ANSWER_S:.0f} s")
                time.sleep(_ASK_EVERY_S)
        answer: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return answer


def main() -> None:
    """Decode the candidates that are asked for, and write the one that is chosen."""
    request = begin()
    answers = Answers(Path(request["answers"]))
    sets = ChoosingSets(request["sets"], Path(request["answers"]))
    trust = request.get("trust", False)
    mixtures = Mixtures(request["base"], request["tuned"], request.get("dtype"), trust=trust)
    prepared = False
    answer: dict[str, Any] = {"values": request["values"]}
    while "ship" not in answer:
        for value in answer["values"]:
            started = time.monotonic()
            job_phases.enter("mix")
            recognizer = mixtures.recognizer(value)
            if not prepared:
                job_phases.enter("prepare")
                sets.prepare(recognizer)
                say("model", how=recognizer.describe())
                prepared = True
            job_phases.enter("decode")
            hyps = sets.decode(recognizer)
            nvrtc_guard.check()  # before texts are kept that this process may have garbled
            answers.give(value, hyps, time.monotonic() - started)
        answer = answers.ask()
    job_phases.enter("save")
    value = float(answer["ship"])
    mixtures.write(value, Path(request["out"]))
    nvrtc_guard.check()
    say("shipped", value=value)


if __name__ == "__main__":
    main()
