"""Why a ward server writes other texts than the bundle that it serves.

The same bundle decodes the recording in this process, as the server promises to. Where both write
one text, a difference from NeMo is the bundle's (``repairs.py``). Where not, the recording is sent
again, each time with one more thing taken out of the server's hands.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import soxr

from tasks.common.counted import counted
from tasks.serving.causes import CauseName
from tasks.serving.edge import recognizers
from tasks.serving.edge.http_transcription import transcribe_over_http
from tasks.serving.edge.repairs import NO_REPAIR, RepairResult

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tasks.serving.edge.bundle import EdgeBundle
    from tasks.serving.edge.http_transcription import TranscriptionServer
    from tasks.serving.edge.recognizers import EdgeRecognizer, Samples
    from tasks.serving.parity import ParityRow

NARROW_RATES = (8000, 11025)
"""Hz of telephones and of old recordings: what a server brings sound to when it loses the band."""


@dataclass(frozen=True, slots=True)
class ServerFindings:
    """What was found of rows that a server served.

    Attributes:
        results: of the experiments.
        left: places of the rows in which the server is no suspect.
    """

    results: tuple[RepairResult, ...]
    left: tuple[int, ...]


def repair(
    rows: Sequence[ParityRow],
    recordings: Sequence[Path],
    bundle: EdgeBundle,
    server: TranscriptionServer,
    report: Callable[[str], None] = lambda _: None,
) -> ServerFindings:
    """Find which rows differ because of the server, and why.

    Args:
        rows: whose texts differ from NeMo's.
        recordings: of these rows.
        bundle: that the server serves.
        server: that wrote the texts.
        report: is told of each step.

    Raises:
        InputError: the server refuses a recording that it took before.
        FlywheelError: it does not answer any more.
    """
    results = []
    suspect = list(range(len(rows)))

    def settle(cause: CauseName, says: str, done: Sequence[int]) -> None:
        results.append(
            RepairResult(cause, says, tuple(rows[n] for n in suspect), tuple(rows[n] for n in done))
        )
        report(f"{says}: {len(done)} of {counted(len(suspect), 'row')}")
        suspect[:] = [n for n in suspect if n not in done]

    again = transcribe_over_http(server, recordings, 1)
    changed = [n for n in suspect if again[n] != rows[n].served]
    settle(CauseName.UNSTEADY, "sent again, one at a time, without a change", changed)
    recognizer = recognizers.load(bundle)
    read = [recognizers.read_samples(path) for path in recordings]
    here = {n: recognizer.recognise(*read[n]) for n in suspect}
    left = tuple(n for n in suspect if here[n] == rows[n].served)
    report(f"{len(left)} of {len(suspect)} texts are the bundle's in this process too")
    suspect[:] = [n for n in suspect if n not in left]
    if suspect:
        done = _send_converted(suspect, read, recognizer, server)
        settle(CauseName.CONVERSION, "sent as 16-bit mono PCM", done)
    for narrow in NARROW_RATES:
        if suspect:
            says = (
                f"{NO_REPAIR}: the bundle writes the server's text of sound brought to {narrow} Hz"
            )
            texts = _decode_narrow(suspect, read, recognizer, narrow)
            settle(CauseName.SAMPLE_RATE, says, [n for n in suspect if texts[n] == rows[n].served])
    if suspect:
        says = f"{NO_REPAIR}: here the bundle writes another text of the same samples"
        settle(CauseName.SERVER, says, list(suspect))
    return ServerFindings(tuple(results), left)


def _send_converted(
    places: Sequence[int],
    read: Sequence[tuple[Samples, int]],
    recognizer: EdgeRecognizer,
    server: TranscriptionServer,
) -> list[int]:
    """Send plain files of 16 bits; return where server and process then agree."""
    with tempfile.TemporaryDirectory() as name:
        paths = [Path(name) / f"{place}.wav" for place in places]
        for place, path in zip(places, paths, strict=True):
            samples, rate = read[place]
            soundfile.write(path, np.clip(samples, -1, 1), rate, subtype="PCM_16")
        texts = transcribe_over_http(server, paths, 1)
        # The same rounded samples here: 16 bits alone may move a word.
        here = [recognizer.recognise(*recognizers.read_samples(path)) for path in paths]
    return [n for n, a, b in zip(places, texts, here, strict=True) if a == b]


def _decode_narrow(
    places: Sequence[int],
    read: Sequence[tuple[Samples, int]],
    recognizer: EdgeRecognizer,
    narrow: int,
) -> Mapping[int, str]:
    texts = {}
    for place in places:
        samples, rate = read[place]
        lowered = soxr.resample(samples, rate, narrow)
        samples = np.asarray(soxr.resample(lowered, narrow, rate), dtype=np.float32)
        texts[place] = recognizer.recognise(samples, rate)
    return texts
