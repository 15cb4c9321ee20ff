"""Libraries that would report to their makers are kept from it: a clinic's machine calls nobody."""

from __future__ import annotations

import os

_SETTINGS = {
    # The server that a run starts for itself, and Prefect's client. Others heed the second too.
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    # onnxruntime from 1.29 on writes events into ~/.cache/Microsoft and sends them, on Linux too.
    "ORT_DISABLE_TELEMETRY": "1",
}


def forbid_telemetry() -> None:
    """Set the variables that the libraries heed; what the user has set stays.

    Call it before they are imported. Processes that this one starts inherit it.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
