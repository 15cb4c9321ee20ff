"""A bundle for a rented host: what is refused before the host costs anything."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tasks.airgap import sendable_bundle
from tasks.airgap.bundle_manifest import BundleLayout
from tasks.airgap.bundle_writing import write_parts
from tasks.common.errors import InputError
from tests.support import offline_bundles

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.airgap.sendable_bundle import SendableBundle

MACHINE = "x86_64"
CPU_TORCH = "torch-2.13.0+cpu"


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A checkout of the project, in small."""
    folder = tmp_path / "code"
    for package in ("asr_flywheel", "blocks", "flows", "tasks"):
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").write_text(f"NAME = {package!r}\n")
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "clinical-asr-flywheel"\nversion = "0.2.0"\n'
    )
    (folder / "constraints.txt").touch()
    return folder


def make(
    tmp_path: Path,
    code: Path,
    *,
    wheels: tuple[str, ...] = ("nemo_toolkit",),
    project: str = "0.2.0",
    **about: Any,
) -> Path:
    """The parts of a bundle of the project; the folder above them."""
    files, out = tmp_path / "files", tmp_path / "bundle"
    files.mkdir()
    for name in wheels:
        offline_bundles.write_wheel(files, name, padding=2000)
    if project:
        offline_bundles.write_project_wheel(files, code, project)
    plain = offline_bundles.about(BundleLayout.WHOLE, "3.11")
    told = replace(plain, **{"machine": MACHINE, "project": project or "0.2.0", **about})
    write_parts(offline_bundles.describe_all(files), files, out, 2500, told, lambda _line: None)
    return out


def check(
    named: list[Path],
    code: Path,
    *,
    machine: str | None = MACHINE,
    trains: bool = True,
    gpu: bool = True,
) -> SendableBundle:
    """Check it for a host that trains in it."""
    return sendable_bundle.check_for_host(named, code, machine=machine, trains=trains, gpu=gpu)


def test_a_bundle_is_named_by_its_parts_or_by_the_folder_above_them(
    tmp_path: Path, code: Path
) -> None:
    """In any order; what is sent is every file of them."""
    out = make(tmp_path, code)
    parts = offline_bundles.list_parts(out)
    assert len(parts) > 1
    found = check([out], code)
    assert found.folders == check(parts[::-1], code).folders == parts
    assert found.bytes == sum(file.stat().st_size for part in parts for file in part.iterdir())
    assert found.installed_bytes > 2000


def test_a_part_that_is_not_named_is_told(tmp_path: Path, code: Path) -> None:
    """The host would refuse it after hours of sending."""
    parts = offline_bundles.list_parts(make(tmp_path, code))
    with pytest.raises(InputError, match=rf"{parts[-1].name}: not named, and the bundle has"):
        check(parts[:-1], code)


def test_a_changed_file_is_told(tmp_path: Path, code: Path) -> None:
    """By its hash, where its size is what it was."""
    out = make(tmp_path, code)
    piece = next(out.glob("part-2/*.whl*"))
    piece.write_bytes(piece.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match=rf"{piece.name}: its SHA-256 is"):
        check([out], code)


@pytest.mark.parametrize(
    ("given", "asked", "says"),
    [
        ({"machine": "aarch64"}, {}, r"is for aarch64, and the host is x86_64.*--machine x86_64"),
        ({"project": "0.1.0"}, {}, r"has version 0\.1\.0 .* runs 0\.2\.0"),
        ({"wheels": ("one",)}, {}, r"has no NeMo.*--extra nemo"),
        ({"wheels": (CPU_TORCH,)}, {}, r"has no NeMo"),
        ({"wheels": ("nemo_toolkit", CPU_TORCH)}, {}, r"torch-2\.13\.0\+cpu.* cannot use a GPU"),
        ({"wheels": ("nemo_toolkit", CPU_TORCH)}, {"gpu": False}, ""),
        ({"wheels": (CPU_TORCH,)}, {"trains": False}, ""),
        ({"layout": BundleLayout.BESIDE}, {}, "leaves packages to the host.*without --have"),
        ({"project": ""}, {}, "this project is not in the bundle"),
        ({"wheels": ("one",)}, {"trains": False}, ""),
        ({"machine": "aarch64"}, {"machine": None}, ""),
    ],
)
def test_what_does_not_fit_the_run_is_refused_with_a_fix(
    tmp_path: Path, code: Path, given: dict[str, Any], asked: dict[str, Any], says: str
) -> None:
    """Processor, version, NeMo and layout; an image needs no NeMo, an unknown host no processor."""
    out = make(tmp_path, code, **given)
    if not says:
        assert check([out], code, **asked).about.python == "3.11"
        return
    with pytest.raises(InputError, match=says) as refused:
        check([out], code, **asked)
    assert "Fix: " in str(refused.value)


@pytest.mark.parametrize("name", ["flows/__init__.py", "flows/added.py"])
def test_other_code_of_the_same_version_is_refused(tmp_path: Path, code: Path, name: str) -> None:
    """A checkout changes between releases: its parameters would fail on a host that costs."""
    out = make(tmp_path, code)
    (code / name).write_text("CHANGED = True\n")
    with pytest.raises(InputError, match=rf"not that of this machine .*: {name}\. Fix: "):
        check([out], code)


@pytest.mark.parametrize(
    ("wheel", "minor"),
    [
        ("torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl", 28),
        ("numpy-2.4-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl", 27),
        ("old-1-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl", 17),
        ("pure-1-py3-none-any.whl", 0),
    ],
)
def test_wheels_tell_the_oldest_c_library(wheel: str, minor: int) -> None:
    """The most lenient of a wheel's tags counts."""
    assert sendable_bundle.oldest_glibc(wheel) == minor
