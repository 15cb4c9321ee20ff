"""Decoding with boosted phrases against decoding without, and against NeMo's own road, on a CPU.

The embedded base decodes the demo's recordings. The settings take turns, and the best turn of each
counts. The list is the demo's terms and bundled distractors; with NeMo the texts must be equal.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from asr_flywheel.demo.terms import TERMS
from benchmarks.nemo_boosting import boost_by_nemo
from benchmarks.rows import BenchmarkRow
from benchmarks.transcription import TURNS, synthesise
from tasks.data.distractors import public_names
from tasks.models.catalog import resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.entrypoint_imports import Untyped
    from benchmarks.transcription import Recordings

STRENGTH = 1.0
_SHORT, _LONG = 60, 5000
_NEMO_ROWS = 48
_NEMO_BATCH = 4
_UNIT = "x real time"


def phrases(count: int) -> list[str]:
    """Return so many phrases: the demo's terms, bundled names, and pairs of these."""
    names = [name for _, name in public_names()]
    pairs = (f"{first} {second}" for first, second in itertools.pairwise(names))
    everything = dict.fromkeys((*(term.text for term in TERMS), *names, *pairs))
    return list(everything)[:count]


def rows(turns: int = TURNS) -> Iterator[BenchmarkRow]:
    """Time boosted decoding with a short and a long list.

    Raises:
        AssertionError: a text differs from NeMo's.
    """
    with tempfile.TemporaryDirectory(prefix="asr-flywheel-bench-") as temporary:
        yield from _compare(synthesise(Path(temporary)), turns)


def _compare(recordings: Recordings, turns: int) -> Iterator[BenchmarkRow]:
    from nemo.utils import logging  # noqa: PLC0415 - the other benchmarks need not wait for it

    from benchmarks.entrypoint_imports import (  # noqa: PLC0415
        decoding_pipeline,
        greedy_decoder,
        phrase_boosting,
    )

    logging.setLevel(logging.ERROR)
    model = greedy_decoder.GreedyRecognizer(greedy_decoder.restore(str(resolve("embedded")), "cpu"))
    budget = decoding_pipeline.prepare(model, max(recordings.seconds))
    boosters: dict[int, Untyped] = {0: None}
    building: dict[int, float] = {}
    for count in (_SHORT, _LONG):
        began = time.monotonic()
        boosters[count] = phrase_boosting.Booster(model.model, phrases(count))
        building[count] = time.monotonic() - began
    best = dict.fromkeys(boosters, 0.0)
    texts: dict[int, list[str]] = {}
    for turn in range(turns + 1):
        for count, booster in boosters.items():
            model.boost(booster, STRENGTH)
            began = time.monotonic()
            texts[count] = decoding_pipeline.transcribe(
                model, recordings.paths, recordings.seconds, budget
            )
            if turn:  # the first warms up
                speed = sum(recordings.seconds) / (time.monotonic() - began)
                best[count] = max(best[count], speed)
    for count in (_SHORT, _LONG):
        note = f"{len(recordings.paths)} recordings; list built in {building[count]:.1f} s"
        name = f"boosting: {count} phrases, against none"
        yield BenchmarkRow(name, best[count], best[0], _UNIT, note)
    theirs, their_texts = _time_nemo(recordings, phrases(_SHORT))
    if their_texts != texts[_SHORT][:_NEMO_ROWS]:
        raise AssertionError("texts differ from those of NeMo's own boosting")
    note = f"{_NEMO_ROWS} texts, all equal"
    name = f"boosting: {_SHORT} phrases, against transcribe(), batch {_NEMO_BATCH}"
    yield BenchmarkRow(name, best[_SHORT], theirs, _UNIT, note)


def _time_nemo(recordings: Recordings, wanted: Sequence[str]) -> tuple[float, list[str]]:
    """Return the speed and the texts of NeMo's own boosted decoding."""
    from benchmarks.entrypoint_imports import greedy_decoder  # noqa: PLC0415

    model = greedy_decoder.restore(str(resolve("embedded")), "cpu")
    boost_by_nemo(model, wanted, STRENGTH)
    paths, seconds = recordings.paths[:_NEMO_ROWS], recordings.seconds[:_NEMO_ROWS]

    def decode() -> list[str]:
        answer = model.transcribe(paths, batch_size=_NEMO_BATCH, verbose=False)
        return [hypothesis.text for hypothesis in answer]

    return _speed(decode, sum(seconds)), decode()


def _speed(decode: Callable[[], list[str]], seconds: float) -> float:
    began = time.monotonic()
    decode()
    return seconds / (time.monotonic() - began)
