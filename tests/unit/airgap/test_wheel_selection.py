"""Which wheels a host needs, and which requirements pip's own markers hid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tasks.airgap.wheel_resolution import WheelTarget, list_requirements
from tasks.airgap.wheel_selection import (
    ResolvedPackage,
    find_unresolved,
    read_freeze,
    select_packages,
)
from tasks.common.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

MARKERS = WheelTarget("3.12").markers()


def test_what_the_host_has_stays_out_if_what_is_taken_admits_it() -> None:
    """Extras count where they are asked for; PyTorch's CUDA is the host's in any version."""
    packages = [
        ResolvedPackage("app", "1", ("numpy<2.5", "hub>=1", "torch>=9", "client[fast]>=1")),
        ResolvedPackage("client", "1", ("speed>=3; extra == 'fast'", "rare>=9; extra == 'slow'")),
        ResolvedPackage("torch", "9", ("nvidia-cublas",)),
        ResolvedPackage("speed", "9", ("nvidia-riva-client",)),
        *(ResolvedPackage(name, "9", ()) for name in ("numpy", "hub", "rare")),
        ResolvedPackage("nvidia-cublas", "9", ()),
        ResolvedPackage("nvidia-riva-client", "2", ()),
    ]
    have = {"numpy": "2.5.1", "hub": "1.10", "torch": "2.11.0", "speed": "2", "rare": "1"}
    names = [one.name for one in select_packages(packages, have, ["app"], MARKERS)]
    assert names == ["app", "client", "numpy", "nvidia-riva-client", "speed"]


def test_requirements_of_what_is_left_to_the_host_do_not_count() -> None:
    """The host's numba goes with the host's llvmlite, whatever a newer numba would ask for."""
    packages = [
        ResolvedPackage("app", "1", ("numba>=0.60",)),
        ResolvedPackage("numba", "0.68", ("llvmlite>=0.50", "small")),
        ResolvedPackage("llvmlite", "0.50", ()),
        ResolvedPackage("small", "1", ()),
    ]
    have = {"numba": "0.65", "llvmlite": "0.47"}
    assert [one.name for one in select_packages(packages, have, ["app"], MARKERS)] == ["app"]
    found = select_packages(packages, {**have, "numba": "0.59"}, ["app"], MARKERS)
    assert [one.name for one in found] == ["app", "llvmlite", "numba", "small"]


def test_what_the_host_keeps_must_admit_what_is_taken() -> None:
    """The host's transformers wants an older hub than ours brings; so it is taken as well."""
    packages = [
        ResolvedPackage("app", "1", ("data>=5", "transformers")),
        ResolvedPackage("data", "5", ("hub>=1.31",)),
        ResolvedPackage("hub", "2.4", ()),
        ResolvedPackage("transformers", "5.23", ("hub>=2",)),
    ]
    have = {"hub": "1.10", "transformers": "5.5"}
    theirs = [ResolvedPackage("transformers", "5.5", ("hub<2; python_version > '3'",))]
    found = select_packages(packages, have, ["app"], MARKERS, theirs)
    assert [one.name for one in found] == ["app", "data", "hub", "transformers"]
    found = select_packages(packages, {**have, "hub": "1.33"}, ["app"], MARKERS, theirs)
    assert [one.name for one in found] == ["app", "data"]


def test_an_extra_of_a_package_that_the_host_has_is_taken() -> None:
    """Prefect asks for httpx[http2]; a host's httpx has come without h2."""
    packages = [
        ResolvedPackage("app", "1", ("httpx[http2]>=0.23",)),
        ResolvedPackage(
            "httpx", "0.28", ("anyio", "h2>=3; extra == 'http2'", "x; python_version>'3'")
        ),
        *(ResolvedPackage(name, "9", ()) for name in ("anyio", "h2", "x")),
    ]
    found = select_packages(packages, {"httpx": "0.28"}, ["app"], MARKERS)
    assert [one.name for one in found] == ["app", "h2"]


def test_requirements_for_the_hosts_python_are_found_though_pip_did_not_follow_them() -> None:
    """Pip on 3.11 leaves out what a marker wants on 3.12 alone, directly and through an extra."""
    packages = [
        ResolvedPackage(
            "app", "1", ("old; python_version<'3.12'", "new>=2; python_version>='3.12'")
        ),
        ResolvedPackage("old", "1", ()),
        ResolvedPackage(
            "tool", "1", ("later; python_version>='3.12' and extra == 'x'", "never; extra == 'y'")
        ),
    ]
    assert find_unresolved(packages, ["app", "tool[x]"], MARKERS) == ["later", "new>=2"]
    old = WheelTarget("3.11").markers()
    assert find_unresolved(packages, ["app", "tool[x]"], old) == []


def test_a_freeze_file_is_read_and_a_wrong_line_is_named(tmp_path: Path) -> None:
    """Names are normalised, later files count more."""
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    first.write_text("# pip\nNumPy==2.5.0\nhuggingface_hub==1.1\n-e git+x\nx @ file:///x\n")
    second.write_text("numpy==2.4.6\n")
    assert read_freeze([first, second]) == {"numpy": "2.4.6", "huggingface-hub": "1.1"}
    second.write_text("numpy>=2\n")
    with pytest.raises(InputError, match="line 1: 'numpy>=2' is not NAME==VERSION"):
        read_freeze([second])


def test_an_extra_brings_the_extras_that_it_names_and_no_torch_where_it_is_the_hosts() -> None:
    """NeMo of the pinned version is a requirement like others; another one comes by itself."""
    project = {
        "dependencies": ["rich"],
        "optional-dependencies": {
            "nemo": ["torch==2.13.0", "nemo_toolkit[asr]==3.0.0", "numpy<2.5"],
            "demo": ["clinical-asr-flywheel[nemo]", "hibari-tts"],
        },
    }
    whole = list_requirements(project, ["demo"], "3.0.0", hosts_torch=False)
    assert whole == [
        "rich", "hibari-tts", "torch==2.13.0", "nemo_toolkit[asr]==3.0.0", "numpy<2.5",
        "lhotse>=1.33",
    ]  # fmt: skip
    beside = list_requirements(project, ["demo"], "2.6.2", hosts_torch=True)
    assert beside == ["rich", "hibari-tts", "numpy<2.5", "lhotse>=1.33"]
    with pytest.raises(InputError, match=r"--extra 'all': unknown. Fix: one of demo, nemo"):
        list_requirements(project, ["all"], "3.0.0", hosts_torch=False)
