"""The host's load, under MLflow's names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.records.tracking.system_metrics import SystemMetrics, gpu_figures

if TYPE_CHECKING:
    from pathlib import Path


def test_the_host_is_read(tmp_path: Path) -> None:
    """Shares lie between 0 and 100."""
    found = SystemMetrics(tmp_path).read()
    assert found["system/system_memory_usage_megabytes"] > 0
    for name, value in found.items():
        if name.endswith("_percentage"):
            assert 0 <= value <= 100


def test_what_a_card_does_not_tell_is_left_out() -> None:
    """Some cards answer [N/A]."""
    assert gpu_figures("0, 93, 1024, 143771, 512.4\n1, [N/A], 12, 143771, [N/A]\n") == {
        "gpu_0_utilization_percentage": 93.0,
        "gpu_0_memory_usage_megabytes": 1024.0,
        "gpu_0_memory_total_megabytes": 143771.0,
        "gpu_0_power_usage_watts": 512.4,
        "gpu_1_memory_usage_megabytes": 12.0,
        "gpu_1_memory_total_megabytes": 143771.0,
    }
