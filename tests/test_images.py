"""Images: what a probe finds in a real one, and the drivers that known and unknown ones need."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tasks.common import hashing
from tasks.runtimes import base as runtimes
from tasks.runtimes import docker_engine, images
from tasks.runtimes.container import ContainerRuntime
from tasks.runtimes.container_settings import EXAMPLES, IMAGE, ContainerSettings
from tasks.runtimes.failures import Fault, FaultError
from tasks.runtimes.hardware import Gpu, Hardware
from tasks.stages import host_checks
from tasks.stages.host_checks import CheckContext, CheckStatus
from tests import engines, recorded_engine

if TYPE_CHECKING:
    from pathlib import Path

PACKAGES = "usr/lib/packages"
VARIABLES = f"ENV PYTHONPATH=/{PACKAGES}"
TORCH = {
    f"{PACKAGES}/torch/__init__.py": "raise SystemExit('nobody may import this')\n",
    f"{PACKAGES}/torch/version.py": "__version__ = '2.9.0'\ncuda: str | None = '13.0'\n",
    f"{PACKAGES}/torch-2.9.0.dist-info/METADATA": "Name: torch\nVersion: 2.9.0\n",
}
NEMO = {
    f"{PACKAGES}/nemo/__init__.py": "raise SystemExit('nobody may import this')\n",
    f"{PACKAGES}/nemo/collections/asr/__init__.py": "",
    f"{PACKAGES}/nemo_toolkit-2.6.0.dist-info/METADATA": "Name: nemo_toolkit\nVersion: 2.6.0\n",
    **TORCH,
}
CONFIG = "conf/asr_finetune/speech_to_text_finetune.yaml"
L40S, RTX, CPU = "NVIDIA L40S", "NVIDIA GeForce RTX 4090", Hardware((), 2)


def stock(folder: str) -> dict[str, str]:
    """The stock script's files in a folder."""
    return {f"{folder}/speech_to_text_finetune.py": "", f"{folder}/{CONFIG}": ""}


def with_driver(driver: str, name: str = RTX) -> Hardware:
    """A host with one GPU."""
    return Hardware((Gpu(name, 24_000, driver, "GPU-1"),), 8)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of an earlier test is remembered."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("tasks.runtimes.container._PROBED", {})


@pytest.fixture
def client() -> Any:
    """The engine; every test leaves no container."""
    found = engines.client()
    yield found
    assert docker_engine.orphans(found, {"job": "probe"}) == []


def checked(image: str, **more: Any) -> tuple[ContainerRuntime, list[str]]:
    """The runtime after its check, and what it reported."""
    said: list[str] = []
    found = ContainerRuntime(ContainerSettings(image=image, **more), CPU)
    found.check(said.append)
    return found, said


def test_the_stock_script_where_it_is_expected(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its paths and the run's identity are those of before; the image is asked once."""
    image = engines.python_image(client, "stock", {**NEMO, **stock(EXAMPLES)}, VARIABLES)
    found, said = checked(image)
    assert found.script.path == "/opt/NeMo/examples/asr/speech_to_text_finetune.py"
    assert found.script.config == f"/opt/NeMo/examples/asr/{CONFIG}"
    assert (found.script.own, found.identity) == (False, image)
    (line,) = said
    assert line.startswith(f"{image}: NeMo 2.6.0, torch 2.9.0, CUDA 13.0, Python 3.")
    monkeypatch.setattr("tasks.runtimes.container._PROBED", {})
    monkeypatch.setattr(docker_engine, "run", lambda *_: pytest.fail("probed again"))
    again, said = checked(image)
    assert (again.script, said) == (found.script, [])


def test_the_stock_script_elsewhere(client: Any) -> None:
    """It is used from where it lies, with a word; it is still the image's."""
    image = engines.python_image(
        client, "elsewhere", {**NEMO, **stock("/workspace/NeMo/examples/asr")}, VARIABLES
    )
    found, said = checked(image)
    assert found.script.path == "/workspace/NeMo/examples/asr/speech_to_text_finetune.py"
    assert found.identity == image
    assert f"{image}: the stock script lies in /workspace/NeMo/examples/asr" in said


def test_no_script_is_trained_in_by_our_own(client: Any) -> None:
    """As in nemo-speech, whose package lies in /workspace; a change of our script is a new run."""
    package = {
        "workspace/nemo/package_info.py": "MAJOR = 3\nMINOR = 0\nPATCH = 1\nPRE_RELEASE = ''\n",
        "workspace/nemo/collections/asr/__init__.py": "",
    }
    image = engines.python_image(client, "speech", package, "ENV PYTHONPATH=/workspace")
    found, said = checked(image)
    assert found.script.path == "/opt/asr-flywheel/finetune_script.py"
    assert found.script.config == "/opt/asr-flywheel/conf/sft.yaml"
    assert found.script.own
    assert found.identity == f"{image} {hashing.sha256_file(runtimes.OWN_SCRIPT)} " + (
        hashing.sha256_file(runtimes.ENTRY / runtimes.OWN_CONFIG)
    )
    assert any("this project's own, finetune_script.py" in line for line in said)
    assert any("NeMo 3.0.1," in line for line in said)


def test_no_script_where_one_was_named(client: Any) -> None:
    """A user who names a folder means it; the fault says where one lies."""
    image = engines.python_image(client, "stock", {**NEMO, **stock(EXAMPLES)}, VARIABLES)
    with pytest.raises(FaultError, match="Name the folder") as failed:
        checked(image, examples="/opt/mine")
    assert failed.value.fault is Fault.NO_SCRIPT
    assert f"in /opt/mine; there is one in {EXAMPLES}" in str(failed.value)


@pytest.mark.parametrize(
    ("contents", "told"),
    [(TORCH, "no package nemo"), ({f"{PACKAGES}/nemo/__init__.py": ""}, "no collections/asr")],
)
def test_no_nemo(client: Any, contents: dict[str, str], told: str) -> None:
    """As from nvcr.io/nvidia/nemo:26.04 on; the remedy names images that have one."""
    image = engines.python_image(client, "none", contents, VARIABLES)
    with pytest.raises(FaultError, match=told) as failed:
        checked(image)
    assert failed.value.fault is Fault.NO_NEMO
    assert "nvcr.io/nvidia/nemo:25.11.01" in str(failed.value)
    assert "nvcr.io/nvidia/nemo-speech:26.07.00" in str(failed.value)


def test_an_untried_nemo_is_told_and_not_refused(client: Any) -> None:
    """Older than 2.5."""
    contents = {**NEMO, **stock(EXAMPLES)}
    del contents[f"{PACKAGES}/nemo_toolkit-2.6.0.dist-info/METADATA"]
    contents[f"{PACKAGES}/nemo_toolkit-2.4.0.dist-info/METADATA"] = (
        "Name: nemo_toolkit\nVersion: 2.4.0\n"
    )
    image = engines.python_image(client, "old", contents, VARIABLES)
    _, said = checked(image)
    assert f"{image}: NeMo 2.4.0 is not one that was tried (2.5 to 3.0); the run goes on" in said


def test_an_unknown_images_driver_by_its_own_words(client: Any) -> None:
    """CUDA_VERSION of its configuration, without a probe."""
    image = engines.python_image(client, "cuda", {}, "ENV CUDA_VERSION=13.0.2")
    found = ContainerRuntime(ContainerSettings(image=image), with_driver("550.54.15"))
    with pytest.raises(
        FaultError, match=r"550\.54\.15 found, 580 or newer .*CUDA_VERSION"
    ) as failed:
        found.check()
    assert failed.value.fault is Fault.DRIVER_TOO_OLD


def test_an_unknown_images_driver_by_the_probe(client: Any) -> None:
    """Where the configuration tells nothing, torch does."""
    image = engines.python_image(client, "torch", {**NEMO, **stock(EXAMPLES)}, VARIABLES)
    found = ContainerRuntime(ContainerSettings(image=image), with_driver("550.54.15"))
    with pytest.raises(FaultError, match="torch in the image") as failed:
        found.check()
    assert failed.value.fault is Fault.DRIVER_TOO_OLD


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
        found = host_checks.image(asked)
    assert found.state is CheckStatus.MISSING
    assert "driver 550.54.15 found, 580 or newer needed" in found.says
    assert "nvcr.io/nvidia/nemo:25.09" in found.fix


def test_a_probes_answer_among_other_lines() -> None:
    """NVIDIA's entry point prints a page before the program starts."""
    held = images.Held("2.6.0", "", "", "3.12.3", "", True, "")
    told = images.PREFIX + json.dumps({name: getattr(held, name) for name in held.__slots__})
    assert images.parse(["== PyTorch ==", told, "bye"]) == held
    assert images.parse(["== PyTorch =="]) is None
