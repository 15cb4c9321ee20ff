"""The folder of a run's container: a job's files go in and come back, whatever interrupts it."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from tasks.runtimes.exchange_folder import ExchangeFolder

if TYPE_CHECKING:
    from collections.abc import Callable

FILES = {"a.json": "a", "folder/b.ckpt": "b", ".hidden": "h"}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A work folder with files, which only its owner may enter."""
    folder = tmp_path / "models" / ".run.work"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    folder.chmod(0o700)
    return folder


@pytest.fixture
def exchange(tmp_path: Path) -> ExchangeFolder:
    """A folder of a run's container."""
    return ExchangeFolder.make(tmp_path)


def content(folder: Path) -> dict[str, str]:
    """The files below a folder."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_files_are_found_by_their_path_while_they_are_lent(
    work: Path, exchange: ExchangeFolder
) -> None:
    """What is written on either side is there afterwards, and the folder is the same one."""
    inode = work.stat().st_ino
    exchange.take(work)
    assert content(exchange.out) == FILES
    assert {name: (work / name).read_text() for name in FILES} == FILES
    assert ExchangeFolder.of_work(work) == exchange
    (work / "from the host").write_text("1")
    (exchange.out / "from the container").write_text("2")
    exchange.give_back()
    assert content(work) == {**FILES, "from the host": "1", "from the container": "2"}
    assert (work.stat().st_ino, work.stat().st_mode & 0o777) == (inode, 0o700)
    assert ExchangeFolder.of_work(work) is None
    assert list(exchange.out.iterdir()) == []
    exchange.give_back()
    assert content(work).keys() > FILES.keys()


@pytest.mark.parametrize("method", ["rename", "symlink_to", "unlink"])
@pytest.mark.parametrize("call", [1, 2, 3, 4])
@pytest.mark.parametrize("anew", [False, True])
def test_a_run_that_is_killed_at_any_point_loses_no_file(
    work: Path, exchange: ExchangeFolder, method: str, call: int, *, anew: bool
) -> None:
    """A take and a give-back are cut off at a call; another process puts all in its place.

    Meanwhile another start may have made the folder anew.
    """
    calls = 0
    real: Callable[..., object] = getattr(Path, method)

    def cut_off(path: Path, *arguments: object, **more: object) -> object:
        nonlocal calls
        calls += 1
        if calls >= call:  # no handler gets further, either
            raise KeyboardInterrupt
        return real(path, *arguments, **more)

    with patch.object(Path, method, cut_off):
        try:
            exchange.take(work)
            exchange.give_back()
        except KeyboardInterrupt:
            pass
    if anew and not work.exists():
        work.mkdir()
        (work / "new").write_text("n")
    (again,) = ExchangeFolder.left_in(exchange.path.parent)
    again.remove()
    assert not exchange.path.exists()
    assert not work.is_symlink()
    found = content(work)
    found.pop("new", None)
    assert found == FILES


def test_files_come_back_after_their_clinic_was_moved(
    work: Path, exchange: ExchangeFolder, tmp_path: Path
) -> None:
    """A run was killed, and somebody has renamed the folder since."""
    exchange.take(work)
    folder = tmp_path.parent / f"{tmp_path.name} moved"
    tmp_path.rename(folder)
    (found,) = ExchangeFolder.left_in(folder)
    found.remove()
    moved = folder / work.relative_to(tmp_path)
    assert not moved.is_symlink()
    assert content(moved) == FILES
    folder.rename(tmp_path)


def test_files_of_another_disk_stay_where_they_are(
    work: Path, exchange: ExchangeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller is told, and nothing has moved."""

    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="cross-device"):
        exchange.take(work)
    monkeypatch.undo()
    assert content(work) == FILES
    assert ExchangeFolder.of_work(work) is None
    exchange.remove()
    assert content(work) == FILES


def test_links_to_inputs_are_those_of_one_job(exchange: ExchangeFolder) -> None:
    """The next job's take their place."""
    exchange.link_inputs({"0.nemo": PurePosixPath("/m/0"), "1": PurePosixPath("/m/1/a")})
    exchange.link_inputs({"0": PurePosixPath("/m/2")})
    assert {one.name: str(one.readlink()) for one in exchange.inputs.iterdir()} == {"0": "/m/2"}


def test_a_link_of_somebody_else_is_no_lent_folder(tmp_path: Path) -> None:
    """A work folder that a user has put on another disk by a link stays as it is."""
    (tmp_path / "disk" / "out").mkdir(parents=True)
    link = tmp_path / ".run.work"
    link.symlink_to(tmp_path / "disk" / "out")
    assert ExchangeFolder.of_work(link) is None
