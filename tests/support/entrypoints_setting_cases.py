"""What several tests of this are made of."""

from __future__ import annotations

from tasks.runtimes.hardware import Hardware

CPU = Hardware((), 2)
