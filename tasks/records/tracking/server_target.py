"""The tracking server that a run is sent to, and what is set for the process that sends."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tasks.common.errors import InputError
from tasks.common.installation import install_fix

if TYPE_CHECKING:
    from collections.abc import Mapping

URI_VARIABLE = "ASR_FLYWHEEL_TRACKING_SERVER"
"""By which the sending process learns the address."""
_SETTINGS = {
    # MLflow's client reports to its maker from 3.2 on.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_PATIENCE = {
    # Its own seven tries would take minutes; the outbox is sent again by itself.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


@dataclass(frozen=True, slots=True)
class TrackingTarget:
    """A tracking server.

    Attributes:
        uri: its address, without credentials.
        credentials: MLflow's variables with user, password or token, from a block; those of the
            environment count without one.
    """

    uri: str
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)

    def environment(self) -> dict[str, str]:
        """Return the environment of the process that sends; nothing of it is on a command line."""
        return {
            **_PATIENCE,
            **os.environ,
            **_SETTINGS,
            **self.credentials,
            URI_VARIABLE: self.uri,
        }


def require_client() -> None:
    """Make sure that MLflow's client is installed, before anything is spent.

    Raises:
        InputError: it is not.
    """
    if importlib.util.find_spec("mlflow") is None:
        raise InputError(
            f"track: MLflow's client is not installed. Fix: {install_fix('mlflow')}, or leave "
            "--track out and send the run later, with `asr-flywheel track`."
        )
