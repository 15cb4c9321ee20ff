"""What a site does not keep for long goes, and nothing else."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import pytest

from tasks.common import hashing
from tasks.common.errors import InputError
from tasks.privacy import retention
from tasks.privacy.retention import RetentionRule
from tasks.records import audit_log
from tests.support import factories, purge_cases

if TYPE_CHECKING:
    from pathlib import Path

SOUND = '<audio controls src="data:audio/mpeg;base64,AAAA" aria-label="Recording 1"></audio>'


def two_cycles(folder: Path) -> tuple[Path, Path]:
    """Two cycles with transcripts, a work folder and a page; the first finished a year ago."""
    cycles = []
    for number in (1, 2):
        cycle = folder / f"cycle{number}"
        if number == 1:
            purge_cases.make_clinic(folder)
        cycle.mkdir(exist_ok=True)
        (cycle / ".transcripts/m").mkdir(parents=True)
        (cycle / ".transcripts/m/a.jsonl").write_text("{}")
        (cycle / "models/.run.work").mkdir(parents=True)
        page = cycle / f"report_cycle{number}.html"
        page.write_text(f"<body>{SOUND}<p>text</p></body>")
        record = {"files": {page.name: hashing.sha256_file(page)}}
        (cycle / "run.json").write_text(json.dumps(record))
        cycles.append(cycle)
    year_ago = time.time() - 365 * 86400
    for name in ("run.json", "manifest.jsonl"):
        os.utime(cycles[0] / name, (year_ago, year_ago))
    return cycles[0], cycles[1]


@pytest.mark.parametrize("rule", ["1 cycle", "90 days"])
def test_old_transcripts_work_and_sound_go(tmp_path: Path, rule: str) -> None:
    """The newer cycle is as it was; the record of the older one fits its page."""
    old, new = two_cycles(tmp_path)
    untouched = factories.snapshot(new)
    listed = retention.find_expired(tmp_path, retention.read_rule(rule))
    assert [part.path.name for part in listed] == [
        ".transcripts",
        ".run.work",
        "report_cycle1.html",
    ]
    assert retention.remove_expired(tmp_path, retention.read_rule(rule)) == listed
    assert factories.snapshot(new) == untouched
    page = old / "report_cycle1.html"
    assert "base64" not in page.read_text()
    assert "<p>text</p>" in page.read_text()
    record = json.loads((old / "run.json").read_text())
    assert record["files"] == {page.name: hashing.sha256_file(page)}
    assert (old / "audio/0.wav").is_file()
    assert retention.find_expired(tmp_path, RetentionRule(cycles=1)) == []
    assert audit_log.read_lines(tmp_path)[-1]["ids"]["parts"] == 3


def test_a_rule_that_is_none_is_refused() -> None:
    """The error shows how to write one."""
    with pytest.raises(InputError, match='write "3 cycles" or "90 days"'):
        retention.read_rule("forever")
