"""A cycle's folder belongs to one run at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tasks.common.parameter_names import spelled_as
from tasks.data import cycle_lock
from tasks.data.cycle_folder import Cycle, open_cycle
from tasks.data.cycle_lock import CycleBusyError, lock_cycle

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def cycles(tmp_path: Path) -> list[Cycle]:
    """Cycles 1 to 3 of a clinic."""
    for number in (1, 2, 3):
        (tmp_path / f"cycle{number}").mkdir()
    return [open_cycle(tmp_path / f"cycle{number}") for number in (1, 2, 3)]


def refused(cycle: Cycle, *, following: bool = False) -> bool:
    """Whether a claim is refused at once."""
    try:
        with lock_cycle(cycle, following=following):
            return False
    except CycleBusyError as busy:
        return "another run works on this cycle" in str(busy)


def test_two_runs_of_one_cycle_are_one_too_many(cycles: list[Cycle]) -> None:
    """The second is refused in words; afterwards, or for another cycle, the way is free."""
    first, second, _ = cycles
    with lock_cycle(first):
        assert refused(first)
        assert not refused(second)
    assert not refused(first)
    assert list(first.path.iterdir()) == []


def test_the_advice_is_what_who_asks_can_do(cycles: list[Cycle]) -> None:
    """A run can wait, by the option as it is typed; a command without that option cannot."""
    with lock_cycle(cycles[0]):
        with (
            spelled_as({"when_busy": "--when-busy"}),
            pytest.raises(CycleBusyError, match="Fix: wait for it with --when-busy wait, or end"),
            lock_cycle(cycles[0], can_wait=True),
        ):
            pass
        with (
            pytest.raises(CycleBusyError, match="when_busy wait"),
            lock_cycle(cycles[0], can_wait=True),
        ):
            pass
        with (
            pytest.raises(CycleBusyError, match="Fix: give this command again when it is done"),
            lock_cycle(cycles[0]),
        ):
            pass


def test_who_writes_the_next_cycle_has_that_too(cycles: list[Cycle]) -> None:
    """Even before its folder is there; one that is refused leaves no half of its claim behind."""
    first, second, third = cycles
    second.path.rmdir()
    with lock_cycle(first, following=True):
        second.path.mkdir()
        assert refused(second)
        assert refused(second, following=True)
        assert not refused(third)
    with lock_cycle(second):
        assert refused(first, following=True)
        assert not refused(first)
    assert not refused(first, following=True)


def test_another_hosts_claim_counts(cycles: list[Cycle], monkeypatch: pytest.MonkeyPatch) -> None:
    """As over NFS, where the lock of a folder stays on its host: the bytes in the file remain."""
    nothing = cycle_lock._Lock(lambda: None, lambda: None)
    monkeypatch.setattr(cycle_lock, "_folder_lock", lambda *_: nothing)
    first, second, _ = cycles
    with lock_cycle(first, following=True):
        assert refused(first)
        assert refused(second)


def test_a_folder_that_is_reached_by_a_link_is_the_same(
    cycles: list[Cycle], tmp_path: Path
) -> None:
    """From another place with a file of claims of its own."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "cycle1").symlink_to(cycles[0].path)
    with lock_cycle(cycles[0]):
        assert refused(open_cycle(other / "cycle1"))
