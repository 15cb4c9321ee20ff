"""What several tests of this are made of."""

from __future__ import annotations

from tasks.runtimes.hardware import Gpu, Hardware

L40S, RTX, CPU = "NVIDIA L40S", "NVIDIA GeForce RTX 4090", Hardware((), 2)


def with_driver(driver: str, name: str = RTX) -> Hardware:
    """A host with one GPU."""
    return Hardware((Gpu(name, 24_000, driver, "GPU-1"),), 8)
