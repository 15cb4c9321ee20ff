"""Pages hold voices only where somebody asked for them, and say what they hold."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from asr_flywheel.cli import app
from tasks.common import privacy_settings
from tasks.common.errors import InputError
from tasks.reporting import html
from tests.support import prepared_cycles

if TYPE_CHECKING:
    from pathlib import Path

SOUND = "data:audio/mpeg"
VOICES = "of people's voices"


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Cycle 2 as a finished run left it; the figures beside the page take most of the time."""
    monkeypatch.setattr(html, "write_figures", lambda _: [])
    return prepared_cycles.finish_turn(tmp_path, 1, prepared_cycles.Turn())


def page(finished: Path, *options: str, name: str = "report") -> str:
    """What the command writes."""
    done = CliRunner().invoke(app, ["report", str(finished), *options])
    if isinstance(done.exception, InputError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return (finished / f"{name}_cycle2.html").read_text(encoding="utf-8").replace("&#39;", "'")


def test_a_report_has_no_voice_by_default_and_says_what_it_quotes(finished: Path) -> None:
    """Before anything else on the page; each row says how its recording is had."""
    text = page(finished)
    assert SOUND not in text
    warning = "This page quotes what was said in 12 rows. Give it only to people who may read that."
    assert text.index(warning) < text.index("<h1>")
    assert text.count("it is in a page where that is asked for (--audio)") == 12


def test_a_report_with_voices_warns_at_its_top(finished: Path) -> None:
    """With how many they are."""
    text = page(finished, "--audio")
    count = text.count(SOUND)
    assert count == 12
    warning = f"This page holds {count} recordings {VOICES}, and what was said in 12 rows."
    assert text.index(warning) < text.index("<h1>")


def test_a_report_is_made_again_as_its_run_was_asked(finished: Path) -> None:
    """Such as the demo's, whose voices are synthetic; an option asks for something else."""
    record = json.loads((finished / "run.json").read_text())
    record["config"]["audio"] = True
    (finished / "run.json").write_text(json.dumps(record))
    assert SOUND in page(finished)
    assert SOUND not in page(finished, "--no-audio")


def test_a_site_forbids_voices_whoever_asks(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those of a review page."""
    monkeypatch.setenv(privacy_settings.NO_AUDIO_VARIABLE, "1")
    assert SOUND not in page(finished, "--audio")
    assert SOUND not in page(finished, "--review", name="review")


def test_a_review_page_is_for_listening_and_warns(finished: Path) -> None:
    """The report beside it stays without sound."""
    text = page(finished, "--review", name="review")
    assert SOUND in text
    assert text.index(VOICES) < text.index("<h1>")
    assert SOUND not in (finished / "report_cycle2.html").read_text(encoding="utf-8")
    assert SOUND not in page(finished, "--review", "--no-audio", name="review")


def test_both_options_at_once_are_refused(finished: Path) -> None:
    """One of them would be without effect."""
    with pytest.raises(InputError, match="--audio: has no effect with --no-audio"):
        page(finished, "--audio", "--no-audio")
