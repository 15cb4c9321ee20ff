"""The parts of a bundle: how they are cut, and that none is used unless it is whole."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from tasks.airgap.bundle_manifest import (
    BundleContent,
    BundleLayout,
    ContentKind,
    read_manifest,
)
from tasks.airgap.bundle_parts import verify_parts
from tasks.airgap.bundle_writing import cut, place_contents
from tasks.common.errors import InputError
from tests.support import offline_bundles

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 1500


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    """Two small wheels, and a base that is larger than a part."""
    files = tmp_path / "files"
    files.mkdir()
    offline_bundles.write_wheel(files, "one")
    offline_bundles.write_wheel(files, "two")
    (files / "parakeet-ctc-0.6b.nemo").write_bytes(bytes(range(250)) * 14)
    offline_bundles.write_bundle(files, tmp_path / "out", LIMIT)
    return offline_bundles.list_parts(tmp_path / "out")


def test_parts_hold_everything_once_and_none_is_too_large() -> None:
    """First fit, the largest first."""
    sizes = {"a": 50, "b": 40, "c": 30, "d": 10, "e": 5}
    parts = cut(sizes, 60)
    assert sorted(name for part in parts for name in part) == sorted(sizes)
    assert all(sum(sizes[name] for name in part) <= 60 for part in parts)
    assert len(parts) == 3


def test_a_file_larger_than_a_part_is_cut_into_pieces_that_fill_parts() -> None:
    """Its last piece shares a part with others."""
    contents = [
        BundleContent("model", ContentKind.BASE, 5000, "0" * 64, (), {}),
        BundleContent("small", ContentKind.WHEEL, 900, "0" * 64, (), {}),
    ]
    model, small = place_contents(contents, 2000)
    assert len(model.parts) == 3
    assert small.parts == (model.parts[2],)
    assert model.piece_name(2) == "model.002-of-003"
    assert small.piece_name(1) == "small"


def test_pieces_together_are_the_file(parts: list[Path]) -> None:
    """No part is larger than was asked for, and the content is the same byte for byte."""
    verified = verify_parts(parts)
    (base,) = verified.manifest.of_kind(ContentKind.BASE)
    assert len(base.parts) == 3
    assert b"".join(verified.read(base)) == bytes(range(250)) * 14
    for part in parts:
        manifest = read_manifest(part)
        assert sum(file.bytes for file in manifest.files) <= LIMIT
        sums = dict(
            line.split("  ")[::-1] for line in (part / "SHA256SUMS").read_text().split("\n")[:-1]
        )
        for name, digest in sums.items():
            assert hashlib.sha256((part / name).read_bytes()).hexdigest() == digest


def test_one_part_alone_tells_which_others_are_missing(parts: list[Path]) -> None:
    """Each part knows the whole bundle, and has its id."""
    alone = verify_parts([parts[1]])
    assert alone.missing == [number for number in range(1, len(parts) + 1) if number != 2]
    assert alone.manifest.bundle == read_manifest(parts[0]).bundle


def test_a_changed_and_a_missing_file_are_named(parts: list[Path]) -> None:
    """Same size or not, the file and the reason are told."""
    damaged = next(part for part in parts if list(part.glob("*.nemo.001-*")))
    piece = next(damaged.glob("*.nemo.001-*"))
    content = bytearray(piece.read_bytes())
    content[7] ^= 1
    piece.write_bytes(content)
    with pytest.raises(InputError, match=rf"{piece.name}: its SHA-256 is .* Nothing was installed"):
        verify_parts(parts)
    piece.write_bytes(content[:-1])
    with pytest.raises(InputError, match=rf"{piece.name}: \d+ bytes instead of \d+"):
        verify_parts(parts)
    piece.unlink()
    with pytest.raises(InputError, match=rf"{piece.name}: No such file"):
        verify_parts(parts)


def test_parts_of_two_bundles_and_another_id_are_refused(parts: list[Path], tmp_path: Path) -> None:
    """An id that was told by another way shows an exchange that all hashes agree with."""
    files = tmp_path / "others"
    files.mkdir()
    offline_bundles.write_wheel(files, "three")
    offline_bundles.write_bundle(files, tmp_path / "other", LIMIT)
    (other,) = offline_bundles.list_parts(tmp_path / "other")
    with pytest.raises(InputError, match="name the parts of one bundle"):
        verify_parts([*parts, other])
    with pytest.raises(InputError, match=r"this is bundle .*, not 1234"):
        verify_parts([other], "1234")
    assert verify_parts([other], read_manifest(other).bundle).missing == []


def test_a_manifest_that_was_changed_or_leads_out_of_its_folder_is_refused(
    parts: list[Path],
) -> None:
    """A version, a name with a folder, and a folder that is no part."""
    path = parts[0] / "manifest.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "nemo": "9"}))
    with pytest.raises(InputError, match="changed since the bundle was made"):
        verify_parts(parts)
    document["files"][0]["name"] = "../../etc/passwd"
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"name '../../etc/passwd'"):
        verify_parts(parts)
    with pytest.raises(InputError, match="name the folders part-1, part-2"):
        verify_parts([parts[0].parent])


def test_the_layout_and_the_left_out_packages_belong_to_the_id(tmp_path: Path) -> None:
    """What is installed differently is another bundle."""
    ids = set()
    for layout in BundleLayout:
        files = tmp_path / layout
        files.mkdir()
        offline_bundles.write_wheel(files, "one")
        ids.add(offline_bundles.write_bundle(files, files / "out", LIMIT, layout).bundle)
    assert len(ids) == 2
