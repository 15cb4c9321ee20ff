"""What a benchmark's figures belong to."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from tasks.training.run_info import versions

if TYPE_CHECKING:
    from tasks.runtimes.hardware import Hardware


def provenance(host: Hardware) -> dict[str, Any]:
    """Return date, command line, hardware and versions.

    Args:
        host: on which the benchmark measures.
    """
    return {
        "date": time.strftime("%Y-%m-%d"),
        "command": sys.argv[1:],
        "gpus": [gpu.name for gpu in host.gpus],
        "drivers": sorted({gpu.driver for gpu in host.gpus}),
        "cores": host.cores,
        "versions": versions(),
    }
