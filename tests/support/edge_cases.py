"""Bundles of the embedded base for tests, all of one export."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files
from tasks.data.cycle_folder import open_cycle
from tasks.models import catalog
from tasks.serving import handoff, handoff_package, validation
from tasks.serving.edge import edge_package, edge_source, nemo_export, substitutes
from tasks.serving.edge.bundle import EdgeEngine
from tests.support import evaluated_cycles, finished_runs

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.serving.edge.bundle import EdgeBundle, EdgePrecision
    from tasks.serving.edge.nemo_export import NemoExport
    from tasks.serving.handoff import Accepted
    from tasks.serving.handoff_package import Tuned
    from tasks.serving.validation import ValidationPlan


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

    def export_again(self, _model: Path, _work: Path, **asked: Any) -> NemoExport:
        """Stand for ``nemo_export.export``: the one export, with the features that are asked for.

        The folder is the first export's: the graphs are the same.
        """
        rows = atomic_files.read_jsonl(self.cycle / "manifest.jsonl")
        places = {self.cycle / row["audio_filepath"]: place for place, row in enumerate(rows)}
        again = replace(self.exported)
        features = tuple(self.exported.features[places[one]] for one in asked["recordings"])
        again.__dict__["features"] = features
        again.__dict__["substituted"] = {
            name: tuple(of_all[places[one]] for one in asked["recordings"])
            for name, of_all in self.exported.substituted.items()
        }
        return again

    def plan(self) -> ValidationPlan:
        """Return what is compared."""
        return validation.plan(open_cycle(self.cycle))

    def write(
        self, folder: Path, engine: EdgeEngine, *precisions: EdgePrecision
    ) -> list[EdgeBundle]:
        """Write a bundle for each precision into a folder of its name."""
        folders = {one: folder / f"{engine.value}-{one.value}" for one in precisions}
        source = edge_source.tuned_source(self.tuned, self.accepted)
        return edge_package.write_exported(source, engine, self.exported, folders)


def export_cycle(
    demo: Path, folder: Path, every: int, base: str = "embedded", *, parts: bool = False
) -> ExportedCycle:
    """Copy rows of an evaluated cycle, and export the embedded base that evaluated them.

    Args:
        demo: the cycle.
        folder: gets the copy.
        every: how many rows are one of the copy.
        base: name of the base.
        parts: whether a transducer's parts are exported one by one too.
    """
    cycle = evaluated_cycles.copy_rows(demo, folder / "cycle1", every)
    following = finished_runs.finish(cycle, catalog.resolve(base), base=base)
    shutil.copy(cycle / "offline_hyps.jsonl", following.offline_hyps)
    tuned = handoff_package.find_tuned(open_cycle(cycle))
    accepted = handoff_package.judge_tuned(tuned, None)
    assert isinstance(accepted, handoff.Accepted)
    rows = atomic_files.read_jsonl(cycle / "manifest.jsonl")
    recordings = [cycle / row["audio_filepath"] for row in rows]
    exported = nemo_export.export(
        tuned.model,
        folder / "graphs",
        parts=parts,
        recordings=recordings,
        substitutes=substitutes.of_features(EdgeEngine.SHERPA_ONNX, accepted.decoder),
    )
    return ExportedCycle(cycle, tuned, accepted, exported)
