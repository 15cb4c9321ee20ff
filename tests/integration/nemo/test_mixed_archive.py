"""An archive that gets other weights: what is in it, and what a failed writing leaves."""

from __future__ import annotations

import resource
import sys
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from tasks.models.catalog import embedded_path
from tasks.runtimes.base import ENTRY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def archive() -> Iterator[Any]:
    """The embedded base's archive."""
    sys.path.insert(0, str(ENTRY))
    import mix_weights  # type: ignore[import-not-found]  # noqa: PLC0415 - as the programs do

    yield mix_weights.Archive(str(embedded_path()))
    sys.path.remove(str(ENTRY))


def contents(path: Path) -> dict[str, bytes]:
    """Read the members of an archive; every other reader of tar archives finds them, too."""
    with tarfile.open(path) as read:
        return {
            member.name.removeprefix("./"): stream.read()
            for member in read
            if (stream := read.extractfile(member)) is not None
        }


def test_other_weights_take_the_place_of_the_archives(archive: Any, tmp_path: Path) -> None:
    """Everything else stays, and the same weights make the same bytes."""
    import torch  # noqa: PLC0415 - seconds

    weights = {name: tensor + 1 for name, tensor in archive.weights().items()}
    first, second = tmp_path / "a.nemo", tmp_path / "b.nemo"
    archive.write_with(weights, first)
    archive.write_with(dict(weights), second)
    assert first.read_bytes() == second.read_bytes()
    read = type(archive)(str(first)).weights()
    assert list(read) == list(weights)
    assert all(torch.equal(read[name], tensor) for name, tensor in weights.items())
    before, after = contents(embedded_path()), contents(first)
    weights_name = "model_weights.ckpt"
    assert list(after) == list(before)
    assert {**after, weights_name: b""} == {**before, weights_name: b""}


def test_a_part_of_a_tensor_is_written_without_the_rest(archive: Any, tmp_path: Path) -> None:
    """A view, and two names of one tensor, are written as what they are, each by itself."""
    import torch  # noqa: PLC0415 - seconds

    large = torch.arange(1_000_000.0)
    shared = torch.ones(3)
    out = tmp_path / "a.nemo"
    archive.write_with({"view": large[5:7], "one": shared, "two": shared}, out)
    read = type(archive)(str(out)).weights()
    assert read["view"].tolist() == [5, 6]
    assert read["view"].untyped_storage().nbytes() == 8
    assert read["one"].data_ptr() != read["two"].data_ptr()


def test_an_archive_that_cannot_be_written_leaves_nothing(archive: Any, tmp_path: Path) -> None:
    """What the system said is raised, by which a full disk is known."""
    weights = archive.weights()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            archive.write_with(weights, tmp_path / "a.nemo")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
