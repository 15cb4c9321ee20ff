"""Checkpoints that a thread writes: what is in them, in which order files change, what fails."""

from __future__ import annotations

import errno
import resource
import sys
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import pytest

from tasks.runtimes.base import ENTRY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def module() -> Iterator[Any]:
    """The module, as the entry programs import it."""
    sys.path.insert(0, str(ENTRY))
    import background_checkpoints  # type: ignore[import-not-found]  # noqa: PLC0415

    yield background_checkpoints
    sys.path.remove(str(ENTRY))


@pytest.fixture
def files(module: Any) -> Iterator[Any]:
    """What writes, reads and removes."""
    made = module.BackgroundCheckpointIO()
    yield made
    made.teardown()


def checkpoint(value: float) -> dict[str, Any]:
    """Weights, one of them under two names, and an optimiser's state."""
    import torch  # noqa: PLC0415

    weights = torch.full((2, 3), value)
    state = OrderedDict(a=weights, b=weights.detach(), empty=torch.empty(0))
    state._metadata = {"": {"version": 1}}  # type: ignore[attr-defined]
    optimiser = {"state": {0: {"step": torch.tensor(value)}}, "param_groups": [{"betas": (1, 2)}]}
    return {"epoch": 3, "state_dict": state, "optimizer_states": [optimiser]}


def hold(module: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Let the next writing wait; return what tells that it began, and what lets it go on."""
    begun, may_go = threading.Event(), threading.Event()
    write = module._write

    def late(*arguments: Any) -> None:
        begun.set()
        assert may_go.wait(30)
        write(*arguments)

    monkeypatch.setattr(module, "_write", late)
    return begun, may_go


def test_what_training_changes_meanwhile_is_not_in_the_file(
    module: Any, files: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file has the weights of its step, and nothing is there under its name before."""
    import torch  # noqa: PLC0415

    begun, may_go = hold(module, monkeypatch)
    path, state = tmp_path / "new" / "a.ckpt", checkpoint(1.0)
    files.save_checkpoint(state, path)
    assert begun.wait(30)
    assert not path.exists()
    with torch.no_grad():
        state["state_dict"]["a"].fill_(9)
    state["optimizer_states"][0]["state"][0]["step"].fill_(9)
    state["optimizer_states"][0]["param_groups"][0]["betas"] = (9, 9)
    may_go.set()
    loaded = files.load_checkpoint(path)
    assert loaded["epoch"] == 3
    assert loaded["state_dict"]["a"].eq(1).all()
    assert loaded["state_dict"]["a"].data_ptr() == loaded["state_dict"]["b"].data_ptr()
    assert loaded["state_dict"]._metadata == {"": {"version": 1}}
    assert loaded["optimizer_states"][0] == {
        "state": {0: {"step": torch.tensor(1.0)}},
        "param_groups": [{"betas": (1, 2)}],
    }
    # The memory of one is that of the next, and the first file stays what it is.
    files.save_checkpoint(checkpoint(2.0), tmp_path / "b.ckpt")
    assert files.load_checkpoint(tmp_path / "b.ckpt")["state_dict"]["b"].eq(2).all()
    assert files.load_checkpoint(path)["state_dict"]["b"].eq(1).all()
    assert [one.name for one in tmp_path.rglob("*.part")] == []


def test_an_old_checkpoint_goes_when_the_new_one_is_whole(
    module: Any, files: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is killed before that goes on from the old one."""
    old, new, last = (tmp_path / name for name in ("old.ckpt", "new.ckpt", "new-last.ckpt"))
    files.save_checkpoint(checkpoint(1.0), old)
    files.wait()
    begun, may_go = hold(module, monkeypatch)
    files.save_checkpoint(checkpoint(2.0), new)
    files.link(new, last)
    files.remove_checkpoint(old)
    assert begun.wait(30)
    assert {path.name for path in tmp_path.glob("*.ckpt")} == {"old.ckpt"}
    may_go.set()
    files.wait()
    assert {path.name for path in tmp_path.glob("*.ckpt")} == {"new.ckpt", "new-last.ckpt"}
    assert last.samefile(new)


def test_a_checkpoint_that_cannot_be_written_costs_no_other(files: Any, tmp_path: Path) -> None:
    """What was queued behind it is not done, and the next call raises what failed."""
    old, no_folder = tmp_path / "old.ckpt", tmp_path / "file"
    files.save_checkpoint(checkpoint(1.0), old)
    files.wait()
    no_folder.touch()
    files.save_checkpoint(checkpoint(2.0), no_folder / "new.ckpt")
    files.remove_checkpoint(old)
    with pytest.raises(OSError, match="file"):
        files.save_checkpoint(checkpoint(3.0), tmp_path / "third.ckpt")
    assert [path.name for path in tmp_path.glob("*.ckpt")] == ["old.ckpt"]
    with pytest.raises(TypeError):
        files.save_checkpoint(checkpoint(3.0), tmp_path / "a.ckpt", {"endpoint": "elsewhere"})


def test_a_full_disk_is_called_so(files: Any, tmp_path: Path) -> None:
    """What the system said is raised, by which a fault is known; nothing half-written stays."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        files.save_checkpoint(checkpoint(1.0), tmp_path / "a.ckpt")
        with pytest.raises(OSError, match="File too large") as raised:
            files.wait()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert raised.value.errno == errno.EFBIG
    assert list(tmp_path.iterdir()) == []


def test_where_links_cannot_be_made_it_is_copied(
    files: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems have none."""

    def refuse(*_: object) -> None:
        raise OSError

    monkeypatch.setattr("pathlib.Path.hardlink_to", refuse)
    best, last = tmp_path / "best.ckpt", tmp_path / "best-last.ckpt"
    files.save_checkpoint(checkpoint(1.0), best)
    files.link(best, last)
    files.wait()
    assert last.read_bytes() == best.read_bytes()
    assert not last.samefile(best)
