"""Bundles of the embedded base for tests, all of one export."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.common import atomic_files
from tasks.data.cycle_folder import open_cycle
from tasks.models.catalog import embedded_path
from tasks.serving import handoff, handoff_package
from tasks.serving.edge import edge_package, nemo_export
from tests.support import evaluated_cycles, finished_runs

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.serving.edge.bundle import EdgeBundle, EdgeEngine, Precision
    from tasks.serving.edge.nemo_export import NemoExport
    from tasks.serving.handoff import Accepted
    from tasks.serving.handoff_package import Tuned


@dataclass(frozen=True)
class ExportedCycle:
    """A cycle whose run ends with the embedded base, and NeMo's export of that.

    Attributes:
        cycle: the folder of the recordings; the evaluation is in the next one.
        tuned: the run.
        accepted: how its model is served.
        exported: NeMo's export, with the features of all recordings.
    """

    cycle: Path
    tuned: Tuned
    accepted: Accepted
    exported: NemoExport

    def write(self, folder: Path, engine: EdgeEngine, *precisions: Precision) -> list[EdgeBundle]:
        """Write a bundle for each precision into a folder of its name."""
        folders = {one: folder / f"{engine.value}-{one.value}" for one in precisions}
        return edge_package.write_exported(
            self.tuned, self.accepted, engine, self.exported, folders
        )


def export_cycle(demo: Path, folder: Path, every: int) -> ExportedCycle:
    """Copy rows of an evaluated cycle, and export the base that evaluated them."""
    cycle = evaluated_cycles.copy_rows(demo, folder / "cycle1", every)
    following = finished_runs.finish(cycle, embedded_path())
    shutil.copy(cycle / "offline_hyps.jsonl", following.offline_hyps)
    tuned = handoff_package.find_tuned(open_cycle(cycle))
    accepted = handoff_package.judge_tuned(tuned, None)
    assert isinstance(accepted, handoff.Accepted)
    rows = atomic_files.read_jsonl(cycle / "manifest.jsonl")
    recordings = [cycle / row["audio_filepath"] for row in rows]
    exported = nemo_export.export(tuned.model, folder / "graphs", recordings=recordings)
    return ExportedCycle(cycle, tuned, accepted, exported)
