"""Check one recording's format, level and length."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.data import findings
from tasks.data.audio_probe import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tasks.data.audio_probe import AudioFacts
    from tasks.data.findings import ManifestFinding
    from tasks.data.manifest import Utterance


@dataclass(frozen=True, slots=True)
class AudioLimits:
    """The limits that a row's audio must satisfy.

    Attributes:
        sample_rate: Hz, the base's.
        extra_roots: folders besides the manifest's own under which audio may lie, links followed.
        min_duration: seconds; NeMo silently drops shorter rows from training.
        max_duration: seconds; NeMo silently drops longer rows from training.
    """

    sample_rate: int
    extra_roots: tuple[Path, ...] = ()
    min_duration: float = 0.0
    max_duration: float = math.inf


# A header and a manifest may round differently; more than both of these is another recording.
_DURATION_SLACK_S = 0.1
_DURATION_SLACK_SHARE = 0.02
# A decoder of MP3 overshoots now and then; more is a file scaled to another range than -1 to 1.
_MOST_OVER_RANGE = 0.01


def check(
    utterance: Utterance, fact: AudioFacts | Unreadable, limits: AudioLimits
) -> Iterable[ManifestFinding]:
    """Yield every finding on a row's recording."""
    row, name = utterance.row, utterance.audio_filepath
    if isinstance(fact, Unreadable):
        yield findings.error(
            "audio-unreadable",
            row,
            name,
            f"the audio cannot be decoded: {fact.reason}",
            "replace it by 16-bit PCM WAV or FLAC",
        )
        return
    if not fact.frames:
        yield findings.error(
            "audio-empty", row, name, "the audio has no samples", "record or copy it again"
        )
        return
    convert = f"convert it: sox IN -r {limits.sample_rate} -c 1 -b 16 OUT.wav"
    if fact.sample_rate != limits.sample_rate:
        yield findings.error(
            "audio-rate",
            row,
            f"{fact.sample_rate} Hz",
            f"{name} is not sampled at {limits.sample_rate} Hz",
            convert,
        )
    if fact.channels != 1:
        yield findings.error(
            "audio-channels", row, f"{fact.channels} channels", f"{name} is not mono", convert
        )
    if fact.frames < fact.header_frames:
        yield findings.error(
            "audio-truncated",
            row,
            name,
            f"the header promises {fact.header_frames} samples, the file holds {fact.frames}",
            "copy it again",
        )
    yield from _check_level(utterance, fact)
    yield from _check_length(utterance, fact, limits)


def _check_level(utterance: Utterance, fact: AudioFacts) -> Iterable[ManifestFinding]:
    row, name = utterance.row, utterance.audio_filepath
    if fact.not_finite:
        yield findings.error(
            "audio-not-finite",
            row,
            f"{fact.not_finite} samples",
            f"{name} holds samples that are NaN or infinite: one of them spoils the whole training",
            "record or export it again",
        )
    elif not fact.peak:
        yield findings.error(
            "audio-silent", row, name, "every sample is zero at 16 bits", "record or copy it again"
        )
    if fact.over_range:
        is_error = fact.over_range_share > _MOST_OVER_RANGE
        finding_of = findings.error if is_error else findings.warning
        yield finding_of(
            "audio-over-range",
            row,
            f"{fact.over_range} samples",
            f"{name} has samples beyond full scale (-1 to 1), which are clipped at 16 bits and "
            "so where the model is served, but not in training",
            "export it again with samples from -1 to 1",
        )


def _check_length(
    utterance: Utterance, fact: AudioFacts, limits: AudioLimits
) -> Iterable[ManifestFinding]:
    row, seconds, manifest_duration = utterance.row, fact.duration, utterance.duration
    if manifest_duration is not None:
        gap = abs(manifest_duration - seconds)
        if gap > max(_DURATION_SLACK_S, _DURATION_SLACK_SHARE * seconds):
            yield findings.error(
                "duration-differs",
                row,
                manifest_duration,
                f"duration differs from the audio's {seconds:.3f} s ({utterance.audio_filepath})",
                "check that it is the right file; then correct duration or write null",
            )
    if seconds > limits.max_duration:
        yield findings.error(
            "audio-too-long",
            row,
            f"{seconds:.3f} s",
            f"over max_duration {limits.max_duration:g} s: NeMo would silently drop the row",
            "cut the recording, or raise --max-duration",
        )
    elif seconds < limits.min_duration:
        yield findings.error(
            "audio-too-short",
            row,
            f"{seconds:.3f} s",
            f"under min_duration {limits.min_duration:g} s: NeMo would silently drop the row",
            "remove the row or record it again",
        )
