"""The NeMo container as a Prefect block: settle it once in the UI, then refer to it by name.

A cycle's flow takes the block's settings by its name (``container_block``). By itself the block
runs any command in the same safe container: trigger, wait, fetch. Both go through
tasks/runtimes/docker_engine.py.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from prefect.blocks.abstract import JobBlock, JobRun
from pydantic import Field, HttpUrl

from tasks.common.errors import TrainingError
from tasks.runtimes import docker_engine, hardware
from tasks.runtimes.container_settings import Bind, ContainerSettings
from tasks.runtimes.job_owner import owner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.runtimes.base import JobResult
    from tasks.runtimes.docker_engine import StartedContainer

_TAIL_LINES = 15


class NemoContainerRun(JobRun[Any]):
    """A started container. ``wait_for_completion`` removes it, however the waiting ends."""

    def __init__(self, container: StartedContainer) -> None:
        self._started = container
        self._ended: JobResult | None = None
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)

    @property
    def container_id(self) -> str:
        """The engine's id of the container."""
        return str(self._started.container.id)

    # The docker SDK is synchronous, and a task that waits for a GPU must be interruptible: Prefect
    # interrupts a synchronous task at once.
    def wait_for_completion(self) -> None:  # type: ignore[override]
        """Stream the output into the run's log until the container ends, then remove it.

        Raises:
            FaultError: the engine went away.
        """
        try:
            self._started.follow(self._line, lambda: None)
            self._ended = self._started.ended()
        finally:
            self._started.remove()

    def fetch_result(self) -> JobResult:  # type: ignore[override]
        """Return the container's end: exit code, whether it ran out of memory, the image's digest.

        Raises:
            TrainingError: it has not ended yet, or it failed; holds the end of its output.
        """
        if self._ended is None:
            raise TrainingError("the container has not ended: call wait_for_completion() first.")
        if self._ended.exit_code != 0 or self._ended.oom_killed:
            reason = "ran out of memory" if self._ended.oom_killed else "failed"
            raise TrainingError(
                f"the container {reason} (exit code {self._ended.exit_code}). The end of its "
                "output:\n" + "\n".join(f"  {line}" for line in self._tail)
            )
        return self._ended

    def _line(self, text: str) -> None:
        self._tail.append(text)
        self.logger.info(text)


class NemoContainer(JobBlock[Any]):
    """NVIDIA's NeMo container in a Docker Engine, with everything about it that a site settles.

    Example:
        Run a command as the block was saved:
        ```python
        from blocks.nemo_container import NemoContainer

        container = NemoContainer.load("BLOCK_NAME")
        run = container.trigger()
        run.wait_for_completion()
        ended = run.fetch_result()
        ```
    """

    _block_type_name = "NeMo Container"
    _block_type_slug = "nemo-container"
    _description = (
        "Runs NVIDIA's NeMo image in a Docker Engine: no network, read-only, unprivileged, inputs "
        "read-only and one output folder. Cycles refer to it by its name."
    )

    _documentation_url = HttpUrl("https://docs.nvidia.com/nemo-framework/user-guide/latest/")

    settings: ContainerSettings = Field(
        default_factory=ContainerSettings,
        title="Container",
        description="Image, GPUs, memory and user; what a cycle that names this block uses.",
    )
    command: list[str] = Field(
        default_factory=lambda: ["nvidia-smi"],
        min_length=1,
        title="Command",
        description="For trigger(): program and arguments, without a shell.",
    )
    inputs: dict[str, Path] = Field(
        default_factory=dict,
        title="Inputs",
        description="For trigger(): read-only folders or files, as path inside: path here.",
    )
    output: Path | None = Field(
        None,
        title="Output folder",
        description="For trigger(): the one folder that can be written, seen as /workspace/out.",
    )
    labels: dict[str, str] = Field(
        default_factory=dict,
        title="Labels",
        description="For trigger(): how the container is found again, such as cycle and run.",
    )

    def trigger(self) -> NemoContainerRun:  # type: ignore[override]
        """Start the command in a container; the image is pulled before anything is created.

        Raises:
            FaultError: no engine, no image, or the engine refuses; nothing is left behind.
        """
        host = hardware.detect()
        spec = self.settings.spec(tuple(self.command), self._binds(), host, self._labels())
        return NemoContainerRun(
            docker_engine.start(docker_engine.connect(), spec, self.logger.info)
        )

    def run(self) -> JobResult:
        """Trigger, wait and fetch in one call.

        Raises:
            FaultError: it could not be run.
            TrainingError: it failed.
        """
        run = self.trigger()
        run.wait_for_completion()
        return run.fetch_result()

    def _binds(self) -> tuple[Bind, ...]:
        binds = [Bind(path, PurePosixPath(place)) for place, path in self.inputs.items()]
        if self.output is not None:
            binds.append(Bind(self.output, PurePosixPath("/workspace/out"), writable=True))
        return tuple(binds)

    def _labels(self) -> Mapping[str, str]:
        return {**self.labels, "job": "block", "owner": owner()}
