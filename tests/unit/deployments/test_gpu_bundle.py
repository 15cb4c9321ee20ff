"""The bundle for GPU hosts without a network: what is taken, how it is cut, how it installs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.gpu_bundle_cases import bundle

if TYPE_CHECKING:
    from pathlib import Path


def test_what_the_host_has_stays_out_if_what_is_taken_admits_it() -> None:
    """Extras count where they are asked for; PyTorch's CUDA is the host's in any version."""
    packages = [
        bundle.Package("app", "1", ("numpy<2.5", "hub>=1", "torch>=9", "client[fast]>=1")),
        bundle.Package("client", "1", ("speed>=3; extra == 'fast'", "rare>=9; extra == 'slow'")),
        bundle.Package("torch", "9", ("nvidia-cublas",)),
        bundle.Package("speed", "9", ("nvidia-riva-client",)),
        *(bundle.Package(name, "9", ()) for name in ("numpy", "hub", "rare")),
        bundle.Package("nvidia-cublas", "9", ()),
        bundle.Package("nvidia-riva-client", "2", ()),
    ]
    have = {"numpy": "2.5.1", "hub": "1.10", "torch": "2.11.0", "speed": "2", "rare": "1"}
    names = [one.name for one in bundle.select_packages(packages, have, ["app"], "3.12")]
    assert names == ["app", "client", "numpy", "nvidia-riva-client", "speed"]


def test_requirements_of_what_is_left_to_the_host_do_not_count() -> None:
    """The host's numba goes with the host's llvmlite, whatever a newer numba would ask for."""
    packages = [
        bundle.Package("app", "1", ("numba>=0.60",)),
        bundle.Package("numba", "0.68", ("llvmlite>=0.50", "small")),
        bundle.Package("llvmlite", "0.50", ()),
        bundle.Package("small", "1", ()),
    ]
    have = {"numba": "0.65", "llvmlite": "0.47"}
    assert [one.name for one in bundle.select_packages(packages, have, ["app"], "3.12")] == ["app"]
    found = bundle.select_packages(packages, {**have, "numba": "0.59"}, ["app"], "3.12")
    assert [one.name for one in found] == ["app", "llvmlite", "numba", "small"]


def test_what_the_host_keeps_must_admit_what_is_taken() -> None:
    """The host's transformers wants an older hub than ours brings; so it is taken as well."""
    packages = [
        bundle.Package("app", "1", ("data>=5", "transformers")),
        bundle.Package("data", "5", ("hub>=1.31",)),
        bundle.Package("hub", "2.4", ()),
        bundle.Package("transformers", "5.23", ("hub>=2",)),
    ]
    have = {"hub": "1.10", "transformers": "5.5"}
    theirs = [bundle.Package("transformers", "5.5", ("hub<2; python_version > '3'",))]
    found = bundle.select_packages(packages, have, ["app"], "3.12", theirs)
    assert [one.name for one in found] == ["app", "data", "hub", "transformers"]
    found = bundle.select_packages(packages, {**have, "hub": "1.33"}, ["app"], "3.12", theirs)
    assert [one.name for one in found] == ["app", "data"]


def test_an_extra_of_a_package_that_the_host_has_is_taken() -> None:
    """Prefect asks for httpx[http2]; a host's httpx has come without h2."""
    packages = [
        bundle.Package("app", "1", ("httpx[http2]>=0.23",)),
        bundle.Package(
            "httpx", "0.28", ("anyio", "h2>=3; extra == 'http2'", "x; python_version>'3'")
        ),
        *(bundle.Package(name, "9", ()) for name in ("anyio", "h2", "x")),
    ]
    found = bundle.select_packages(packages, {"httpx": "0.28"}, ["app"], "3.12")
    assert [one.name for one in found] == ["app", "h2"]


def test_parts_hold_everything_once_and_none_is_too_large() -> None:
    """First fit, the largest first."""
    sizes = {"a": 50, "b": 40, "c": 30, "d": 10, "e": 5}
    parts = bundle.cut(sizes, 60)
    assert sorted(name for part in parts for name in part) == sorted(sizes)
    assert all(sum(sizes[name] for name in part) <= 60 for part in parts)
    assert len(parts) == 3
    with pytest.raises(SystemExit, match=r"a: .* Fix: a larger PART_MIB"):
        bundle.cut(sizes, 45)


def test_a_freeze_file_is_read_and_a_wrong_line_is_named(tmp_path: Path) -> None:
    """Names are normalised, later files count more."""
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    first.write_text("# pip\nNumPy==2.5.0\nhuggingface_hub==1.1\n-e git+x\nx @ file:///x\n")
    second.write_text("numpy==2.4.6\n")
    assert bundle.read_freeze([first, second]) == {"numpy": "2.4.6", "huggingface-hub": "1.1"}
    second.write_text("numpy>=2\n")
    with pytest.raises(SystemExit, match="line 1: 'numpy>=2' is not NAME==VERSION"):
        bundle.read_freeze([second])
