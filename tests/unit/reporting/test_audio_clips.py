"""Recordings within the report: small, and as many as the page holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.common import privacy_settings
from tasks.reporting.html import audio_clips
from tests.support import factories

if TYPE_CHECKING:
    from pathlib import Path


def test_recordings_are_small_and_what_is_left_out_is_said(tmp_path: Path) -> None:
    """Too long, unreadable, absent, or beyond the page's limit."""
    short = factories.write_wav(tmp_path / "short.wav", 2.0)
    long = factories.write_wav(tmp_path / "long.wav", 31.0)
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    every = [short, long, broken, tmp_path / "none.wav"]
    with privacy_settings.applied(audio=True):
        found = audio_clips.clips(every, audio_clips.MOST_BYTES)
        many = audio_clips.clips([short] * 10, 50_000)
    assert found[0].uri.startswith("data:audio/mpeg;base64,")
    assert len(found[0].uri) < short.stat().st_size / 2
    assert [clip.uri for clip in found[1:]] == [""] * 3
    assert "31 s long" in found[1].why
    assert 0 < sum(len(clip.uri) for clip in many) <= 50_000
    assert "limit" in many[-1].why
