"""What each recording was to a model, over its generations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tasks.common import atomic_files
from tasks.common.errors import InputError
from tasks.training import recording_roles
from tasks.training.recording_roles import RecordingRoles

if TYPE_CHECKING:
    from pathlib import Path


def test_what_was_trained_on_or_chose_never_judges_again() -> None:
    """Over generations; what judged may judge again, and how often is counted."""
    first = RecordingRoles().after(trained=["a", "b"], chose=["c"], judged=["d", "e"])
    assert first.seen == {"a", "b", "c"}
    second = first.after(trained=["c", "d"], chose=["f"], judged=["e"])
    assert second.trained == {"a", "b", "c", "d"}
    # It is trained on now, which is more than having chosen.
    assert second.chose == {"f"}
    assert second.seen == {"a", "b", "c", "d", "f"}
    assert second.verdicts == {"d": 1, "e": 2}
    assert (second.verdicts_of(["d", "e"]), second.verdicts_of(["z"])) == (2, 0)


def test_the_files_say_the_same(tmp_path: Path) -> None:
    """Both are written; the trained ones are what an older version reads."""
    roles = RecordingRoles(frozenset({"a", "b"}), frozenset({"c"}), {"d": 2})
    paths = roles.write(tmp_path)
    assert [path.name for path in paths] == ["recording_roles.jsonl", "trained_recordings.txt"]
    assert recording_roles.read(tmp_path) == roles
    paths[0].unlink()
    assert recording_roles.read(tmp_path) == RecordingRoles(frozenset({"a", "b"}))
    paths[1].unlink()
    assert recording_roles.read(tmp_path) == RecordingRoles()


def test_the_files_are_written_anew_where_they_say_something_else(tmp_path: Path) -> None:
    """A training that is found again may be chosen by other rows; else nothing is touched."""
    RecordingRoles(frozenset({"a"})).update(tmp_path)
    path = tmp_path / recording_roles.NAME
    before = path.stat().st_mtime_ns
    RecordingRoles(frozenset({"a"})).update(tmp_path)
    assert path.stat().st_mtime_ns == before
    RecordingRoles(frozenset({"a"}), frozenset({"b"})).update(tmp_path)
    assert recording_roles.read(tmp_path).chose == {"b"}


def test_a_row_of_somebody_else_is_named(tmp_path: Path) -> None:
    """Row, value and fix."""
    atomic_files.write_jsonl(
        tmp_path / recording_roles.NAME,
        [{"audio_sha256": "a", "role": "trained"}, {"audio_sha256": "b", "role": "heard"}],
    )
    with pytest.raises(InputError, match=r"row 2: role 'heard' of 'b'.*Fix:"):
        recording_roles.read(tmp_path)
