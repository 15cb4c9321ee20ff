"""The inbox: what is new in it, and bringing it here."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tasks.common.errors import InputError
from tasks.data.cycle_folder import open_cycle
from tasks.data.cycle_lock import CycleBusyError, lock_cycle
from tasks.records import inbox
from tasks.records.store import LocalStore
from tests.support import factories

if TYPE_CHECKING:
    from pathlib import Path

PREFIX = "inbox/ward-7/"


@pytest.fixture
def store(cycle: Path, tmp_path: Path) -> LocalStore:
    """A store whose inbox holds one cycle."""
    found = LocalStore(tmp_path / "store")
    shutil.copytree(cycle, found.root / PREFIX / "cycle1")
    return found


def grow(store: LocalStore) -> None:
    """One row more."""
    manifest = store.root / PREFIX / "cycle1" / "manifest.jsonl"
    manifest.write_text(manifest.read_text() + manifest.read_text().splitlines()[0] + "\n")


def test_a_manifest_is_told_once_and_again_when_it_has_grown(
    store: LocalStore, tmp_path: Path
) -> None:
    """By its content: touching it, or other files beside it, is not news."""
    folder = tmp_path / "here"
    (new,) = inbox.arrivals(store, PREFIX, folder)
    assert (new.number, new.rows, new.grown) == (1, 10, False)
    assert inbox.arrivals(store, PREFIX, folder) == [new], "it was not handed on yet"
    folder.mkdir()
    inbox.remember(folder, new)
    (store.root / PREFIX / "cycle1" / "manifest.jsonl").touch()
    (store.root / PREFIX / "cycle1" / "notes.txt").write_text("new")
    assert inbox.arrivals(store, PREFIX, folder) == []
    grow(store)
    (grown,) = inbox.arrivals(store, PREFIX, folder)
    assert (grown.rows, grown.grown) == (11, True)


def test_other_inboxes_and_deeper_manifests_are_not_told(store: LocalStore, tmp_path: Path) -> None:
    """Kept runs hold manifests too."""
    source = store.root / PREFIX / "cycle1"
    shutil.copytree(source, store.root / PREFIX / "cycle1" / "run-1" / "cycle1")
    shutil.copytree(source, store.root / "inbox" / "ward-8" / "cycle1")
    assert len(inbox.arrivals(store, PREFIX, tmp_path / "clinic")) == 1


def test_a_cycle_is_brought_whole_and_what_is_here_stays(
    store: LocalStore, cycle: Path, tmp_path: Path
) -> None:
    """Every file with its content; the second time only what has changed."""
    folder = tmp_path / "here"
    (new,) = inbox.arrivals(store, PREFIX, folder)
    said: list[str] = []
    brought = inbox.bring(store, new, folder, said.append)
    assert factories.snapshot(brought.path) == factories.snapshot(cycle)
    (brought.path / "train.jsonl").write_text("ours")
    grow(store)
    (grown,) = inbox.arrivals(store, PREFIX, folder)
    inbox.bring(store, grown, folder, said.append)
    assert "11 files, 11 of them new" in said[0]
    assert "11 files, 1 of them new" in said[1]
    assert (brought.path / "train.jsonl").read_text() == "ours"
    assert len(brought.manifest.read_text().splitlines()) == 11


def test_the_manifest_comes_last(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cycle whose audio did not arrive has none."""
    (new,) = inbox.arrivals(store, PREFIX, tmp_path / "here")
    read = LocalStore.read
    monkeypatch.setattr(
        LocalStore, "read", lambda self, key: 1 / 0 if key.endswith("9.wav") else read(self, key)
    )
    with pytest.raises(ZeroDivisionError):
        inbox.bring(store, new, tmp_path / "here")
    assert not (tmp_path / "here" / "cycle1" / "manifest.jsonl").exists()


def test_a_name_cannot_lead_out_of_the_folder(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object store allows any name."""
    (new,) = inbox.arrivals(store, PREFIX, tmp_path / "here")
    monkeypatch.setattr(LocalStore, "keys", lambda *_: iter([f"{PREFIX}cycle1/../../escaped"]))
    with pytest.raises(InputError, match="leads out"):
        inbox.bring(store, new, tmp_path / "here")
    assert not (tmp_path / "escaped").exists()


def test_nothing_is_brought_under_a_run_that_works_on_the_cycle(
    store: LocalStore, tmp_path: Path
) -> None:
    """It would end by another manifest than it began by; the next look finds the arrival again."""
    folder = tmp_path / "here"
    (new,) = inbox.arrivals(store, PREFIX, folder)
    brought = inbox.bring(store, new, folder)
    inbox.remember(folder, new)
    before = brought.manifest.read_bytes()
    grow(store)
    (grown,) = inbox.arrivals(store, PREFIX, folder)
    with lock_cycle(open_cycle(brought.path)), pytest.raises(CycleBusyError):
        inbox.bring(store, grown, folder)
    assert brought.manifest.read_bytes() == before
    assert inbox.arrivals(store, PREFIX, folder) == [grown]
    inbox.bring(store, grown, folder)
    assert brought.manifest.read_bytes() != before
