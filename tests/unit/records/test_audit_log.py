"""The audit log: a chain that breaks, by line, where anything in it was changed."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tasks.common import hashing
from tasks.common.errors import InputError
from tasks.records import audit_log
from tasks.records.audit_log import AuditedAct

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def write_log(clinic: Path, lines: int = 4) -> Path:
    """A log of so many runs."""
    for number in range(lines):
        audit_log.record(clinic, AuditedAct.RUN, f"cycle{number + 1}", base="embedded")
    return clinic / audit_log.NAME


def test_a_log_says_who_did_what_and_verifies(tmp_path: Path) -> None:
    """Each line has a number, a user, an act and its ids; the head is the last line's hash."""
    write_log(tmp_path, 2)
    first, second = audit_log.read_lines(tmp_path)
    assert first["previous"] == audit_log.FIRST
    assert second["previous"] == first["hash"]
    assert (second["n"], second["act"], second["cycle"]) == (2, "run", "cycle2")
    assert second["who"]
    assert second["ids"] == {"base": "embedded"}
    found = audit_log.verify(tmp_path)
    assert found.problem is None
    assert (found.head.lines, found.head.sha256) == (2, second["hash"])


def _change(lines: list[str]) -> list[str]:
    return [lines[0], lines[1].replace("embedded", "tampered"), *lines[2:]]


def _rehash(lines: list[str]) -> list[str]:
    """Change a line and give it the hash of its new content."""
    line = json.loads(_change(lines)[1])
    line.pop("hash")
    rehashed = json.dumps({**line, "hash": hashing.fingerprint(line)})
    return [lines[0], rehashed, *lines[2:]]


@pytest.mark.parametrize(
    ("tamper", "named"),
    [
        (_change, "line 2 was changed"),
        (_rehash, "line 3 does not follow the line before it"),
        (lambda lines: [lines[0], *lines[2:]], "line 2 names itself line 3"),
        (lambda lines: [lines[0], lines[2], lines[1], lines[3]], "line 2 names itself line 3"),
        (lambda lines: lines[:-2], "lines were removed after line 2"),
        (lambda lines: [*lines, "{}"], "line 5 is no line"),
    ],
    ids=["changed", "changed and hashed", "removed", "moved", "cut off", "added"],
)
def test_a_tampered_line_is_named(
    tmp_path: Path, tamper: Callable[[list[str]], list[str]], named: str
) -> None:
    """Changed, removed, moved, cut off and added lines are all found."""
    log = write_log(tmp_path)
    log.write_text("".join(f"{line}\n" for line in tamper(log.read_text().splitlines())))
    assert named in (audit_log.verify(tmp_path).problem or "")


def test_nothing_is_appended_to_a_log_whose_end_was_cut_off(tmp_path: Path) -> None:
    """Else the next act would hide that lines are gone."""
    log = write_log(tmp_path)
    log.write_text("".join(f"{line}\n" for line in log.read_text().splitlines()[:2]))
    with pytest.raises(InputError, match=r"ends with line 2, but .* 4 lines"):
        audit_log.record(tmp_path, AuditedAct.RUN)


def test_a_line_that_was_half_written_is_taken_away_and_said(tmp_path: Path) -> None:
    """A power cut in the middle of a line does not end the log; the repair is a line itself."""
    log = write_log(tmp_path, 2)
    with log.open("a") as out:
        out.write('{"n": 3, "ti')
    assert "line 3 is cut off" in (audit_log.verify(tmp_path).problem or "")
    audit_log.record(tmp_path, AuditedAct.EXPORT, "cycle1", rows=3)
    assert [line["act"] for line in audit_log.read_lines(tmp_path)][2:] == ["repair", "export"]
    assert audit_log.verify(tmp_path).problem is None


def test_a_kill_between_line_and_head_breaks_nothing(tmp_path: Path) -> None:
    """The head may be one line behind."""
    write_log(tmp_path, 2)
    behind = (tmp_path / audit_log.HEAD_NAME).read_bytes()
    write_log(tmp_path, 1)
    (tmp_path / audit_log.HEAD_NAME).write_bytes(behind)
    assert audit_log.verify(tmp_path).problem is None
    write_log(tmp_path, 1)
    assert audit_log.verify(tmp_path).head.lines == 4


def test_a_folder_without_a_log_and_one_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    """Both errors name the file and a fix."""
    with pytest.raises(InputError, match=r"there is no audit log\. Fix: "):
        audit_log.verify(tmp_path)
    (tmp_path / audit_log.NAME).mkdir()
    with pytest.raises(InputError, match=r"cannot be written .* Fix: "):
        audit_log.record(tmp_path, AuditedAct.RUN)


def _write_many(clinic: Path) -> None:
    for _ in range(20):
        audit_log.record(clinic, AuditedAct.IMPORT)


def test_writers_at_the_same_time_lose_no_line(tmp_path: Path) -> None:
    """Four threads of one process, each with its own open file, make one chain."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(_write_many, [tmp_path] * 4))
    assert audit_log.verify(tmp_path).head.lines == 80
    assert audit_log.verify(tmp_path).problem is None
