"""NeMo's own ONNX export of a model, made in a process of its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.common import atomic_files
from tasks.common.errors import FlywheelError
from tasks.runtimes import hardware
from tasks.runtimes.base import Job
from tasks.runtimes.local import LocalRuntime

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from tasks.runtimes.base import Runtime

    Features = npt.NDArray[np.float32]

PROGRAM = "export_onnx.py"
_FACTS_NAME, _FEATURES_NAME = "export.json", "features{}.npz"
_LOG_TAIL_LINES = 8


@dataclass(frozen=True)
class NemoExport:
    """What NeMo exported.

    Attributes:
        folder: that holds the graphs.
        facts: what an engine must know and the graphs do not say.
    """

    folder: Path
    facts: Mapping[str, Any]

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in the model's order; the blank, which comes after them, is not among them."""
        return tuple(self.facts["labels"])

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings of the features."""
        return dict(self.facts["features"])

    @property
    def subsampling(self) -> int:
        """Frames of features for each of the encoder's."""
        return int(self.facts["subsampling_factor"])

    @cached_property
    def features(self) -> tuple[Features, ...]:
        """NeMo's features of the recordings that were asked for: (bins, frames) each."""
        return self._read_features("")

    @cached_property
    def substituted(self) -> Mapping[str, tuple[Features, ...]]:
        """The same features with another setting each, by the names that were asked for."""
        return {name: self._read_features(f"-{name}") for name in self.facts.get("substitutes", ())}

    def _read_features(self, which: str) -> tuple[Features, ...]:
        path = self.folder / _FEATURES_NAME.format(which)
        if not path.is_file():
            return ()
        with np.load(path) as arrays:
            return tuple(arrays[str(number)] for number in range(len(arrays.files)))


def export(
    model: Path,
    work: Path,
    *,
    parts: bool = False,
    recordings: Sequence[Path] = (),
    substitutes: Mapping[str, Mapping[str, float]] | None = None,
    runtime: Runtime | None = None,
) -> NemoExport:
    """Export a model.

    Args:
        model: a .nemo of a CTC, RNN-T or TDT model.
        work: the folder for graphs and log.
        parts: whether a transducer's encoder, decoder and joint are written one by one too.
        recordings: whose features NeMo computes in the same process.
        substitutes: other settings of the features, by name: these are computed too.
        runtime: where NeMo runs; by default on this machine.

    Raises:
        FlywheelError: NeMo could not do it; holds the end of its log.
    """
    runtime = runtime or LocalRuntime(hardware.detect())
    work.mkdir(parents=True, exist_ok=True)
    mapped = runtime.path_mapper(work, (model, *recordings))
    request = {
        "model": mapped(model),
        "out": mapped(work),
        "parts": parts,
        "features": [mapped(one) for one in recordings],
        "substitutes": {name: dict(changed) for name, changed in (substitutes or {}).items()},
    }
    job = Job("export", PROGRAM, request, work, (model, *recordings), {"run": "export"})
    outcome = runtime.execute(job, lambda _: None, lambda: None)
    if outcome.exit_code != 0 or not (work / _FACTS_NAME).is_file():
        lines = job.log.read_text(encoding="utf-8", errors="replace").splitlines()
        raise FlywheelError(
            f"{model}: NeMo could not export it as ONNX. The end of the log:\n"
            + "\n".join(f"  {line}" for line in lines[-_LOG_TAIL_LINES:])
        )
    return read(work)


def read(work: Path) -> NemoExport:
    """Read an export that was made before.

    Raises:
        InputError: there is none.
    """
    return NemoExport(work, atomic_files.read_json(work / _FACTS_NAME))
