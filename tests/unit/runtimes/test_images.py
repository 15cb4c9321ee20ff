"""Images: what a probe finds in a real one, and the drivers that known and unknown ones need."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tasks.runtimes import base as runtimes
from tasks.runtimes import images
from tasks.runtimes.container import ContainerRuntime
from tasks.runtimes.container_settings import EXAMPLES, IMAGE, ContainerSettings
from tasks.runtimes.failures import Fault, FaultError
from tasks.stages import container_checks
from tasks.stages.check_result import CheckContext, CheckStatus
from tests.support import recorded_engine
from tests.support.hosts import CPU, L40S, RTX, with_driver

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of an earlier test is remembered."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("tasks.runtimes.container._PROBED", {})


def test_a_known_images_driver_is_checked_before_it_is_pulled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """12 GB that cannot run are not fetched; both remedies are named."""
    socket = tmp_path / "engine.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{socket}")
    absent = {"GET /images/": (404, {"message": f"No such image: {IMAGE}"})}
    with recorded_engine.answering(socket, absent) as asked:
        found = ContainerRuntime(ContainerSettings(), with_driver("550.54.15"))
        with pytest.raises(FaultError) as failed:
            found.check()
        assert not [one for one in asked.asked if one.startswith("POST")]
    assert failed.value.fault is Fault.DRIVER_TOO_OLD
    told = str(failed.value)
    assert f"{IMAGE}: driver 550.54.15 found, 580 or newer needed for CUDA 13.0" in told
    assert "install driver 580 or newer, or take nvcr.io/nvidia/nemo:25.09 (CUDA 12.9)" in told


FITS, OLD = "fits", "too old"
SPEECH = "nvcr.io/nvidia/nemo-speech:26.07.00"
HOOK = (
    "cuda>=13.0 brand=tesla,driver>=535,driver<536 brand=nvidia,driver>=535,driver<536 "
    "brand=tesla,driver>=570,driver<571"
)


@pytest.mark.parametrize(
    ("image", "environment", "driver", "gpu", "ends", "says"),
    [
        # CUDA 13: from R580 on; older branches only by the compatibility package.
        (IMAGE, {}, "580.65.06", RTX, FITS, ""),
        (IMAGE, {}, "575.57.08", RTX, OLD, "580 or newer needed for CUDA 13.0"),
        (IMAGE, {}, "570.86.15", L40S, FITS, "compatibility package may bridge R570"),
        (IMAGE, {}, "560.28.03", L40S, OLD, "580 or newer"),
        (IMAGE, {}, "570.86.15", "NVIDIA RTX A4000", OLD, "580 or newer"),
        # CUDA 12.9: from R525 on, with a limited feature set before R575.
        ("nvcr.io/nvidia/nemo:25.09", {}, "525.60.13", RTX, FITS, "minor-version compatibility"),
        ("nvcr.io/nvidia/nemo:25.09", {}, "575.51.03", RTX, FITS, ""),
        ("nvcr.io/nvidia/nemo:25.09.01", {}, "515.65.01", RTX, OLD, "525 or newer"),
        # What NVIDIA asks for one image counts more than the rule for its CUDA.
        (SPEECH, {}, "580.95.05", RTX, OLD, "595.58 or newer needed for CUDA 13.2"),
        (SPEECH, {}, "580.95.05", "NVIDIA H100 80GB HBM3", FITS, "data-centre GPU"),
        (SPEECH, {}, "595.58.03", RTX, FITS, ""),
        # An unknown image, by its own words; NVIDIA's hook is stricter than the rule.
        ("mine:1", {"CUDA_VERSION": "12.8.1"}, "535.54", RTX, FITS, "minor-version"),
        ("mine:1", {"CUDA_VERSION": "12.8.1", "NVIDIA_REQUIRE_CUDA": "cuda>=12.8"}, "535.54", RTX,
         OLD, "cuda>=12.8 needed (the image's NVIDIA_REQUIRE_CUDA)"),
        ("mine:1", {"NVIDIA_REQUIRE_CUDA": HOOK}, "570.86", L40S, FITS, "may bridge R570"),
        ("mine:1", {"NVIDIA_REQUIRE_CUDA": HOOK}, "570.86", RTX, OLD, "cuda>=13.0 needed"),
        ("mine:1", {"NVIDIA_REQUIRE_CUDA": HOOK}, "550.54", L40S, OLD, "cuda>=13.0 needed"),
        # NVIDIA's framework images say so little there.
        ("mine:1", {"CUDA_VERSION": "13.0.2.006", "NVIDIA_REQUIRE_CUDA": "cuda>=9.0"}, "580.95",
         RTX, FITS, ""),
        ("mine:1", {}, "470.57", RTX, FITS, ""),
        (IMAGE, {}, "", RTX, FITS, ""),
    ],
)  # fmt: skip
def test_drivers(
    image: str, environment: dict[str, str], driver: str, gpu: str, ends: str, says: str
) -> None:
    """NVIDIA's rules, by figures on both sides of each limit."""
    verdict = images.check_driver(images.need(image, environment), with_driver(driver, gpu).gpus)
    assert verdict.fits is (ends == FITS), verdict
    assert says in verdict.says
    assert bool(verdict.says) is bool(says)
    assert ends == FITS or verdict.fix.startswith("install driver ")


def test_a_driver_that_nothing_fits() -> None:
    """No older image is made up."""
    verdict = images.check_driver(images.need(IMAGE, {}), with_driver("470.57").gpus)
    assert verdict.fix.endswith("no older image that this project knows runs on this driver")


def test_a_finished_training_of_the_default_image_is_found_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The runtime's part of the run's key is the image's name, byte for byte."""
    held = images.Held("2.6.0", "2.9.0", "13.0", "3.12.3", "/opt/NeMo/nemo", True, EXAMPLES)
    probed = {(IMAGE, "python", EXAMPLES, runtimes.ENTRY): held}
    monkeypatch.setattr("tasks.runtimes.container._PROBED", probed)
    assert ContainerRuntime(ContainerSettings(), CPU).identity == "nvcr.io/nvidia/nemo:25.11.01"


def test_the_doctor_tells_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is pulled."""
    socket = tmp_path / "engine.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{socket}")
    host = with_driver("550.54.15")
    with recorded_engine.answering(socket, {"GET /images/": (200, [])}):
        asked = CheckContext("container", "embedded", IMAGE, None, tmp_path, host)
        found = container_checks.image(asked)
    assert found.state is CheckStatus.MISSING
    assert "driver 550.54.15 found, 580 or newer needed" in found.says
    assert "nvcr.io/nvidia/nemo:25.09" in found.fix


def test_a_probes_answer_among_other_lines() -> None:
    """NVIDIA's entry point prints a page before the program starts."""
    held = images.Held("2.6.0", "", "", "3.12.3", "", True, "")
    told = images.PREFIX + json.dumps({name: getattr(held, name) for name in held.__slots__})
    assert images.parse(["== PyTorch ==", told, "bye"]) == held
    assert images.parse(["== PyTorch =="]) is None
