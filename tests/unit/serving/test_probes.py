"""Probes of a service: what they change, and which words they could make worse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tasks.evaluation.hypotheses import Hypothesis
from tasks.serving import parity, probes

if TYPE_CHECKING:
    from collections.abc import Sequence


def compared(said: Sequence[str], served: Sequence[str]) -> Sequence[parity.ParityRow]:
    """Rows of two evaluations of the same recordings."""

    def rows(texts: Sequence[str]) -> list[Hypothesis]:
        return [Hypothesis(f"{n}.wav", f"row {n}", text) for n, text in enumerate(texts)]

    return parity.compare(rows(said), rows(served)).rows


def test_words_are_heard_beyond_chance() -> None:
    """What another row's text has right is not heard; two rows that say the same are."""
    said = ["give aspirin once daily", "give heparin every night", "give insulin before meals"]
    served = [*said[:2], "give something or other"]
    assert probes.words_heard(compared(said, served)) == 3 + 3 + 0
    twice = [said[0], *said]
    found = compared(twice, twice)
    assert probes.words_heard(found) == 4 * 3
    assert probes.words_heard(found[:1]) == 4


@pytest.mark.parametrize("probe", probes.probes(16000), ids=lambda probe: probe.name)
def test_a_probe_changes_what_it_says(probe: probes.Probe) -> None:
    """Rate, band or level of a chirp; 16-bit samples in, 16-bit samples out."""
    time = np.arange(16000) / 16000
    chirp = (12000 * np.sin(2 * np.pi * (100 * time + 3900 * time**2))).astype(np.int16)
    made = probe.change(chirp, 16000)
    assert made.dtype == np.int16
    spectrum = np.abs(np.fft.rfft(made))
    high = (spectrum[6000:] ** 2).sum() / (spectrum**2).sum()
    if probe.name == "again":
        assert (made == chirp).all()
    elif probe.name.startswith("samples at"):
        assert len(made) == int(probe.name.split()[2])
    elif probe.name.startswith("nothing above"):
        assert high < 1e-3
        assert len(made) == len(chirp)
    elif probe.name.startswith("noise above"):
        low = int(probe.name.split()[2])
        assert len(made) == len(chirp)
        level = np.abs(np.fft.rfft(made))[100:low] / np.abs(np.fft.rfft(chirp))[100:low]
        assert level.std() < 0.05 * level.mean(), "what lies below is the same, at another level"
        assert np.abs(made).max() <= 32767
        assert (spectrum[low:] ** 2).sum() > 10 * (spectrum[:low] ** 2).sum()
    elif probe.name == "every second sample made up":
        assert (made[::2] == chirp[::2]).all()
        assert not (made[1::2] == chirp[1::2]).all()
        assert (made[1:-1:2] == (chirp[:-2:2].astype(int) + chirp[2::2]) // 2).all()
    else:
        assert np.abs(made).max() == pytest.approx(3000, abs=2)
