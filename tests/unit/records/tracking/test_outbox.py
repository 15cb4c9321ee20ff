"""The outbox: nothing is lost by a kill, and nothing stands in it twice."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from tasks.records.tracking.outbox import Outbox, OutboxBusyError, outboxes
from tasks.records.tracking.run_tracker import pending

if TYPE_CHECKING:
    from pathlib import Path

URI = "http://127.0.0.1:5000"


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    """An empty one of cycle 1."""
    return Outbox(tmp_path / "ward/cycle1/.tracking/run")


def told(outbox: Outbox) -> list[tuple[str, object]]:
    """Name and value of each line."""
    return [(line["name"], line["value"]) for line in Outbox(outbox.folder).lines()]


def test_the_same_line_is_added_once_and_a_later_word_is_added(outbox: Outbox) -> None:
    """Also by another process; a resumed training validates an epoch again."""
    outbox.add_metric("train/val_wer", 0.5, 1)
    Outbox(outbox.folder).add_metric("train/val_wer", 0.5, 1)
    Outbox(outbox.folder).add_metric("train/val_wer", 0.4, 1)
    outbox.add_metric("train/val_wer", 0.4, 1)
    assert told(outbox) == [("train/val_wer", 0.5), ("train/val_wer", 0.4)]
    assert [line["n"] for line in outbox.lines()] == [1, 2]


def test_a_line_that_was_cut_off_is_dropped(outbox: Outbox) -> None:
    """Its writer was killed; the lines before and after it are whole."""
    outbox.add_tag("cycle", 1)
    with outbox.path.open("ab") as stream:
        stream.write(b'{"n": 2, "key": "tag:de')
    assert told(outbox) == [("cycle", "1")]
    Outbox(outbox.folder).add_tag("decision", "keep")
    assert told(outbox) == [("cycle", "1"), ("decision", "keep")]


def test_a_parameter_keeps_its_value(outbox: Outbox) -> None:
    """A server refuses another one: that becomes a tag."""
    outbox.add_parameter("recipe.batch_size", 4)
    outbox.add_parameter("recipe.batch_size", 2)
    assert told(outbox) == [("recipe.batch_size", "4"), ("later.recipe.batch_size", "2")]


@pytest.mark.parametrize(("value", "said"), [(math.inf, "inf"), (math.nan, "nan")])
def test_what_is_no_number_becomes_a_tag(outbox: Outbox, value: float, said: str) -> None:
    """It is neither left out in silence nor drawn as 1.797e308."""
    outbox.add_metric("train/val_loss", value, 3)
    outbox.add_metric("train/gpu_utilisation", None, 3)
    assert told(outbox) == [("not_finite.train/val_loss", f"{said} at step 3")]


def test_a_file_is_kept_as_it_was_until_it_is_sent(outbox: Outbox, tmp_path: Path) -> None:
    """A later run writes another one in its place."""
    report = tmp_path / "report_cycle2.html"
    report.write_text("first")
    outbox.add_file(report, "", texts=True)
    report.unlink()
    report.write_text("second")
    outbox.add_file(report, "", texts=True)
    lines = outbox.lines()
    assert [outbox.kept_file(line).read_text() for line in lines] == ["first", "second"]
    for line in lines:
        outbox.drop_file(line)
    assert not list((outbox.folder / "files").rglob("*"))
    outbox.add_file(report, "", texts=True)
    assert len(outbox.lines()) == len(lines)


def test_a_purged_line_does_not_move_the_others(outbox: Outbox) -> None:
    """Lines are known by their numbers, not by their places."""
    for name in ("a", "b", "c"):
        outbox.add_tag(name, 1)
    state = outbox.read_sent(URI)
    state.sent = 2
    outbox.write_sent(state)
    text = outbox.path.read_text().splitlines(keepends=True)
    outbox.path.write_text("".join(text[1:]))
    outbox.add_tag("d", 1)
    left = [line["name"] for line in outbox.lines() if line["n"] > outbox.read_sent(URI).sent]
    assert left == ["c", "d"]


def test_only_one_process_sends(outbox: Outbox) -> None:
    """The other one is told to wait."""
    with outbox.sending(), pytest.raises(OutboxBusyError, match="another process"):
        outbox.sending().__enter__()


def test_what_a_server_lacks_is_found_for_that_server(outbox: Outbox) -> None:
    """Of the clinic's outboxes those that were meant for it, unless all is sent."""
    clinic = outbox.folder.parents[2]
    outbox.add_tag("cycle", 1)
    assert [one.folder for one in outboxes(clinic / "cycle1")] == [outbox.folder]
    assert pending(clinic, URI) == []
    outbox.write_sent(outbox.read_sent(URI))
    assert [one.folder for one in pending(clinic, URI)] == [outbox.folder]
    assert pending(clinic, "http://elsewhere") == []
    state = outbox.read_sent(URI)
    state.sent = 1
    outbox.write_sent(state)
    assert pending(clinic, URI) == []


def test_a_run_that_was_killed_is_closed_once(outbox: Outbox) -> None:
    """Only where it has not said how it ended."""
    outbox.add("status", "run", status="RUNNING")
    outbox.close_killed()
    outbox.close_killed()
    assert [line["status"] for line in outbox.lines()] == ["RUNNING", "KILLED"]


def test_a_resumed_run_began_when_it_was_first_started(outbox: Outbox) -> None:
    """By the outbox's first line, which another process has written."""
    outbox.add("begin", "run", experiment="ward", name="cycle 1", started=1_764_000_000_500)
    assert Outbox(outbox.folder).started == 1_764_000_000.5


def test_the_same_standing_is_told_once(outbox: Outbox) -> None:
    """Whenever it was decided; another one is told."""
    for decided, champion in ((1, "a"), (2, "a"), (3, "b")):
        standing = {"champion": champion, "candidate": "a", "decided": decided}
        outbox.add_standing("ward", standing)
    assert [line["decided"] for line in outbox.lines()] == [1, 3]
