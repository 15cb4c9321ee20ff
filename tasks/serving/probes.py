"""Probes: recordings sent again, changed on purpose, to find out what serving does to them.

A probe of one kind *restores*: if the service reads 16 kHz samples as if they were 24 kHz, then
samples that were made at 24 kHz come out as the offline model hears the original. The other kind
goes *unnoticed*: if the service throws away everything above 4 kHz, then noise that we add well
above that makes nothing worse, whatever filter it throws it away with. Worse, not other: where a
band is empty, the last bit of its samples decides between two words, and no text comes back as it
was. A control must be noticed: a service whose answers are wrong anyway gets no worse by anything.
What a probe can make worse are the words that the service still has right, so what it adds counts
by these where they are fewer than the words that differ. All are experiments on the service alone;
no model is needed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from rapidfuzz.distance import Levenshtein

from tasks.data.text_normalizer import normalise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from tasks.serving.parity import ParityRow

    Samples = npt.NDArray[np.int16]
    Change = Callable[[Samples, int], Samples]

_OTHER_RATES = (8000, 22050, 24000, 32000, 44100, 48000)
_NARROW_RATES = (8000, 11025)
# Over half of such a rate: where any filter for it has nothing left.
_BEYOND = 1.15
_NOISE = 4.0
"""As a multiple of the recording's level."""
_CONTROL_RATE = 2000
_QUIETER = 0.25


class ProbeCause(StrEnum):
    """The cause that a probe which holds speaks for."""

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
        restores: whether it is to bring the offline text back; otherwise it is to make nothing
            worse.
        change: makes other samples of a recording; the declared rate stays.
        says: the sentence that holds if it does.
    """

    name: str
    finds: ProbeCause
    restores: bool
    change: Change
    says: str

    @property
    def against(self) -> str:
        """Whose text its answers are compared with: offline, or served where nothing changed."""
        return "served" if self.finds is ProbeCause.STEADY else "offline"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """A probe's result over the rows that it was tried on.

    Attributes:
        probe: which.
        edits: words to change from what was heard now to the offline text; where the same was sent
            again, to what was served before.
        difference: words to change between what was served and the offline text, on these rows.
        heard: words of the offline text that were served right on these rows, beyond those that
            another row's text has in common with it.
        words: of the offline text of these rows.
        tried: rows.
    """

    probe: Probe
    edits: int
    difference: int
    heard: int
    words: int
    tried: int

    @property
    def left(self) -> float:
        """The share of the difference between served and offline that is left; 0 is perfect."""
        return self.edits / max(self.difference, 1)

    @property
    def worse(self) -> float:
        """The words that the probe made wrong; 0 is unnoticed.

        As a share of those that differed without it, or of those that could become wrong if these
        are fewer: a service that has a third of the words right cannot add half of the others.
        """
        return max(self.edits - self.difference, 0) / max(min(self.difference, self.heard), 1)

    @property
    def heard_share(self) -> float:
        """Words that were heard, as a share of all."""
        return self.heard / max(self.words, 1)

    def as_dict(self) -> dict[str, object]:
        """Return the outcome as the report holds it."""
        return {
            "probe": self.probe.name,
            "finds": self.probe.finds.value,
            "wanted": f"{self.probe.against} text",
            "word_edits": self.edits,
            "served_to_offline_word_edits": self.difference,
            "words_heard": self.heard,
            "words": self.words,
            "rows": self.tried,
        }


def resample(samples: Samples, rate: int, to: int) -> Samples:
    """Resample a recording, with the same duration."""
    from scipy.signal import resample_poly  # noqa: PLC0415 - half a second that few runs pay

    step = int(np.gcd(rate, to))
    out = resample_poly(samples.astype(np.float64), to // step, rate // step)
    clipped: Samples = np.clip(np.rint(out), -32768, 32767).astype(np.int16)
    return clipped


def _resample_to(samples: Samples, rate: int, *, to: int) -> Samples:
    return resample(samples, rate, to)


def _narrow_band(samples: Samples, rate: int, *, to: int) -> Samples:
    return resample(resample(samples, rate, to), to, rate)[: len(samples)]


def _add_noise_above(samples: Samples, rate: int, *, low: float) -> Samples:
    """Add loud noise between ``low`` Hz and the end of the band."""
    shape = np.fft.rfft(np.random.default_rng(0).standard_normal(len(samples)))
    hertz = np.fft.rfftfreq(len(samples), 1 / rate)
    noise = np.fft.irfft(
        np.where((hertz >= low) & (hertz < 0.98 * rate / 2), shape, 0), len(samples)
    )
    wave = samples.astype(np.float64)
    mixed = wave + noise * _NOISE * wave.std() / max(noise.std(), 1e-9)
    # Clipping would spread the noise over the whole band.
    mixed *= min(1.0, 32767 / max(np.abs(mixed).max(), 1.0))
    out: Samples = np.rint(mixed).astype(np.int16)
    return out


def _interpolate_half(samples: Samples, rate: int) -> Samples:  # noqa: ARG001 - one form for all
    """Keep every second sample and interpolate the others from their neighbours."""
    out: Samples = samples.copy()
    inner = samples[0:-2:2].astype(np.int32) + samples[2::2]
    out[1 : 2 * len(inner) : 2] = inner // 2
    return out


def _attenuate(samples: Samples, rate: int) -> Samples:  # noqa: ARG001 - one form for all
    out: Samples = np.rint(samples * _QUIETER).astype(np.int16)
    return out


def _same(samples: Samples, rate: int) -> Samples:  # noqa: ARG001 - one form for all
    return samples


def probes(rate: int) -> tuple[Probe, ...]:
    """Return all probes for recordings of a rate, in Hz."""
    return (
        Probe(
            "again", ProbeCause.STEADY, restores=False, change=_same, says="it answers alike twice"
        ),
        *(
            Probe(
                f"samples at {other_rate} Hz",
                ProbeCause.SAMPLE_RATE,
                restores=True,
                change=partial(_resample_to, to=other_rate),
                says=f"the service reads samples as {other_rate} Hz, whatever the request declares",
            )
            for other_rate in _OTHER_RATES
            if other_rate != rate
        ),
        *(
            Probe(
                f"noise above {_BEYOND * narrow / 2:.0f} Hz",
                ProbeCause.SAMPLE_RATE,
                restores=False,
                change=partial(_add_noise_above, low=_BEYOND * narrow / 2),
                says=f"the service resamples to {narrow} Hz or less: what lies above makes "
                "nothing worse",
            )
            for narrow in _NARROW_RATES
            if _BEYOND * narrow < rate
        ),
        Probe(
            "every second sample made up",
            ProbeCause.SAMPLE_RATE,
            restores=False,
            change=_interpolate_half,
            says=f"the service resamples to {rate // 2} Hz by leaving out every second sample, "
            "without a filter",
        ),
        Probe(
            f"nothing above {_CONTROL_RATE // 2} Hz",
            ProbeCause.CONTROL,
            restores=False,
            change=partial(_narrow_band, to=_CONTROL_RATE),
            says="it notices what is missing",
        ),
        Probe(
            f"at {_QUIETER:g} of the level",
            ProbeCause.CONVERSION,
            restores=True,
            change=_attenuate,
            says="the service raises the level until the audio clips",
        ),
    )  # fmt: skip


def run(
    rows: Sequence[ParityRow],
    audio: Callable[[ParityRow], tuple[Samples, int]],
    ask: Callable[[Samples, int, str], str],
) -> tuple[ProbeResult, ...]:
    """Send rows again with every change, and count the words that each leaves different.

    Args:
        rows: whose words differ.
        audio: a row's samples and rate in Hz.
        ask: recognises samples declared at a rate; is told what to call them.
    """
    if not rows:
        return ()
    loaded = [audio(row) for row in rows]
    difference, words = sum(row.edits for row in rows), sum(row.words for row in rows)
    heard = words_heard(rows)
    outcomes = []
    for probe in probes(loaded[0][1]):
        edits = 0
        for row, (samples, rate) in zip(rows, loaded, strict=True):
            label = f"{row.audio} ({probe.name})"
            text = ask(probe.change(samples, rate), rate, label)
            expected = row.served if probe.finds is ProbeCause.STEADY else row.offline.hyp
            edits += _word_distance(text, expected)
        outcomes.append(ProbeResult(probe, edits, difference, heard, words, len(rows)))
    return tuple(outcomes)


def words_heard(rows: Sequence[ParityRow]) -> int:
    """Count the words that were served right because they were heard.

    Of each row, as many are left out as the served text of another row has right by chance. That is
    the median of the other rows: several may say the same.
    """
    heard = 0.0
    for row in rows:
        by_chance = [_words_right(row, other.served) for other in rows if other is not row]
        heard += max(_words_right(row, row.served) - (median(by_chance) if by_chance else 0), 0)
    return round(heard)


def _words_right(row: ParityRow, text: str) -> int:
    return max(row.words - _word_distance(text, row.offline.hyp), 0)


def _word_distance(old: str, new: str) -> int:
    return Levenshtein.distance(normalise(old).split(), normalise(new).split())
