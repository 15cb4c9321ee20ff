"""The cache of hashes: it saves reading, and never tells an old hash."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tasks.common import hashing
from tests.support.hashing_cases import LARGE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(hashing, "_SETTLED_NS", -1)
    return tmp_path / "cache" / "asr-flywheel" / "hashes"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A file that is large enough to be worth it."""
    path = tmp_path / "model.nemo"
    path.write_bytes(LARGE)
    return path


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Which files were read."""
    seen: list[Path] = []
    read = hashing.sha256_file

    def spy(path: Path) -> str:
        seen.append(path)
        return read(path)

    monkeypatch.setattr(hashing, "sha256_file", spy)
    return seen


def test_a_file_is_read_once(model: Path, reads: list[Path]) -> None:
    """Whatever name leads to it."""
    link = model.with_name("link.nemo")
    link.symlink_to(model)
    found = {hashing.sha256(model), hashing.sha256(model), hashing.sha256(link)}
    assert len(found) == 1
    assert reads == [model]


def restore_times(path: Path, data: bytes) -> None:
    """Write in place and set the old time of modification again."""
    before = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(path: Path, data: bytes) -> None:
    """Another file in its place, with its times."""
    other = path.with_name("other")
    other.write_bytes(data)
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)


@pytest.mark.parametrize("change", [restore_times, replace])
def test_a_changed_file_is_read_again(
    model: Path, reads: list[Path], change: Callable[[Path, bytes], None]
) -> None:
    """Although its size and its time of modification are what they were."""
    first = hashing.sha256(model)
    change(model, LARGE[:-1] + b"?")
    assert hashing.sha256(model) not in {first, ""}
    assert len(reads) == 2


def test_a_file_that_was_written_just_now_is_not_kept(
    model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may change within the same tick of the clock."""
    monkeypatch.setattr(hashing, "_SETTLED_NS", 60_000_000_000)
    hashing.sha256(model)
    assert not cache.exists()


def test_a_hash_that_is_known_need_not_be_computed(model: Path, reads: list[Path]) -> None:
    """As of a model that was hashed before it was moved to its place."""
    digest = hashing.sha256(model)
    moved = model.rename(model.with_name("moved.nemo"))
    hashing.record_hash(moved, digest)
    assert hashing.sha256(moved) == digest
    assert reads == [model]


def test_a_small_file_is_not_kept(tmp_path: Path, cache: Path) -> None:
    """Reading it is as fast."""
    small = tmp_path / "small"
    small.write_bytes(b"x")
    assert hashing.sha256(small) == hashing.sha256_file(small)
    assert not cache.exists()


@pytest.mark.parametrize("damage", ["{", "[]", '{"state": {}}', ""])
def test_a_damaged_entry_costs_time_alone(
    model: Path, cache: Path, reads: list[Path], damage: str
) -> None:
    """It is written anew."""
    first = hashing.sha256(model)
    (entry,) = cache.iterdir()
    entry.write_text(damage)
    assert hashing.sha256(model) == first
    assert hashing.sha256(model) == first
    assert len(reads) == 2


def test_where_no_cache_can_be_written_the_hash_is_still_right(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A home that is read-only is no reason to fail."""
    (tmp_path / "no-folder").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no-folder"))
    assert hashing.sha256(model) == hashing.sha256_file(model)
