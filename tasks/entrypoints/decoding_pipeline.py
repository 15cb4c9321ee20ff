"""Decoding a set of recordings: reading, encoding, decoding and spelling at the same time.

On a GPU one thread starts encoders and the transducer's loops, one behind the other on one stream,
and waits for none of them. Another thread waits for labels and spells them, and others read the
next audio. A loop beside an encoder, on a stream of its own, gained nothing: each waits for the
other's places. On a CPU there is nothing to overlap but reading.

A recording may be decoded under variants as well: with some samples of silence before it. They are
made in memory of the samples that were read for the recording itself, and decoded in batches of
their own, so that what is decoded together with the plain recordings is what it is without them.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import length_batching  # type: ignore[import-not-found]  # lies beside this file
import torch
from audio_reader import PLAIN, Reader, write_shifted  # type: ignore[import-not-found]  # likewise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_READ_AHEAD = 3
_GROUPS_IN_FLIGHT = 2
_READERS = 8
_CPU_WORKERS = 8
_SWITCH_S = 1e-4
# For models that decode by themselves.
_ITS_BATCH = 16
_ITS_ROWS = 128
# Of recordings that are much longer, fewer at a time: memory grows with the square of their length.
_ITS_SECONDS = 480.0

Variant = tuple[int, int]
"""A recording's place, and the samples of silence before it."""


def prepare(
    model: Any,  # noqa: ANN401
    longest: float,
    frames: int | None = None,
    together: int | None = None,
    shift: int = PLAIN,
) -> Any:  # noqa: ANN401
    """Warm a recogniser up and find how much its batches may hold.

    Args:
        model: the recogniser.
        longest: seconds of the longest recording.
        frames: padded frames of a batch, instead of the measured default.
        together: how many recordings there are at most, where memory for the usual number of them
            would be too much.
        shift: samples of the longest shift; the budget does not depend on it.

    Returns:
        The budget.
    """
    if model.whole:
        return None
    if not model.on_gpu:
        torch.set_num_threads(max(1, cores() // cpu_workers()))
    model.model.eval()
    with torch.inference_mode():
        longest_frames = length_batching.frames(longest)
        budget = model.budget(longest_frames, frames)
        model.warm_up(length_batching.frames(longest + shift / model.rate), together)
    return budget


def transcribe(
    model: Any,  # noqa: ANN401 - a GreedyRecognizer; mypy does not see files that lie beside a program
    audio: Sequence[str],
    durations: Sequence[float],
    budget: Any,  # noqa: ANN401 - a Budget
    report: Callable[..., None] = lambda *_, **__: None,
) -> list[str]:
    """Return hypotheses in the order of the audio; see ``transcribe_variants``."""
    shifts = [(PLAIN,)] * len(audio)
    return [one for (one,) in transcribe_variants(model, audio, durations, shifts, budget, report)]


def transcribe_variants(
    model: Any,  # noqa: ANN401 - a GreedyRecognizer
    audio: Sequence[str],
    durations: Sequence[float],
    shifts: Sequence[Sequence[int]],
    budget: Any,  # noqa: ANN401 - a Budget
    report: Callable[..., None] = lambda *_, **__: None,
) -> list[list[str]]:
    """Return the hypotheses of each recording, in the order of its shifts.

    Args:
        model: the recogniser.
        audio: paths.
        durations: seconds, one a path; they decide what is decoded together and nothing else.
        shifts: of each recording, the samples of silence before it under which it is decoded; 0 is
            the recording as it is.
        budget: of a batch; when memory runs out, it is halved for what is left.
        report: is called with an event's name and its values.

    Raises:
        RuntimeError: not even one recording fits into memory, or decoding failed.
        soundfile.SoundFileError: a recording cannot be read.
    """
    wanted = [(place, shift) for place, several in enumerate(shifts) for shift in several]
    if model.whole:
        texts = _transcribe_with_nemo(model, audio, durations, wanted, report)
    else:
        texts = _transcribe_in_parts(model, audio, durations, wanted, budget, report)
    return [[texts[place, shift] for shift in several] for place, several in enumerate(shifts)]


def _transcribe_in_parts(
    model: Any,  # noqa: ANN401
    audio: Sequence[str],
    durations: Sequence[float],
    wanted: Sequence[Variant],
    budget: Any,  # noqa: ANN401
    report: Callable[..., None],
) -> dict[Variant, str]:
    """Decode batch by batch; where memory runs out, by smaller ones."""
    model.model.eval()  # transcribe() leaves parts of it in training mode
    texts: dict[Variant, str] = {}
    while undecoded := [variant for variant in wanted if variant not in texts]:
        try:
            with torch.inference_mode():
                decoding = _DecodingRun(model, audio, durations, texts, len(wanted), report)
                decoding.run(undecoded, budget)
        except RuntimeError as failed:
            if "out of memory" not in str(failed):
                raise
            longest = max(
                length_batching.frames(durations[place] + shift / model.rate)
                for place, shift in undecoded
                if (place, shift) not in texts
            )
            if budget.rows == 1 or budget.frames < longest:
                raise
            budget = budget.halved()
            report("memory", frames=budget.frames, rows=budget.rows)
            model.release()
    return texts


def _transcribe_with_nemo(
    model: Any,  # noqa: ANN401
    audio: Sequence[str],
    durations: Sequence[float],
    wanted: Sequence[Variant],
    report: Callable[..., None],
) -> dict[Variant, str]:
    """Decode by NeMo's own ``transcribe()``, longest first, the variants last.

    It pads samples under a second, but no files; so the variants become files.
    """
    order = sorted(wanted, key=lambda one: (one[1] != PLAIN, -durations[one[0]], one))
    texts: dict[Variant, str] = {}
    for start in range(0, len(order), _ITS_ROWS):
        variants = order[start : start + _ITS_ROWS]
        most = int(_ITS_SECONDS // max(1.0, *(durations[place] for place, _ in variants)))
        with TemporaryDirectory() as folder, torch.inference_mode():
            answer = model.model.transcribe(
                [
                    audio[place]
                    if shift == PLAIN
                    else write_shifted(audio[place], shift, model.rate, Path(folder))
                    for place, shift in variants
                ],
                batch_size=max(1, min(_ITS_BATCH, most)),
                num_workers=0,
                verbose=False,
            )
        # Older releases answer (best, all) for transducers.
        best = answer[0] if isinstance(answer, tuple) else answer
        for variant, hypothesis in zip(variants, best, strict=True):
            # Beam search answers with a list of hypotheses a recording.
            first = hypothesis[0] if isinstance(hypothesis, list) else hypothesis
            texts[variant] = str(getattr(first, "text", first))
        report("progress", done=start + len(variants), of=len(order))
    return texts


class _DecodingRun:
    """One pass over the undecoded recordings and variants."""

    def __init__(
        self,
        model: Any,  # noqa: ANN401
        audio: Sequence[str],
        durations: Sequence[float],
        texts: dict[Variant, str],
        total: int,
        report: Callable[..., None],
    ) -> None:
        self._model = model
        self._audio = audio
        self._durations = durations
        self._texts = texts
        self._total = total
        self._report = report
        self._in_flight: deque[Future[None]] = deque()

    def run(self, undecoded: Sequence[Variant], budget: Any) -> None:  # noqa: ANN401
        """Decode these."""
        shifts: dict[int, list[int]] = {}
        for place, shift in undecoded:
            shifts.setdefault(place, []).append(shift)
        plain = [place for place in shifts if PLAIN in shifts[place]]
        shifted_alone = [place for place in shifts if PLAIN not in shifts[place]]
        plan = (
            [places[place] for place in batch]
            for places in (plain, shifted_alone)
            for batch in length_batching.plan([self._durations[place] for place in places], budget)
        )

        def variants(places: list[int]) -> list[list[Variant]]:
            as_they_are = [(place, PLAIN) for place in places if PLAIN in shifts[place]]
            shifted = [(place, one) for place in places for one in shifts[place] if one != PLAIN]
            batches = [as_they_are] if as_they_are else []
            return batches + self._cut(shifted, budget)

        way = self._run_on_gpu if self._model.on_gpu else self._run_on_cpu
        readers = min(_READERS, cores()) if self._model.on_gpu else 1
        with Reader(self._audio, self._model.rate, readers, pinned=self._model.on_gpu) as reader:
            way(reader.batches(plan, _READ_AHEAD, variants))

    def _cut(self, variants: Sequence[Variant], budget: Any) -> list[list[Variant]]:  # noqa: ANN401
        """Cut variants of recordings, the longest first, into batches."""
        batches: list[list[Variant]] = []
        longest = 0
        for place, shift in variants:
            frames = length_batching.frames(self._durations[place] + shift / self._model.rate)
            longest = max(longest, frames)
            if not batches or not budget.fits(len(batches[-1]) + 1, longest):
                batches.append([])
                longest = frames
            batches[-1].append((place, shift))
        return batches

    def _run_on_cpu(self, batches: Iterable[Any]) -> None:
        """Decode whole batches side by side, each on one core."""
        with _pool(cpu_workers(), "batch") as workers:
            for batch in batches:
                self._in_flight.append(workers.submit(self._decode_batch, batch))
                self._wait(cpu_workers())
            self._wait(0)

    def _decode_batch(self, batch: Any) -> None:  # noqa: ANN401
        with torch.inference_mode():
            encoded = self._model.encode(batch.signal, batch.lengths)
            self._keep(_variants(batch), self._model.spell(self._model.decode([encoded])))

    def _run_on_gpu(self, batches: Iterable[Any]) -> None:
        """Start encoders and decoding here, spell beside them."""
        group: list[tuple[list[Variant], Any]] = []
        with _switching_soon(), _pool(1, "spell") as speller:

            def hand_on() -> None:
                variants = [variant for batch_variants, _ in group for variant in batch_variants]
                labels = self._model.start_decoding([batch for _, batch in group])
                group.clear()
                self._in_flight.append(speller.submit(self._spell, variants, labels))
                self._wait(_GROUPS_IN_FLIGHT)

            for batch in batches:
                rows = sum(len(batch_variants) for batch_variants, _ in group)
                if group and rows + len(batch.places) > self._model.together:
                    hand_on()
                group.append((_variants(batch), self._model.encode(batch.signal, batch.lengths)))
            if group:
                hand_on()
            self._wait(0)

    def _spell(self, variants: list[Variant], labels: Any) -> None:  # noqa: ANN401 - PendingLabels
        self._keep(variants, self._model.spell(labels.wait()))

    def _keep(self, variants: list[Variant], texts: list[str]) -> None:
        for variant, text in zip(variants, texts, strict=True):
            self._texts[variant] = text or ""

    def _wait(self, limit: int) -> None:
        """Wait until no more than so many are in flight; raise what one of them raised."""
        while len(self._in_flight) > limit:
            self._in_flight.popleft().result()
            self._report("progress", done=len(self._texts), of=self._total)


def _variants(batch: Any) -> list[Variant]:  # noqa: ANN401 - an AudioBatch
    return list(zip(batch.places, batch.shifts, strict=True))


@contextmanager
def _pool(workers: int, name: str) -> Iterator[ThreadPoolExecutor]:
    """Open a pool of threads that do nothing more once something has failed."""
    pool = ThreadPoolExecutor(workers, name)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _switching_soon() -> Iterator[None]:
    """Let no thread wait long for the interpreter while another one spells.

    Every start of a kernel needs it for a moment, and an encoder is hundreds of them.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


def cpu_workers() -> int:
    """Return how many batches are decoded side by side on a CPU.

    Two batches on a core each take less time than one after the other on two cores, since most of
    a small model's operations are too short to be shared. The interpreter's lock, which every
    operation needs for a moment, sets the bound.
    """
    return min(cores(), _CPU_WORKERS)
