"""The GPU and its driver: what is missing, and what is only told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tasks.runtimes.hardware import Gpu, Hardware
from tasks.stages import gpu_checks
from tasks.stages.check_result import CheckStatus
from tests.support.host_checks_cases import run_context, smi

if TYPE_CHECKING:
    from pathlib import Path


def test_a_driver_without_a_gpu_is_missing_hardware(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """nvidia-smi that fails is a broken driver; none at all is a machine without a GPU."""
    assert gpu_checks.gpu(run_context()).state is CheckStatus.NOTE
    smi(monkeypatch, tmp_path, "no devices were found", 6)
    assert gpu_checks.gpu(run_context()).state is CheckStatus.MISSING


@pytest.mark.parametrize(
    ("memory", "state"),
    [
        (81559, CheckStatus.OK),
        (23034, CheckStatus.OK),
        (11019, CheckStatus.NOTE),
        (0, CheckStatus.OK),
    ],
)
def test_a_small_card_is_told(memory: int, state: CheckStatus) -> None:
    """The specification asks for 16 GB; a card that does not tell its memory is not judged."""
    host = Hardware((Gpu("card", memory, "570.1", "GPU-1"),), 8)
    assert gpu_checks.gpu(run_context(host=host)).state is state


@pytest.mark.parametrize(
    ("version", "state"),
    [
        ("570.86.15", CheckStatus.OK),
        ("560.28.03", CheckStatus.OK),
        ("550.54.15", CheckStatus.NOTE),
        ("", CheckStatus.OK),
    ],
)
def test_a_driver_older_than_cuda_12_6_is_told(version: str, state: CheckStatus) -> None:
    """CUDA-graph decoding would fall back without a word."""
    host = Hardware((Gpu("card", 81559, version, "GPU-1"),), 8)
    assert gpu_checks.driver(run_context(host=host)).state is state
