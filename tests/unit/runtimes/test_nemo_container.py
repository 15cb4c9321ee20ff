"""The NeMo container block: Prefect's own test suite, and a real engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prefect.testing.standard_test_suites.blocks import BlockStandardTestSuite

from blocks.nemo_container import NemoContainer
from tasks.common.errors import InputError
from tasks.runtimes.container import ContainerRuntime
from tasks.runtimes.container_settings import ContainerSettings
from tasks.runtimes.hardware import Gpu, Hardware

if TYPE_CHECKING:
    from prefect.blocks.core import Block


TWO_GPUS = Hardware(
    (Gpu("NVIDIA L40S", 46_068, "580.1", "GPU-aa"), Gpu("NVIDIA L4", 23_034, "580.1", "GPU-bb")), 8
)
ONE_GPU = Hardware((Gpu("NVIDIA L40S", 46_068),), 8)


class TestStandards(BlockStandardTestSuite):
    """What Prefect asks of every block: documentation, an example, described fields."""

    @pytest.fixture
    def block(self) -> type[NemoContainer]:
        """The block."""
        return NemoContainer

    def test_has_a_valid_image(self, block: type[Block]) -> None:
        """It has none: a logo is fetched from another host, and a clinic's site has no way out."""
        assert block._logo_url is None


def test_every_setting_explains_itself() -> None:
    """The form in the UI has a title and a description for each field."""
    for name, field in ContainerSettings.model_fields.items():
        assert field.title, name
        assert field.description, name


@pytest.mark.parametrize(
    ("gpus", "host", "asked"),
    [
        ("auto", Hardware((), 2), ""),
        ("auto", ONE_GPU, "all"),
        ("none", ONE_GPU, ""),
        ("all", Hardware((), 2), "all"),
        ("count=2", Hardware((), 2), "count=2"),
        ("0,1", Hardware((), 2), "0,1"),
        ("auto", TWO_GPUS, "GPU-aa,GPU-bb"),
        ("all", TWO_GPUS, "GPU-aa,GPU-bb"),
        ("count=1", TWO_GPUS, "GPU-aa"),
        ("1", TWO_GPUS, "GPU-bb"),
    ],
)
def test_gpus_are_asked_for_as_set(gpus: str, host: Hardware, asked: str) -> None:
    """By name where the host tells it, since the engine counts GPUs that this user may not see."""
    spec = ContainerSettings(gpus=gpus).spec(("true",), (), host, {})
    assert spec.gpus == asked
    assert spec.environment.get("GOMP_SPINCOUNT") == (None if asked else "3000")


@pytest.mark.parametrize("gpus", ["2", "0,5", "count=3"])
def test_gpus_that_the_host_lacks_are_refused(gpus: str) -> None:
    """Before an image is pulled; with how many there are."""
    runtime = ContainerRuntime(ContainerSettings(gpus=gpus), TWO_GPUS)
    with pytest.raises(InputError, match="sees 2 GPUs here"):
        runtime.check()


def test_settings_reach_the_engine() -> None:
    """Sizes in GiB become bytes; the caller owns the outputs unless told otherwise."""
    settings = ContainerSettings(
        shm_gib=2, memory_gib=3, tmp_gib=1, user="7:8", network="bridge", unlimited_memlock=True
    )
    spec = settings.spec(("true",), (), ONE_GPU, {})
    assert (spec.shm_bytes, spec.memory_bytes, spec.tmp_bytes) == (2 << 30, 3 << 30, 1 << 30)
    assert (spec.user, spec.network, spec.unlimited_memlock) == ("7:8", "bridge", True)
