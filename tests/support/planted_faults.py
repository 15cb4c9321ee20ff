"""Faults planted in a server, and the cause that validate-serving is to name for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.serving import endpoint_transcription, validation
from tasks.serving.causes import CauseName
from tasks.serving.riva_client import Client, Endpoint, Retry
from tests.support import riva_server
from tests.support.riva_server import Faults

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tasks.serving.parity_report import ParityReport
    from tasks.serving.validation import ValidationPlan

QUICK = Retry(attempts=60, first_s=0.05, longest_s=0.5)


def validate(plan: ValidationPlan, faults: Faults, folder: Path) -> ParityReport:
    """Everything that the flow does, against a server with a fault."""
    with riva_server.running(folder, faults) as server:
        client = Client(Endpoint(server.address), QUICK)
        served = endpoint_transcription.transcribe(
            plan.rows, client, plan.folder / endpoint_transcription.SERVED_NAME, 4
        )
        report = validation.compare(plan, client, served)
        client.close()
    return report


def causes(report: ParityReport) -> list[CauseName]:
    """The names of the causes."""
    return [cause.name for cause in report.causes]


def check_named(plan: ValidationPlan, faults: Faults, wanted: CauseName, folder: Path) -> None:
    """The cause alone, with evidence and a remedy; words that did not change count alike."""
    report = validate(plan, faults, folder)
    assert causes(report) == [wanted], report.as_markdown()
    assert report.causes[0].evidence
    assert report.verdict == ("same words" if wanted is CauseName.STYLE else "diverges")
    text = report.as_markdown()
    assert f"**{wanted.value}**" in text
    assert "/riva-asr-custom" in text


def narrow(rate: int) -> Callable[[Any], Any]:
    """Through another rate and back, as over a telephone line."""

    def change(wave: Any) -> Any:
        return riva_server.resample(riva_server.resample(wave, 16000, rate), rate, 16000)

    return change


def dropped(wave: Any) -> Any:
    """Every second sample left out, without a filter, and put back by a straight line."""
    kept = wave[::2]
    return np.interp(np.arange(len(wave)) / 2, np.arange(len(kept)), kept).astype(np.int16)


def read_as(rate: int) -> Callable[[Any], Any]:
    """As if the samples had been made at another rate, whatever the request declares."""
    return lambda wave: riva_server.resample(wave, rate, 16000)


def clipped(wave: Any) -> Any:
    """Raised until it clips."""
    return np.clip(wave.astype(np.int32) * 12, -32768, 32767).astype(np.int16)


PLANTED: dict[str, tuple[Faults, CauseName]] = {
    "resampled to 11.025 kHz": (Faults(audio=narrow(11025)), CauseName.SAMPLE_RATE),
    "raised until it clips": (Faults(audio=clipped), CauseName.CONVERSION),
    "casing": (Faults(text=str.upper), CauseName.STYLE),
    "punctuation": (Faults(text=lambda text: f"{text.capitalize()}."), CauseName.STYLE),
    "audio cut": (Faults(cut_s=2.0), CauseName.TRUNCATION),
    "text cut": (Faults(text=lambda text: " ".join(text.split()[:4])), CauseName.TRUNCATION),
    "frames not collapsed": (Faults(raw_frames=True), CauseName.DECODER),
    "nothing comes back": (Faults(text=lambda _: ""), CauseName.DECODER),
    "another model": (Faults(noise=0.25), CauseName.OTHER_MODEL),
}
MORE_RATES: dict[str, tuple[Faults, CauseName]] = {
    "resampled to 8 kHz": (Faults(audio=narrow(8000)), CauseName.SAMPLE_RATE),
    "every second sample dropped": (Faults(audio=dropped), CauseName.SAMPLE_RATE),
    "read as 24 kHz": (Faults(audio=read_as(24000)), CauseName.SAMPLE_RATE),
    "read as 8 kHz": (Faults(audio=read_as(8000)), CauseName.SAMPLE_RATE),
    "read as 44.1 kHz": (Faults(audio=read_as(44100)), CauseName.SAMPLE_RATE),
}
"""A probe of twelve decodes for each: by night."""
