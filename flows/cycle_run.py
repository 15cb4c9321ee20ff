"""What every stage of one run shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.config_fields import BaselineSource
from tasks.records.tracking.run_tracker import UNTRACKED, RunTracker
from tasks.training import tuned_models
from tasks.transcription import variants

if TYPE_CHECKING:
    from pathlib import Path

    from flows.config import CycleConfig
    from tasks.data.cycle_folder import Cycle
    from tasks.runtimes.job_seconds import TimedRuntime
    from tasks.training.recording_roles import RecordingRoles
    from tasks.transcription.variants import Shifts


@dataclass(frozen=True, slots=True)
class CycleRun:
    """One run of the flywheel on one cycle, once the gate has let it pass.

    Attributes:
        config: its parameters.
        cycle: cycle N.
        base_model: the .nemo that is tuned.
        runtime: where NeMo trains and decodes; it keeps the seconds of each job.
        general: the manifest of general English; None where forgetting is not checked.
        tracker: tells a tracking server of it.
    """

    config: CycleConfig
    cycle: Cycle
    base_model: Path
    runtime: TimedRuntime
    general: Path | None = None
    tracker: RunTracker = UNTRACKED

    def shifts(self, judged_rows: int) -> Shifts:
        """The shifts under which so many judged rows are decoded.

        An evaluation that was brought along has one hypothesis a row, and is compared with one.
        """
        if self.config.compare_with is BaselineSource.IMPORTED:
            return variants.AS_IT_IS
        count = variants.variant_count(self.config.variants, judged_rows)
        return variants.shifts(count, self.config.seed)

    @property
    def clinic(self) -> Path:
        """The folder of the clinic's cycles."""
        return self.cycle.path.parent

    def base_roles(self) -> RecordingRoles:
        """Return what each recording was to the base, where that is a tuned model."""
        return tuned_models.roles_of(self.base_model, self.clinic)

    @property
    def audio_roots(self) -> tuple[Path, ...]:
        """The folders under which all audio of the run lies, links followed."""
        general = () if self.general is None else (self.general.parent.resolve(),)
        return (*self.config.roots(self.cycle.path), *general)
