"""The settings of a GPU host, by its provider."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tasks.common.parameter_model import ParameterModel
from tasks.gpu_hosts.ssh import SshSettings


class SshHostSettings(ParameterModel):
    """A host that the user already has, over SSH."""

    provider: Literal["ssh"] = Field("ssh", title="Provider", description="A host of your own.")
    ssh: SshSettings = Field(title="SSH", description="How it is reached.")
    folder: str = Field(
        "asr-flywheel",
        title="Folder",
        description="On the host: an absolute path, or one below the home folder.",
        pattern=r"^[A-Za-z0-9_./-]+$",
    )
    python: str | None = Field(
        None,
        title="Python",
        description="On the host, with this project installed; empty: it is installed there. With "
        "an offline bundle: the interpreter that it is installed for.",
        examples=["/opt/asr/bin/python"],
        pattern=r"^[A-Za-z0-9_./+-]+$",
    )
    give_back: str = Field(
        "",
        title="Command at the end",
        description="Runs on the host when it is given back, such as sudo shutdown -h now.",
    )
    at_limit: str = Field(
        "",
        title="Command at the time limit",
        description="Runs on the host if nobody gave it back in time.",
    )


class BrevSettings(ParameterModel):
    """A host that NVIDIA Brev rents out by the second."""

    provider: Literal["brev"] = Field("brev", title="Provider", description="NVIDIA Brev.")
    program: str = Field("brev", title="Program", description="Brev's CLI, logged in.")
    organisation: str = Field(
        "",
        title="Organisation",
        description="Name or id of the one that pays; it must be the active one of brev's CLI "
        "(`brev set NAME`). Empty: whichever is active.",
    )
    ssh_config: str | None = Field(
        None, title="ssh configuration", description="Where brev refresh writes, if not ~/.ssh."
    )
    python: str | None = Field(
        None,
        title="Python",
        description="On the host, with this project installed; empty: it is installed there. With "
        "an offline bundle: the interpreter that it is installed for.",
        examples=["/opt/asr/bin/python"],
    )
    at_limit: str = Field(
        "sudo shutdown -h now",
        title="Command at the time limit",
        description="Runs on the host if nobody gave it back in time. Whether a host that shut "
        "itself down bills on is the cloud's decision: look with `brev ls`.",
    )
    settle_s: float = Field(
        180,
        ge=0,
        title="Time to be listed (s)",
        description="How long an order may take to show in `brev ls`. Before, a host that is not "
        "listed there does not count as absent.",
    )


Provider = Annotated[SshHostSettings | BrevSettings, Field(discriminator="provider")]
