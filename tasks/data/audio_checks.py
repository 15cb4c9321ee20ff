"""Check one recording's format, level and length."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.common.counted import counted
from tasks.common.parameter_names import name_of
from tasks.data import findings
from tasks.data.audio_probe import AudioFacts, Unreadable
from tasks.data.row_parts import IF_PARTS, OFFSET, part_finding, starts_later
from tasks.data.text_normalizer import normalise

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

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
# The demo's speech lies at -21 dB; noise of one bit at -92 dB.
SILENT_DB = -70.0
# Two speakers at one level lose 3 dB when they are mixed, and one speaker beside silence 6 dB.
_CANCELLED_DB = 10.0
# Speech at a signal-to-noise ratio of 5 dB has 12 dB or more between loud and quiet frames.
STEADY_DB = 3.0
_MOST_CLIPPED = 0.005
# The demo's synthetic voices reach 27 characters a second between first and last sound.
_FASTEST_SPEECH = 35.0
# Of fewer frames than in half a second nothing can be said.
_SHORTEST_JUDGED_S = 0.5


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
            f"write it again: ffmpeg -i IN -ar {limits.sample_rate} OUT.wav"
            if fact.is_whole
            else "replace it by 16-bit PCM WAV or FLAC",
        )
        return
    if fact.unread_frames:
        yield _unread(row, name, fact, limits)
        return
    if not round(fact.duration, 3):
        held = counted(fact.frames, "sample") if fact.frames else "no samples"
        yield findings.error(
            "audio-empty", row, name, f"the audio has {held}", "record or copy it again"
        )
        return
    convert = f"convert it: ffmpeg -i IN {_conversion(fact, limits)} OUT.wav"
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
            "audio-channels",
            row,
            counted(fact.channels, "channel"),
            f"{name} is not mono: {_describe_channels(fact)}",
            convert,
        )
    if fact.frames < fact.header_frames:
        yield findings.error(
            "audio-truncated",
            row,
            name,
            f"the header promises {counted(fact.header_frames, 'sample')}, the file holds "
            f"{fact.frames}",
            "copy it again",
        )
    yield from _check_level(utterance, fact)
    if fact.channels == 1:
        yield from _check_speech(utterance, fact)
    yield from _check_length(utterance, fact, limits)


def _unread(row: int, name: str, fact: AudioFacts, limits: AudioLimits) -> ManifestFinding:
    seconds = fact.unread_frames / fact.sample_rate
    source = "-ignore_length 1 -i IN.wav" if "WAV" in fact.unread_reason else "-i IN.mp3"
    command = f"ffmpeg {source} {_conversion(fact, limits)} OUT.wav"
    return findings.error(
        "audio-unread",
        row,
        counted(fact.frames, "sample"),
        f"about {seconds:.2f} s of {name} after the first {fact.duration:.2f} s are never read, "
        f"neither here nor in training: {fact.unread_reason}",
        f"write it again with a true header: {command}",
    )


def _conversion(fact: AudioFacts, limits: AudioLimits) -> str:
    """Return ffmpeg's options for one channel at the base's rate; it counts channels from 0."""
    rate = f"-ar {limits.sample_rate}"
    if fact.channels == 1:
        return rate
    return f"-af channelmap={fact.level.louder_channel - 1}:mono {rate}"


def _describe_channels(fact: AudioFacts) -> str:
    """Say how the channels differ, so that a person can pick one."""
    level = fact.level
    if level.same_channels:
        return "its channels hold the same samples"
    shown = " and ".join(f"{decibels:.0f} dB" for decibels in level.channel_db)
    if level.lost_by_mixing_db > _CANCELLED_DB:
        return (
            f"its channels ({shown}) cancel out when they are mixed ({level.loud_db:.0f} dB); "
            "take one of them"
        )
    silent = [
        number for number, decibels in enumerate(level.channel_db, start=1) if decibels < SILENT_DB
    ]
    if silent and len(silent) < fact.channels:
        return f"channel {', '.join(map(str, silent))} is silent ({shown})"
    return (
        f"its channels differ ({shown}), as where each has its own speaker; take the one that says "
        "the text, the louder by default"
    )


def _check_level(utterance: Utterance, fact: AudioFacts) -> Iterable[ManifestFinding]:
    row, name = utterance.row, utterance.audio_filepath
    is_other_scale = fact.over_range_share > _MOST_OVER_RANGE
    if fact.not_finite:
        yield findings.error(
            "audio-not-finite",
            row,
            counted(fact.not_finite, "sample"),
            f"{name} holds samples that are NaN or infinite: one of them spoils the whole training",
            "record or export it again",
        )
    elif not fact.peak:
        yield findings.error(
            "audio-silent", row, name, "every sample is zero at 16 bits", "record or copy it again"
        )
    elif max(fact.level.channel_db, default=fact.level.loud_db) < SILENT_DB and not is_other_scale:
        yield findings.error(
            "audio-silent",
            row,
            f"{fact.level.loud_db:.0f} dB",
            f"{name} holds no sound: its loudest parts lie {-fact.level.loud_db:.0f} dB under full "
            "scale, as where a microphone was muted or two channels cancelled out",
            "record it again, or take one channel of the original recording",
        )
    if fact.over_range:
        finding_of = findings.error if is_other_scale else findings.warning
        yield finding_of(
            "audio-over-range",
            row,
            counted(fact.over_range, "sample"),
            f"{name} has samples beyond full scale (-1 to 1), which are clipped at 16 bits and "
            "so where the model is served, but not in training",
            "export it again with samples from -1 to 1",
        )


def _check_speech(utterance: Utterance, fact: AudioFacts) -> Iterable[ManifestFinding]:
    """Warn where the sound is not that of speech, or not that of so much text."""
    row, name, level = utterance.row, utterance.audio_filepath, fact.level
    is_other_scale = fact.over_range_share > _MOST_OVER_RANGE
    if fact.duration < _SHORTEST_JUDGED_S or level.loud_db < SILENT_DB or is_other_scale:
        return
    if level.clipped_share > _MOST_CLIPPED and not fact.over_range:
        yield findings.warning(
            "audio-clipped",
            row,
            f"{level.clipped_share:.1%}",
            f"{name} is clipped: so many of its samples lie on a flat top",
            "lower the input's gain and record it again; a clipped recording cannot be mended",
        )
    if level.range_db < STEADY_DB:
        kind = "a constant tone" if level.tonal else "a steady noise such as hiss"
        yield findings.warning(
            "audio-steady",
            row,
            f"{level.range_db:.1f} dB",
            f"{name} holds {kind}: between its loud and its quiet parts lie {level.range_db:.1f} "
            f"dB, and speech has {STEADY_DB:g} dB or more",
            "listen to it; remove the row or record it again where nobody speaks",
        )
    elif level.speech_seconds:
        characters = len(normalise(utterance.text))
        speed = characters / level.speech_seconds
        if speed > _FASTEST_SPEECH:
            yield findings.warning(
                "audio-stops-early",
                row,
                f"{speed:.0f} characters a second",
                f"{name} sounds for {level.speech_seconds:.2f} s, and its text has {characters} "
                f"characters; speech has at most {_FASTEST_SPEECH:g} characters a second",
                "listen to it; where it stops early, cut the text or record it again, and where it "
                "is another recording, correct audio_filepath",
            )


def is_part(utterance: Utterance, fact: AudioFacts | Unreadable | None) -> bool:
    """Return whether a row names a part of its recording: by its offset, 0 included.

    Args:
        utterance: the row.
        fact: its recording; None or unreadable where its length is not known.
    """
    offset = utterance.extra.get(OFFSET)
    if offset is None or starts_later(offset):
        return offset is not None
    stated = utterance.duration
    if stated is None or not isinstance(fact, AudioFacts):
        return False
    return fact.duration - stated > _duration_slack(fact.duration)


def _duration_slack(seconds: float) -> float:
    return max(_DURATION_SLACK_S, _DURATION_SLACK_SHARE * seconds)


def _check_length(
    utterance: Utterance, fact: AudioFacts, limits: AudioLimits
) -> Iterable[ManifestFinding]:
    row, seconds, manifest_duration = utterance.row, fact.duration, utterance.duration
    if is_part(utterance, fact):
        # Another offset is a finding on the row already; the file's length is not the part's.
        if not starts_later(offset := utterance.extra.get(OFFSET)):
            yield part_finding(row, offset)
        return
    if manifest_duration is not None and abs(manifest_duration - seconds) > _duration_slack(
        seconds
    ):
        is_shorter = manifest_duration < seconds
        yield findings.error(
            "duration-differs",
            row,
            manifest_duration,
            f"duration differs from the audio's {seconds:.3f} s ({utterance.audio_filepath})",
            "check that it is the right file; then correct duration or write null"
            + (f". {IF_PARTS}" if is_shorter else ""),
        )
    if seconds > limits.max_duration:
        yield findings.error(
            "audio-too-long",
            row,
            f"{seconds:.3f} s",
            f"over max_duration {limits.max_duration:g} s: NeMo would silently drop the row",
            f"raise {name_of('max_duration')}, or cut the recording: `asr-flywheel import "
            "MANIFEST cycleN --cut` does it at pauses between words",
        )
    elif seconds < limits.min_duration:
        yield findings.error(
            "audio-too-short",
            row,
            f"{seconds:.3f} s",
            f"under min_duration {limits.min_duration:g} s: NeMo would silently drop the row",
            "remove the row or record it again",
        )
