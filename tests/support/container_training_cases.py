"""What several tests of this are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.models import catalog
from tasks.runtimes.container import ContainerRuntime
from tasks.runtimes.container_settings import ContainerSettings
from tasks.runtimes.hardware import Hardware
from tasks.training import run as training_run
from tasks.training.recipes import Recipe
from tests.support import docker_daemon

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.data.cycle_folder import Cycle
    from tasks.data.training_set import TrainingSet

NASTY = "clinic $HOME ${x} 'a' \"b\", c=d [e] {f} é #&;"


def container() -> ContainerRuntime:
    """The stand-in image on the CPU."""
    settings = ContainerSettings(image=docker_daemon.STANDIN, abandoned_after_s=20)
    return ContainerRuntime(settings, Hardware((), 2))


def request_for(
    cycle: Cycle, data: TrainingSet, roots: tuple[Path, ...], name: str, epochs: int
) -> training_run.SftRequest:
    """A tuning run of the embedded base."""
    return training_run.SftRequest(
        base=catalog.embedded_path(),
        base_name="embedded",
        data=data,
        recipe=Recipe(epochs=epochs),
        model_dir=cycle.path / "models" / name,
        audio_roots=(cycle.path, *roots),
        key=name,
        labels={"cycle": str(cycle.path), "run": name},
    )
