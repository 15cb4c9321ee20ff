"""Plans and steps of a rehearsal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asr_flywheel.rehearsal_commands import Commands, RehearsalPlan, RehearsalStep
from tests.support.hosts import CPU

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tasks.runtimes.hardware import Hardware


def plan(folder: Path, host: Hardware = CPU, **more: Any) -> RehearsalPlan:
    """A plan in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return RehearsalPlan(folder, host, **more)


def step(
    name: str, run: Callable[[RehearsalPlan, Commands], dict[str, Any]], **more: Any
) -> RehearsalStep:
    """A step that does what it is given."""
    return RehearsalStep(name, "", run, **more)
