"""What every stage of one run shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from flows.config import CycleConfig
    from tasks.data.cycle_folder import Cycle
    from tasks.runtimes.base import Runtime


@dataclass(frozen=True, slots=True)
class CycleRun:
    """One run of the flywheel on one cycle, once the gate has let it pass.

    Attributes:
        config: its parameters.
        cycle: cycle N.
        base_model: the .nemo that is tuned.
        runtime: where NeMo trains and decodes.
        general: the manifest of general English; None where forgetting is not checked.
    """

    config: CycleConfig
    cycle: Cycle
    base_model: Path
    runtime: Runtime
    general: Path | None = None

    @property
    def audio_roots(self) -> tuple[Path, ...]:
        """The folders under which all audio of the run lies, links followed."""
        general = () if self.general is None else (self.general.parent.resolve(),)
        return (*self.config.roots(self.cycle.path), *general)
