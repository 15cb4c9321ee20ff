"""Texts stay out of logs and artifacts, and sound out of pages, where a site says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tasks.common import privacy_settings
from tasks.common.errors import InputError
from tasks.data import findings
from tasks.reporting.html.audio_clips import clips
from tasks.training import progress
from tests.support import factories

if TYPE_CHECKING:
    from pathlib import Path

SAID = "mister heffalump has a rash"


@pytest.mark.parametrize(
    ("value", "hidden"), [("1", True), ("true", True), ("0", False), ("", False)]
)
def test_a_site_sets_it_once(monkeypatch: pytest.MonkeyPatch, value: str, *, hidden: bool) -> None:
    """By variables of the worker; a run may only hide more."""
    monkeypatch.setenv(privacy_settings.NO_TEXTS_VARIABLE, value)
    monkeypatch.setenv(privacy_settings.NO_AUDIO_VARIABLE, value)
    assert privacy_settings.hides_texts() is hidden
    with privacy_settings.applied(audio=True):
        assert privacy_settings.hides_audio() is hidden
        with privacy_settings.applied(no_texts=True, no_audio=True, audio=True):
            assert privacy_settings.hides_texts()
            assert privacy_settings.hides_audio()
        assert privacy_settings.hides_audio() is hidden
    assert privacy_settings.hides_audio()
    assert privacy_settings.hides_texts() is hidden


def test_findings_name_row_and_code_in_the_place_of_a_text(tmp_path: Path) -> None:
    """The record keeps the whole finding: it is a file of the cycle, and no log."""
    found = findings.error("text-unspellable", 3, SAID, f"no letters for {SAID}", "mend it")
    with (
        privacy_settings.applied(no_texts=True),
        pytest.raises(InputError, match="row 3: text-unspellable") as raised,
    ):
        findings.raise_errors(tmp_path / "manifest.jsonl", [found])
    assert SAID not in str(raised.value)
    assert SAID in str(found)
    assert found.as_dict()["value"] == SAID


def test_what_a_sentence_quotes_is_hidden() -> None:
    """Counts and names of causes stay."""
    sentence = f"12 rows say the same in another spelling, such as {SAID!r} and 'it\\'s'"
    assert privacy_settings.for_log(sentence) == sentence
    with privacy_settings.applied(no_texts=True):
        assert privacy_settings.for_log(sentence) == (
            "12 rows say the same in another spelling, such as [hidden] and [hidden]"
        )


def test_a_training_log_loses_what_was_said(tmp_path: Path) -> None:
    """NeMo logs a reference and a hypothesis of some batches."""
    log = tmp_path / "training.log"
    lines = ["epoch 1", f"[NeMo I] reference:{SAID}", f"[NeMo I] predicted:{SAID}", "epoch 2"]
    log.write_text("\n".join(lines))
    progress.hide_texts(log)
    assert SAID in log.read_text()
    with privacy_settings.applied(no_texts=True):
        progress.hide_texts(log)
    assert log.read_text() == "epoch 1\nepoch 2"


def test_pages_have_no_sound(tmp_path: Path) -> None:
    """Unless it is asked for; each row says why."""
    path = factories.write_wav(tmp_path / "a.wav")
    (clip,) = clips([path], 1_000_000)
    assert not clip.uri
    assert "--audio" in clip.why
    with privacy_settings.applied(audio=True):
        assert clips([path], 1_000_000)[0].uri
        with privacy_settings.applied(no_audio=True):
            (clip,) = clips([path], 1_000_000)
    assert not clip.uri
    assert "without sound" in clip.why
