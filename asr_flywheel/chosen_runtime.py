"""The runtime that ``--runtime`` and ``--image`` name, for commands that start a job themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from asr_flywheel.options import check_options
from flows.config_fields import RuntimeName
from tasks.common.errors import InputError

if TYPE_CHECKING:
    from tasks.runtimes.base import Runtime


def choose_runtime(name: RuntimeName, image: str, *, trust: bool) -> Runtime:
    """Return the runtime, not yet checked.

    Args:
        name: local or container.
        image: of a container.
        trust: whether a .nemo may run code of its own.

    Raises:
        InputError: these commands start no job of a cluster, or it is no image.
    """
    if name is RuntimeName.SLURM:
        raise InputError(
            "--runtime slurm: this command starts no job of a cluster. Fix: start it on a node, as "
            "by `srun --pty`, with --runtime local."
        )
    # No cycle is known here, and none of its parameters but these two are looked at.
    config = check_options(Path(), runtime=name, container={"image": image}, trust=trust)
    from tasks.runtimes import hardware  # noqa: PLC0415 - a docker client for what asks for one
    from tasks.runtimes.container import ContainerRuntime  # noqa: PLC0415 - likewise
    from tasks.runtimes.local import LocalRuntime  # noqa: PLC0415 - likewise

    here = hardware.detect()
    if name is RuntimeName.CONTAINER:
        return ContainerRuntime(config.container, here, trust)
    return LocalRuntime(here, trust=trust)
