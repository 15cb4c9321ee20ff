"""A Riva speech endpoint as a Prefect block: settle it once, then validate by its name."""

from __future__ import annotations

from prefect.blocks.core import Block
from pydantic import Field, HttpUrl

from tasks.serving.riva_client import EndpointSettings


class RivaEndpoint(Block):
    """A served speech model, and where its key is kept.

    Example:
        Use it:
        ```python
        from blocks.riva_endpoint import RivaEndpoint

        endpoint = RivaEndpoint.load("BLOCK_NAME")
        ```
    """

    _block_type_name = "Riva Endpoint"
    _block_type_slug = "riva-endpoint"
    _description = "A Riva speech endpoint: a server of your own, or NVIDIA's hosted one."
    _documentation_url = HttpUrl("https://docs.nvidia.com/nim/speech/latest/asr/")

    settings: EndpointSettings = Field(
        default_factory=EndpointSettings,
        title="Endpoint",
        description="Where it is, and what is asked of it.",
    )
    api_key_secret: str | None = Field(
        None,
        title="API key's Secret block",
        description="Name of the Secret block with a hosted function's key; else NVIDIA_API_KEY.",
    )
