"""Images of a real engine: what the probe finds in them, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tasks.common import hashing
from tasks.runtimes import base as runtimes
from tasks.runtimes import docker_engine
from tasks.runtimes.container import ContainerRuntime
from tasks.runtimes.container_settings import EXAMPLES, ContainerSettings
from tasks.runtimes.failures import Fault, FaultError
from tests.support import docker_daemon
from tests.support.hosts import CPU, with_driver

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


def stock(folder: str) -> dict[str, str]:
    """The stock script's files in a folder."""
    return {f"{folder}/speech_to_text_finetune.py": "", f"{folder}/{CONFIG}": ""}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of an earlier test is remembered."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("tasks.runtimes.container._PROBED", {})


@pytest.fixture
def client() -> Any:
    """The engine; every test leaves no container."""
    found = docker_daemon.client()
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
    image = docker_daemon.python_image(client, "stock", {**NEMO, **stock(EXAMPLES)}, VARIABLES)
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
    image = docker_daemon.python_image(
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
    image = docker_daemon.python_image(client, "speech", package, "ENV PYTHONPATH=/workspace")
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
    image = docker_daemon.python_image(client, "stock", {**NEMO, **stock(EXAMPLES)}, VARIABLES)
    with pytest.raises(FaultError, match="Fix: name the folder") as failed:
        checked(image, examples="/opt/mine")
    assert failed.value.fault is Fault.NO_SCRIPT
    assert f"in /opt/mine; there is one in {EXAMPLES}" in str(failed.value)


@pytest.mark.parametrize(
    ("contents", "told"),
    [(TORCH, "no package nemo"), ({f"{PACKAGES}/nemo/__init__.py": ""}, "no collections/asr")],
)
def test_no_nemo(client: Any, contents: dict[str, str], told: str) -> None:
    """As from nvcr.io/nvidia/nemo:26.04 on; the remedy names images that have one."""
    image = docker_daemon.python_image(client, "none", contents, VARIABLES)
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
    image = docker_daemon.python_image(client, "old", contents, VARIABLES)
    _, said = checked(image)
    assert f"{image}: NeMo 2.4.0 is not one that was tried (2.5 to 3.0); the run goes on" in said


def test_an_unknown_images_driver_by_its_own_words(client: Any) -> None:
    """CUDA_VERSION of its configuration, without a probe."""
    image = docker_daemon.python_image(client, "cuda", {}, "ENV CUDA_VERSION=13.0.2")
    found = ContainerRuntime(ContainerSettings(image=image), with_driver("550.54.15"))
    with pytest.raises(
        FaultError, match=r"550\.54\.15 found, 580 or newer .*CUDA_VERSION"
    ) as failed:
        found.check()
    assert failed.value.fault is Fault.DRIVER_TOO_OLD


def test_an_unknown_images_driver_by_the_probe(client: Any) -> None:
    """Where the configuration tells nothing, torch does."""
    image = docker_daemon.python_image(client, "torch", {**NEMO, **stock(EXAMPLES)}, VARIABLES)
    found = ContainerRuntime(ContainerSettings(image=image), with_driver("550.54.15"))
    with pytest.raises(FaultError, match="torch in the image") as failed:
        found.check()
    assert failed.value.fault is Fault.DRIVER_TOO_OLD
