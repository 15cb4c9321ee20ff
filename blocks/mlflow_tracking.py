"""An MLflow tracking server as a Prefect block: its address and its credentials, kept once."""

from __future__ import annotations

from prefect.blocks.core import Block
from pydantic import Field, HttpUrl, SecretStr

from blocks.saved_blocks import load_block
from tasks.records.tracking import tracking_names
from tasks.records.tracking.server_target import TrackingTarget, require_client


class MlflowTracking(Block):
    """A tracking server, and the credentials that it asks for.

    Example:
        Use it:
        ```python
        from blocks.mlflow_tracking import MlflowTracking

        target = MlflowTracking.load("BLOCK_NAME").target()
        ```
    """

    _block_type_name = "MLflow Tracking"
    _block_type_slug = tracking_names.BLOCK
    _description = "An MLflow server that runs of a cycle are sent to."
    _documentation_url = HttpUrl("https://mlflow.org/docs/latest/ml/tracking/")

    uri: str = Field(
        title="Address",
        description="http://HOST:PORT or https://HOST, without a user or a password.",
        pattern=r"^https?://[^\s@?#]+$",
    )
    username: str | None = Field(None, title="User", description="For basic authentication.")
    password: SecretStr | None = Field(
        None, title="Password", description="For basic authentication."
    )
    token: SecretStr | None = Field(
        None, title="Token", description="A bearer token, in the place of user and password."
    )

    def target(self) -> TrackingTarget:
        """Return the server with its credentials, as MLflow's variables."""
        given = {
            "MLFLOW_TRACKING_USERNAME": self.username,
            "MLFLOW_TRACKING_PASSWORD": self.password and self.password.get_secret_value(),
            "MLFLOW_TRACKING_TOKEN": self.token and self.token.get_secret_value(),
        }
        credentials = {name: value for name, value in given.items() if value}
        return TrackingTarget(self.uri.rstrip("/"), credentials)


def open_target(name: str) -> TrackingTarget:
    """Open a tracking server by its name.

    Args:
        name: its address, with the credentials of MLflow's variables; or ``mlflow-tracking/NAME``
            for a saved block.

    Raises:
        InputError: no server has such a name, there is no such block, or MLflow is not installed.
    """
    checked = tracking_names.server_name(name)
    require_client()
    kind, _, block = checked.partition("/")
    if kind != tracking_names.BLOCK:
        return TrackingTarget(checked)
    return load_block(MlflowTracking, block, "track", "give the server's address").target()
