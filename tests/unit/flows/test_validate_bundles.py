"""The report gets the figures of what is served, and stays without sound if it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flows.validate_bundles import renew_report
from tasks.common import hashing, privacy_settings
from tasks.common.atomic_files import write_text
from tasks.data.cycle_folder import open_cycle
from tasks.records import run_record
from tasks.reporting import html
from tasks.reporting.html import audio_clips
from tasks.serving.validation import ValidationPlan
from tests.support import prepared_cycles

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tasks.data.cycle_folder import Cycle
    from tasks.reporting.html.audio_clips import Clip


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ValidationPlan:
    """A comparison with a finished run's evaluation; PNG figures are left out."""
    monkeypatch.setattr(html, "write_figures", lambda _: [])
    evaluated = open_cycle(prepared_cycles.finish_turn(tmp_path, 1, prepared_cycles.Turn()))
    tuned = evaluated.previous
    assert tuned is not None
    return ValidationPlan(tuned, (), evaluated.offline_hyps, None)


def page_of(cycle: Cycle) -> Path:
    """The report's path."""
    return cycle.path / f"report_cycle{cycle.number}.html"


@pytest.mark.parametrize(
    ("before", "silent"), [('<audio src="data:audio/mpeg">', False), ("", True)]
)
def test_the_page_keeps_or_stays_without_sound(
    plan: ValidationPlan, before: str, *, silent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its new hash is in the record, and the history finds nothing changed."""
    evaluated = plan.cycle.next
    write_text(page_of(evaluated), before)
    asked: list[bool] = []
    pack = audio_clips.clips

    def watched(paths: Sequence[Path], most_bytes: int) -> list[Clip]:
        asked.append(privacy_settings.hides_audio())
        return pack(paths, most_bytes)

    monkeypatch.setattr(audio_clips, "clips", watched)
    renew_report(plan)
    page = page_of(evaluated)
    files = run_record.read(evaluated)["files"]
    assert files[page.name] == hashing.sha256_file(page)
    assert "<html" in page.read_text(encoding="utf-8")
    assert asked == [silent]
