"""Hosts that tests tell the product of."""

from __future__ import annotations

from tasks.runtimes.hardware import Gpu, Hardware

CPU = Hardware((), 2)
L40S, RTX = "NVIDIA L40S", "NVIDIA GeForce RTX 4090"


def with_driver(driver: str, name: str = RTX) -> Hardware:
    """A host with one GPU."""
    return Hardware((Gpu(name, 24_000, driver, "GPU-1"),), 8)
