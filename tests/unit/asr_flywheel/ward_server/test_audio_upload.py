"""Uploaded recordings: decoded as the offline evaluation does, or refused with the reason."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st

from asr_flywheel.ward_server.api_errors import ApiError
from asr_flywheel.ward_server.audio_upload import decode_upload

RATE = 16000
NOISE = (np.random.default_rng(7).normal(size=RATE) * 0.1).astype(np.float32)
LONGEST_S = 5.0


def encoded(samples: Any = NOISE, rate: int = RATE, **form: str) -> bytes:
    """A recording as a file's bytes."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **{"format": "WAV", **form})
    return file.getvalue()


def changed(content: bytes, place: int, form: str, value: int) -> bytes:
    """A file with another number in its header."""
    number = struct.pack(form, value)
    return content[:place] + number + content[place + len(number) :]


def flac_of_length(frames: int) -> bytes:
    """A FLAC of a second whose header states another length."""
    content = encoded(format="FLAC")
    stated = int.from_bytes(content[18:26], "big") >> 36 << 36 | frames
    return content[:18] + stated.to_bytes(8, "big") + content[26:]


def refusal(content: bytes) -> ApiError:
    """Why a file is refused."""
    with pytest.raises(ApiError) as caught:
        decode_upload(content, RATE, LONGEST_S)
    assert caught.value.status == 400
    assert caught.value.parameter == "file"
    assert str(caught.value).startswith("file: ")
    return caught.value


@pytest.mark.parametrize("form", ["WAV", "WAVEX", "RF64", "FLAC"])
def test_samples_are_those_of_the_file(form: str) -> None:
    """16 bits come as the numbers that libsndfile reads for the offline evaluation."""
    content = encoded(format=form, subtype="PCM_16")
    offline, _ = soundfile.read(io.BytesIO(content), dtype="float32")
    decoded = decode_upload(content, RATE, LONGEST_S)
    np.testing.assert_array_equal(decoded.samples, offline)
    assert (decoded.seconds, decoded.warning) == (1.0, "")


@pytest.mark.parametrize("subtype", ["PCM_24", "PCM_S8"])
def test_a_flac_of_any_depth_is_read(subtype: str) -> None:
    """Its MD5 is counted over as many bytes as a sample has."""
    content = encoded(np.stack([NOISE, -0.5 * NOISE], 1), format="FLAC", subtype=subtype)
    offline, _ = soundfile.read(io.BytesIO(content), dtype="float32")
    decoded = decode_upload(content, RATE, LONGEST_S)
    np.testing.assert_array_equal(decoded.samples, offline.mean(axis=1, dtype=np.float32))


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_a_cut_ogg_is_told(subtype: str) -> None:
    """It may be a stream that nobody ended, so it is transcribed; the whole file has no warning."""
    content = encoded(np.tile(NOISE, 3), format="OGG", subtype=subtype)
    assert not decode_upload(content, RATE, LONGEST_S).warning
    assert "cut short" in decode_upload(content[: len(content) * 2 // 3], RATE, LONGEST_S).warning


def test_other_rates_are_resampled_and_channels_averaged() -> None:
    """By the library and the mean that the offline evaluation takes."""
    stereo = np.stack([NOISE, 0.5 * NOISE], 1)
    decoded = decode_upload(encoded(stereo, 44100, subtype="FLOAT"), RATE, LONGEST_S)
    expected = soxr.resample(stereo.mean(axis=1, dtype=np.float32), 44100, RATE)
    np.testing.assert_array_equal(decoded.samples, expected)


CUT_WAV = encoded()[:20000]
REFUSED = {
    "nothing": (b"", "empty_file", "empty"),
    "text": (b"a patient", "invalid_file_format", "Send WAV, FLAC, or OGG"),
    "MP3": (encoded(format="MP3"), "invalid_file_format", "Send WAV, FLAC, or OGG"),
    "a header alone": (b"RIFF\x04\0\0\0WAVE", "broken_audio", "No 'data' chunk"),
    "no samples": (encoded(NOISE[:0]), "audio_too_short", "0.000 s"),
    "too short": (encoded(NOISE[:100]), "audio_too_short", "0.006 s"),
    "too long": (encoded(np.zeros(6 * RATE)), "audio_too_long", "longer than 5 s"),
    "a WAV cut short": (CUT_WAV, "broken_audio", "promises 1.00 s and 0.62 s are there"),
    "a WAV that states twice its length": (
        changed(encoded(), 40, "<I", 64000),
        "broken_audio",
        "promises 2.00 s and 1.00 s are there",
    ),
    "a WAV that states a part": (changed(encoded(), 40, "<I", 64), "broken_audio", "of a part"),
    "a WAV that states no samples": (changed(encoded(), 40, "<I", 0), "broken_audio", "is 0"),
    "a FLAC cut short": (encoded(format="FLAC")[:9000], "broken_audio", "decoded to its end"),
    "a FLAC that states a part": (flac_of_length(8000), "broken_audio", "MD5"),
    "a FLAC that states too much": (flac_of_length(64000), "broken_audio", "decoded to its end"),
    "a FLAC that states years": (flac_of_length((1 << 36) - 1), "audio_too_long", "5 s"),
    "a FLAC of a pipe": (flac_of_length(0), "broken_audio", "does not state the length"),
    "no channel": (changed(encoded(), 22, "<H", 0), "broken_audio", "hannel"),
    "nine channels": (encoded(np.zeros((RATE, 9))), "invalid_audio", "9 channels"),
    "a rate of 1 Hz": (changed(encoded(), 24, "<I", 1), "invalid_audio", "1 Hz"),
    "a rate of 2 GHz": (changed(encoded(), 24, "<I", 2**31 - 1), "invalid_audio", "Hz"),
    "no number": (
        encoded(np.where(NOISE > 0.2, np.nan, NOISE), subtype="FLOAT"),
        "invalid_audio",
        "no numbers",
    ),
    "infinity": (
        encoded(np.where(NOISE > 0.2, -np.inf, NOISE), subtype="DOUBLE"),
        "invalid_audio",
        "no numbers",
    ),
    "integers as floats": (encoded(NOISE * 32768, subtype="FLOAT"), "invalid_audio", "full scale"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_transcribed_is_refused(case: str) -> None:
    """With a code for programs, and the reason for people."""
    content, code, words = REFUSED[case]
    found = refusal(content)
    assert found.code == code
    assert words in str(found)
    assert "object at" not in str(found)


def test_a_header_of_a_stream_is_no_lie() -> None:
    """A program that writes into a pipe cannot know better: ffmpeg states 4 GiB."""
    assert decode_upload(changed(encoded(), 40, "<I", 2**32 - 1), RATE, LONGEST_S).seconds == 1


def test_a_small_file_of_hours_is_refused_by_its_first_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No more is decoded than is allowed, whatever the header promises."""
    content = encoded(np.zeros(100 * RATE, np.int16), format="FLAC")
    assert len(content) < 20000
    decoded = []
    read = soundfile.SoundFile.read

    def watch(self: Any, *given: Any, **named: Any) -> Any:
        block = read(self, *given, **named)
        decoded.append(len(block))
        return block

    monkeypatch.setattr(soundfile.SoundFile, "read", watch)
    lying = content[:18] + flac_of_length(RATE)[18:26] + content[26:]
    assert refusal(lying).code in {"audio_too_long", "broken_audio"}
    assert sum(decoded) < (LONGEST_S + 5) * RATE


@given(st.data())
def test_damage_is_refused_or_decoded_but_nothing_else(data: st.DataObject) -> None:
    """Bytes changed anywhere raise an ApiError, or give finite samples of the allowed length."""
    form = data.draw(st.sampled_from(["WAV", "FLAC", "OGG"]))
    content = bytearray(_WHOLE[form])
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, min(len(content) - 1, 400)))
        content[place] = data.draw(st.integers(0, 255))
    try:
        decoded = decode_upload(bytes(content), RATE, LONGEST_S)
    except ApiError:
        return
    assert np.isfinite(decoded.samples).all()
    assert decoded.seconds <= LONGEST_S


_WHOLE = {form: encoded(NOISE[:4000], format=form) for form in ("WAV", "FLAC", "OGG")}
