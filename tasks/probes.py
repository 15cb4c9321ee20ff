"""Probes: recordings sent again, changed on purpose, to find out what serving does to them.

A probe of one kind *restores*: if the service reads 16 kHz samples as if they were 24 kHz, then
samples that were made at 24 kHz come out as the offline model hears the original. The other kind
goes *unnoticed*: if the service throws away everything above 4 kHz, then little changes when we do
so before sending. A control must be noticed: a service that answers anything with the same text
notices nothing. All are experiments on the service alone; no model is needed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from rapidfuzz.distance import Levenshtein

from tasks.normalise import normalise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from tasks.parity import Row

    Samples = npt.NDArray[np.int16]
    Change = Callable[[Samples, int], Samples]

_OTHER_RATES = (8000, 22050, 24000, 32000, 44100, 48000)
_NARROW_RATES = (8000, 11025)
_CONTROL_RATE = 2000
_QUIETER = 0.25


class Finds(StrEnum):
    """What a probe that holds speaks for."""

    SAMPLE_RATE = "sample rate"
    CONVERSION = "audio conversion"
    STEADY = "the same answer twice"
    CONTROL = "control: must be noticed"


@dataclass(frozen=True, slots=True)
class Probe:
    """One change of the audio.

    Attributes:
        name: in reports.
        finds: what it speaks for.
        restores: whether it is to bring the offline text back; otherwise it is to go unnoticed.
        change: makes other samples of a recording; the declared rate stays.
        says: the sentence that holds if it does.
    """

    name: str
    finds: Finds
    restores: bool
    change: Change
    says: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A probe's result over the rows that it was tried on.

    Attributes:
        probe: which.
        edits: words to change from what was heard now to what it is to be: the offline text, or,
            for a probe that is to go unnoticed, what was served before.
        difference: words to change between what was served and the offline text, on these rows.
        tried: rows.
    """

    probe: Probe
    edits: int
    difference: int
    tried: int

    @property
    def left(self) -> float:
        """The share of the difference between served and offline that is left; 0 is perfect."""
        return self.edits / max(self.difference, 1)

    def as_dict(self) -> dict[str, object]:
        """The outcome as the report holds it."""
        return {
            "probe": self.probe.name,
            "finds": self.probe.finds.value,
            "wanted": "offline text" if self.probe.restores else "served text",
            "word_edits": self.edits,
            "served_to_offline_word_edits": self.difference,
            "rows": self.tried,
        }


def resample(samples: Samples, rate: int, to: int) -> Samples:
    """The recording at another rate, with the same duration."""
    from scipy.signal import resample_poly  # noqa: PLC0415 - half a second that few runs pay

    step = int(np.gcd(rate, to))
    out = resample_poly(samples.astype(np.float64), to // step, rate // step)
    clipped: Samples = np.clip(np.rint(out), -32768, 32767).astype(np.int16)
    return clipped


def _at_rate(samples: Samples, rate: int, *, to: int) -> Samples:
    return resample(samples, rate, to)


def _narrowed(samples: Samples, rate: int, *, to: int) -> Samples:
    return resample(resample(samples, rate, to), to, rate)[: len(samples)]


def _quieter(samples: Samples, rate: int) -> Samples:  # noqa: ARG001 - one form for all
    out: Samples = np.rint(samples * _QUIETER).astype(np.int16)
    return out


def _same(samples: Samples, rate: int) -> Samples:  # noqa: ARG001 - one form for all
    return samples


def probes(rate: int) -> tuple[Probe, ...]:
    """All probes for recordings of a rate, in Hz."""
    return (
        Probe("again", Finds.STEADY, restores=False, change=_same, says="it answers alike twice"),
        *(
            Probe(
                f"samples at {other} Hz",
                Finds.SAMPLE_RATE,
                restores=True,
                change=partial(_at_rate, to=other),
                says=f"the service reads samples as {other} Hz, whatever the request declares",
            )
            for other in _OTHER_RATES
            if other != rate
        ),
        *(
            Probe(
                f"nothing above {narrow // 2} Hz",
                Finds.SAMPLE_RATE,
                restores=False,
                change=partial(_narrowed, to=narrow),
                says=f"the service resamples to {narrow} Hz: what lies above {narrow // 2} Hz "
                "makes no difference to it",
            )
            for narrow in _NARROW_RATES
            if narrow < rate
        ),
        Probe(
            f"nothing above {_CONTROL_RATE // 2} Hz",
            Finds.CONTROL,
            restores=False,
            change=partial(_narrowed, to=_CONTROL_RATE),
            says="it notices what is missing",
        ),
        Probe(
            f"at {_QUIETER:g} of the level",
            Finds.CONVERSION,
            restores=True,
            change=_quieter,
            says="the service raises the level until the audio clips",
        ),
    )  # fmt: skip


def run(
    rows: Sequence[Row],
    audio: Callable[[Row], tuple[Samples, int]],
    ask: Callable[[Samples, int, str], str],
) -> tuple[Outcome, ...]:
    """Send rows again with every change, and count the words that each leaves different.

    Args:
        rows: whose words differ.
        audio: a row's samples and rate in Hz.
        ask: recognises samples declared at a rate; is told what to call them.
    """
    if not rows:
        return ()
    loaded = [audio(row) for row in rows]
    outcomes = []
    for probe in probes(loaded[0][1]):
        edits = 0
        for row, (samples, rate) in zip(rows, loaded, strict=True):
            what = f"{row.audio} ({probe.name})"
            heard = ask(probe.change(samples, rate), rate, what)
            edits += _words_between(heard, row.offline.hyp if probe.restores else row.served)
        outcomes.append(Outcome(probe, edits, sum(row.edits for row in rows), len(rows)))
    return tuple(outcomes)


def _words_between(one: str, other: str) -> int:
    return Levenshtein.distance(normalise(one).split(), normalise(other).split())
