"""Making a bundle: what is refused before anything is resolved or downloaded."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest

from tasks.airgap import bundle_making
from tasks.airgap.bundle_making import BundleRequest
from tasks.airgap.wheel_resolution import WheelTarget
from tasks.common.errors import InputError

ROOT = Path(__file__).parents[3]
TARGET = WheelTarget("3.12")


def refused(request: BundleRequest) -> str:
    """Why a request is refused."""
    with pytest.raises(InputError) as wrong:
        bundle_making.make(request, print)
    return str(wrong.value)


def test_what_cannot_be_made_is_refused_with_a_fix(tmp_path: Path, lower_nemo: Path) -> None:
    """A folder that holds something, no checkout, HAVE without torch, an absent and an odd base."""
    freeze = tmp_path / "freeze.txt"
    freeze.write_text("numpy==2.4.6\n")
    out = tmp_path / "out"
    assert "is not empty" in refused(BundleRequest(tmp_path, ROOT, TARGET))
    assert "--source FOLDER names one" in refused(BundleRequest(out, tmp_path, TARGET))
    assert "names no torch" in refused(BundleRequest(out, ROOT, TARGET, have=(freeze,)))
    assert "neither a file nor a known base" in refused(
        BundleRequest(out, ROOT, TARGET, bases=("absent.nemo",))
    )
    odd = tmp_path / "ward 7.nemo"
    shutil.copyfile(lower_nemo, odd)
    assert "name cannot be in a bundle" in refused(
        BundleRequest(out, ROOT, TARGET, bases=(str(odd),))
    )
    assert not out.exists()


def test_wheels_are_asked_for_the_targets_processor_and_c_library() -> None:
    """Newer manylinux tags than the target's glibc are not among the platforms."""
    options = WheelTarget("3.11", "aarch64", 28).pip_options()
    platforms = [after for before, after in itertools.pairwise(options) if before == "--platform"]
    assert platforms[0] == "manylinux_2_28_aarch64"
    assert "manylinux2014_aarch64" in platforms
    assert not any("x86_64" in platform for platform in platforms)
    assert options[:2] == ["--python-version", "3.11"]
