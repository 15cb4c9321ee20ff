"""GPU hosts as Prefect blocks: settle once from whom a host comes; rentals refer to it by name.

What a host can do (create, wait, run a script, copy, give back, tell its state) is one interface in
tasks/gpu_hosts/host_interface.py; ``open`` gives it for one rental.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect.blocks.core import Block
from pydantic import Field, HttpUrl

from tasks.gpu_hosts.host_settings import BrevSettings, SshHostSettings
from tasks.gpu_hosts.providers import open_host

if TYPE_CHECKING:
    from tasks.gpu_hosts.host_interface import Host


class SshGpuHost(Block):
    """A host with a GPU that the user already has, over SSH.

    Example:
        Use it:
        ```python
        from blocks.gpu_host import SshGpuHost

        host = SshGpuHost.load("BLOCK_NAME").open("LEASE")
        ```
    """

    _block_type_name = "SSH GPU Host"
    _block_type_slug = "ssh-gpu-host"
    _description = "A host that is there already: runs a cycle on it and leaves nothing running."
    _documentation_url = HttpUrl("https://docs.prefect.io/v3/concepts/blocks")

    settings: SshHostSettings = Field(
        title="Host", description="How it is reached and what is on it."
    )

    def open(self, lease: str) -> Host:
        """Open the host for one rental; the lease's id tells it from others."""
        return open_host(self.settings, lease)


class BrevGpuHost(Block):
    """A host that NVIDIA Brev rents out by the second, through its command line.

    Example:
        Use it:
        ```python
        from blocks.gpu_host import BrevGpuHost

        host = BrevGpuHost.load("BLOCK_NAME").open("LEASE")
        ```
    """

    _block_type_name = "Brev GPU Host"
    _block_type_slug = "brev-gpu-host"
    _description = "Rents a host at NVIDIA Brev for a cycle and gives it back. Log in by yourself."
    _documentation_url = HttpUrl("https://docs.nvidia.com/brev/cli")

    settings: BrevSettings = Field(
        default_factory=BrevSettings,
        title="Brev",
        description="What happens at the end, and where.",
    )

    def open(self, lease: str) -> Host:
        """Open the host for one rental; create nothing yet."""
        return open_host(self.settings, lease)


BLOCKS = (SshGpuHost, BrevGpuHost)
