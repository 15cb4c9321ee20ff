"""Decoding a set of recordings: reading, encoding, decoding and spelling at the same time.

On a GPU the encoder of one group of batches runs while the transducer's loop of the group before,
which leaves most of the card idle, runs on a stream of its own, the group before that is spelt by
a thread, and the next audio is read by others. On a CPU there is nothing to overlap but reading.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import greedy_decoder  # type: ignore[import-not-found]  # lies beside this file
import length_batching  # type: ignore[import-not-found]  # likewise
import torch
from audio_reader import Reader  # type: ignore[import-not-found]  # likewise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_READ_AHEAD = 3
_GROUPS_IN_FLIGHT = 2
_READERS = 8
_CPU_WORKERS = 8
# For models that decode by themselves.
_ITS_BATCH = 16
_ITS_ROWS = 128
# Of recordings that are much longer, fewer at a time: memory grows with the square of their length.
_ITS_SECONDS = 480.0


def prepare(
    model: Any,  # noqa: ANN401
    longest: float,
    frames: int | None = None,
    together: int | None = None,
) -> Any:  # noqa: ANN401
    """Warm a recogniser up and find how much its batches may hold.

    Args:
        model: the recogniser.
        longest: seconds of the longest recording.
        frames: padded frames of a batch, instead of the measured default.
        together: how many recordings there are at most, where memory for the usual number of them
            would be too much.

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
        model.warm_up(longest_frames, together)
    return budget


def transcribe(
    model: Any,  # noqa: ANN401 - a GreedyRecognizer; mypy does not see files that lie beside a program
    audio: Sequence[str],
    durations: Sequence[float],
    budget: Any,  # noqa: ANN401 - a Budget
    report: Callable[..., None] = lambda *_, **__: None,
) -> list[str]:
    """Return hypotheses in the order of the audio.

    Args:
        model: the recogniser.
        audio: paths.
        durations: seconds, one a path; they decide what is decoded together and nothing else.
        budget: of a batch; when memory runs out, it is halved for what is left.
        report: is called with an event's name and its values.

    Raises:
        RuntimeError: not even one recording fits into memory, or decoding failed.
        soundfile.SoundFileError: a recording cannot be read.
    """
    if model.whole:
        return _transcribe_with_nemo(model, audio, durations, report)
    model.model.eval()  # transcribe() leaves parts of it in training mode
    texts: list[str | None] = [None] * len(audio)
    while undecoded := [place for place, text in enumerate(texts) if text is None]:
        try:
            with torch.inference_mode():
                _DecodingRun(model, audio, durations, texts, report).run(undecoded, budget)
        except RuntimeError as failed:
            if "out of memory" not in str(failed):
                raise
            longest = max(
                length_batching.frames(durations[p]) for p in undecoded if texts[p] is None
            )
            if budget.rows == 1 or budget.frames < longest:
                raise
            budget = budget.halved()
            report("memory", frames=budget.frames, rows=budget.rows)
            model.release()
    return [text or "" for text in texts]


def _transcribe_with_nemo(
    model: Any,  # noqa: ANN401
    audio: Sequence[str],
    durations: Sequence[float],
    report: Callable[..., None],
) -> list[str]:
    """Decode by NeMo's own ``transcribe()``, longest first."""
    order = sorted(range(len(audio)), key=lambda place: (-durations[place], place))
    texts = [""] * len(audio)
    for start in range(0, len(order), _ITS_ROWS):
        places = order[start : start + _ITS_ROWS]
        most = int(_ITS_SECONDS // max(durations[places[0]], 1.0))
        with torch.inference_mode():
            answer = model.model.transcribe(
                [audio[place] for place in places],
                batch_size=max(1, min(_ITS_BATCH, most)),
                num_workers=0,
                verbose=False,
            )
        # Older releases answer (best, all) for transducers.
        best = answer[0] if isinstance(answer, tuple) else answer
        for place, hypothesis in zip(places, best, strict=True):
            # Beam search answers with a list of hypotheses a recording.
            first = hypothesis[0] if isinstance(hypothesis, list) else hypothesis
            texts[place] = str(getattr(first, "text", first))
        report("progress", done=start + len(places), of=len(order))
    return texts


class _DecodingRun:
    """One pass over the undecoded recordings."""

    def __init__(
        self,
        model: Any,  # noqa: ANN401
        audio: Sequence[str],
        durations: Sequence[float],
        texts: list[str | None],
        report: Callable[..., None],
    ) -> None:
        self._model = model
        self._audio = audio
        self._durations = durations
        self._texts = texts
        self._report = report
        self._in_flight: deque[Future[None]] = deque()

    def run(self, places: Sequence[int], budget: Any) -> None:  # noqa: ANN401
        """Decode these places."""
        plan = (
            [places[place] for place in batch]
            for batch in length_batching.plan([self._durations[place] for place in places], budget)
        )
        way = self._run_on_gpu if self._model.on_gpu else self._run_on_cpu
        readers = min(_READERS, cores()) if self._model.on_gpu else 1
        with Reader(self._audio, self._model.rate, readers, pinned=self._model.on_gpu) as reader:
            way(reader.batches(plan, _READ_AHEAD))

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
            self._keep(batch.places, self._model.spell(self._model.decode([encoded])))

    def _run_on_gpu(self, batches: Iterable[Any]) -> None:
        """Encode here, decode on a stream of its own, spell beside both."""
        rows_together = greedy_decoder.GPU_DECODED_TOGETHER if self._model.decodes_together else 1
        side = torch.cuda.Stream(self._model.device)  # type: ignore[no-untyped-call]
        group: list[tuple[list[int], Any]] = []
        with _pool(1, "decode") as decoder, _pool(1, "spell") as speller:

            def hand_on() -> None:
                places = [place for batch_places, _ in group for place in batch_places]
                encoded = [batch for _, batch in group]
                group.clear()
                ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
                ready.record(torch.cuda.current_stream(self._model.device))
                labels = decoder.submit(self._decode, encoded, ready, side)
                self._in_flight.append(speller.submit(self._spell, places, labels))
                self._wait(_GROUPS_IN_FLIGHT)

            for batch in batches:
                if (
                    group
                    and sum(len(group_item[0]) for group_item in group) + len(batch.places)
                    > rows_together
                ):
                    hand_on()
                group.append((batch.places, self._model.encode(batch.signal, batch.lengths)))
            if group:
                hand_on()
            self._wait(0)

    def _decode(self, encoded: list[Any], ready: Any, side: Any) -> Any:  # noqa: ANN401
        with torch.inference_mode(), torch.cuda.stream(side):
            side.wait_event(ready)
            labels = self._model.decode(encoded)
            # What the encoder made goes back to its stream only when this one is done with it.
            side.synchronize()
            return labels

    def _spell(self, places: list[int], labels: Future[Any]) -> None:
        self._keep(places, self._model.spell(labels.result()))

    def _keep(self, places: list[int], texts: list[str]) -> None:
        for place, text in zip(places, texts, strict=True):
            self._texts[place] = text

    def _wait(self, limit: int) -> None:
        """Wait until no more than so many are in flight; raise what one of them raised."""
        while len(self._in_flight) > limit:
            self._in_flight.popleft().result()
            done = sum(text is not None for text in self._texts)
            self._report("progress", done=done, of=len(self._texts))


@contextmanager
def _pool(workers: int, name: str) -> Iterator[ThreadPoolExecutor]:
    """Open a pool of threads that do nothing more once something has failed."""
    pool = ThreadPoolExecutor(workers, name)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


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
