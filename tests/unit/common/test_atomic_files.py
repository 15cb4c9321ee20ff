"""Files: whole or not at all, and hashes that mean the same everywhere."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.common import atomic_files, hashing
from tasks.common.errors import DiskFullError, FlywheelError, InputError
from tests.support import factories

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """Half a file is never seen."""
    target = tmp_path / "rows.jsonl"
    target.write_text("old")

    def rows() -> Iterator[dict[str, int]]:
        yield {"a": 1}
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        atomic_files.write_jsonl(target, rows())
    assert factories.snapshot(tmp_path) == {"rows.jsonl": b"old"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_names_the_file_and_leaves_the_old_one(tmp_path: Path, number: int) -> None:
    """Also where the write that failed knew no name; who looks for the number finds it."""
    target = tmp_path / "rows.jsonl"
    target.write_text("old")

    def rows() -> Iterator[dict[str, int]]:
        yield {"a": 1}
        raise OSError(number, os.strerror(number))

    with pytest.raises(OSError, match=r"rows.jsonl: the disk is full .*Fix: free space") as full:
        atomic_files.write_jsonl(target, rows())
    assert isinstance(full.value, DiskFullError)
    assert isinstance(full.value, FlywheelError)
    assert full.value.errno == number
    assert factories.snapshot(tmp_path) == {"rows.jsonl": b"old"}


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    """The new name appears when the block has ended."""
    target = tmp_path / "deep" / "a.txt"
    with atomic_files.atomic_path(target) as temporary:
        temporary.write_text("new")
        assert not target.exists()
        assert temporary.parent == target.parent
    assert factories.snapshot(tmp_path) == {"deep": "folder", "deep/a.txt": b"new"}


def test_a_result_is_an_ordinary_file(tmp_path: Path) -> None:
    """Others may read it as far as the user's mask lets them."""
    before = os.umask(0o027)
    try:
        atomic_files.write_text(tmp_path / "a.txt", "x")
    finally:
        assert os.umask(before) == 0o027
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


def test_a_place_that_cannot_be_written_is_bad_input(tmp_path: Path) -> None:
    """The message names the file."""
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        atomic_files.write_text(tmp_path / "file" / "a.txt", "x")


def test_text_is_written_in_utf_8_with_plain_line_ends(tmp_path: Path) -> None:
    """The same bytes on every machine."""
    atomic_files.write_text(tmp_path / "a", "é\nb")
    assert (tmp_path / "a").read_bytes() == b"\xc3\xa9\nb"
    atomic_files.write_jsonl(tmp_path / "b", [{"é": 1}, {"b": None}])
    assert (tmp_path / "b").read_bytes() == b'{"\xc3\xa9": 1}\n{"b": null}\n'


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_never_holds_what_json_does_not_have(tmp_path: Path, value: float) -> None:
    """NaN is refused and leaves no file."""
    with pytest.raises(ValueError, match="JSON"):
        atomic_files.write_json(tmp_path / "a.json", {"x": value})
    with pytest.raises(ValueError, match="JSON"):
        atomic_files.write_jsonl(tmp_path / "a.jsonl", [{"x": value}])
    assert factories.snapshot(tmp_path) == {}


def test_json_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Indented for people, the same for programs."""
    value = {"b": [1, None, "é"], "a": {"x": 0.1}}
    atomic_files.write_json(tmp_path / "a.json", value)
    assert atomic_files.read_json(tmp_path / "a.json") == value
    assert (tmp_path / "a.json").read_text(encoding="utf-8").startswith('{\n  "b": [')


@pytest.mark.parametrize("data", [b"{", b"\xff", b""])
def test_what_is_no_json_is_bad_input(tmp_path: Path, data: bytes) -> None:
    """The message names the file."""
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(InputError, match=r"a\.json: not readable as JSON"):
        atomic_files.read_json(tmp_path / "a.json")


def test_a_missing_json_is_bad_input(tmp_path: Path) -> None:
    """It is told apart from a broken one."""
    with pytest.raises(InputError, match="no such file"):
        atomic_files.read_json(tmp_path / "a.json")


def test_jsonl_is_read_as_it_was_written(tmp_path: Path) -> None:
    """A line separator inside text is no new line."""
    rows: list[dict[str, object]] = [{"a": "b\u2028c\x85d"}, {"a": None}]
    atomic_files.write_jsonl(tmp_path / "a.jsonl", rows)
    assert atomic_files.read_jsonl(tmp_path / "a.jsonl") == rows


@pytest.mark.parametrize("data", [b"{\n", b"[1]\n", b"\xff\n"])
def test_what_is_no_jsonl_is_bad_input(tmp_path: Path, data: bytes) -> None:
    """The message names the file."""
    (tmp_path / "a.jsonl").write_bytes(data)
    with pytest.raises(InputError, match=r"a\.jsonl"):
        atomic_files.read_jsonl(tmp_path / "a.jsonl")


def test_a_files_hash_is_that_of_its_bytes(tmp_path: Path) -> None:
    """Also where it is longer than a chunk."""
    data = bytes(range(256)) * 10_000
    (tmp_path / "a").write_bytes(data)
    assert hashing.sha256_file(tmp_path / "a") == hashlib.sha256(data).hexdigest()


def test_a_fingerprint_is_the_same_everywhere() -> None:
    """The literal was written down once; no machine, order or version changes it."""
    value = {"b": [1, 0.1, None, True], "a": "é"}
    wanted = hashlib.sha256(b'{"a":"\\u00e9","b":[1,0.1,null,true]}').hexdigest()
    assert hashing.fingerprint(value) == wanted
    assert hashing.fingerprint({"a": "é", "b": [1, 0.1, None, True]}) == wanted


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(json_values, json_values)
def test_equal_fingerprints_mean_equal_values(left: object, right: object) -> None:
    """As JSON tells values apart: 1 is not true."""
    same = json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)
    assert (hashing.fingerprint(left) == hashing.fingerprint(right)) is same
