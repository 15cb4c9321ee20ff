"""A kept run of a cycle whose place another run of the same cycle takes.

A user who was told to keep a model must not lose it by running the cycle again. So before anything
is overwritten, the kept run is preserved under ``kept/`` of the folder that holds its evaluation:
a folder of cycles of its own, as ``asr-flywheel fetch`` lays one down, with the model and all that
the verdict rests on. Every command that reads a finished run reads it there. The model is another
name of the same file, and takes no room where the file system has such names. A run that keeps the
same model again makes the copy needless, and removes it.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files, hashing
from tasks.common.errors import InputError
from tasks.common.shell_words import in_shell
from tasks.data.cycle_folder import IMPORTED_NAME, KEPT_NAME, Cycle, cycle_number
from tasks.decision.decision_table import Verdict
from tasks.records import run_record
from tasks.training.run import MODEL_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHOWN_DIGITS = 12
_MODELS = "models"


@dataclass(frozen=True, slots=True)
class KeptRun:
    """A finished run whose verdict was keep.

    Attributes:
        evaluated: cycle N+1, in its own place or preserved.
        training: the name of the model's folder.
        sha256: of the model.
        value: how far its weights go from base (0) to tuned model (1); None in a run of an older
            version.
        finished: when, in UTC.
    """

    evaluated: Cycle
    training: str
    sha256: str
    value: float | None
    finished: str

    @property
    def name(self) -> str:
        """The name of the folder that the run is preserved in."""
        return f"{self.training}-{self.sha256[:8]}"

    @property
    def tuned_cycle(self) -> Path:
        """The folder of cycle N beside its evaluation."""
        return _tuned_cycle(self.evaluated)

    @property
    def model(self) -> Path:
        """The path of the model beside its evaluation."""
        return self.tuned_cycle / _MODELS / self.training / MODEL_NAME

    @property
    def has_model(self) -> bool:
        """Whether its model is there, and no other in its place."""
        return self.model.is_file() and hashing.sha256(self.model) == self.sha256

    def as_dict(self) -> dict[str, Any]:
        """Return the run as decision.json tells it; folders are below the folder of cycles."""
        clinic = self.evaluated.clinic
        return {
            "run": self.training,
            "model_sha256": self.sha256,
            "value": self.value,
            "finished": self.finished,
            "has_model": self.has_model,
            "folder": self.evaluated.path.parent.relative_to(clinic).as_posix(),
            "cycle": self.tuned_cycle.relative_to(clinic).as_posix(),
        }

    def __str__(self) -> str:
        return _describe(self.training, self.sha256, self.value, self.finished)


def _describe(training: str, sha256: str, value: float | None, finished: str) -> str:
    share = "" if value is None else f", value {value:g}"
    return (
        f"the model of {training} (SHA-256 {sha256[:_SHOWN_DIGITS]}{share}; verdict keep, "
        f"{finished})"
    )


def _tuned_cycle(evaluated: Cycle) -> Path:
    return evaluated.path.parent / f"cycle{evaluated.number - 1}"


def _place(following: Cycle, name: str) -> Cycle:
    # A clinic that renumbers its cycles leaves the numbers of the folders that are preserved.
    for record in (following.path / KEPT_NAME / name).glob(f"cycle*/{run_record.RECORD_NAME}"):
        if (number := cycle_number(record.parent.name)) is not None:
            return Cycle(record.parent, number)
    return Cycle(following.path / KEPT_NAME / name / following.path.name, following.number)


def read_kept(evaluated: Cycle) -> KeptRun | None:
    """Return the finished run whose evaluation lies in a folder, if its verdict is keep."""
    if not run_record.is_complete(evaluated):
        return None
    try:
        record = run_record.read(evaluated)
        if record["decision"].get("decision") != Verdict.KEEP:
            return None
        sft = record["sft"]
        training, sha256 = Path(sft["model"]).parent.name, str(sft["model_sha256"])
    except (InputError, KeyError, TypeError, AttributeError):
        return None  # damaged: what it kept is not known
    value = sft.get("value")
    return KeptRun(evaluated, training, sha256, value, str(record.get("finished", "")))


def preserved_in(following: Cycle) -> list[KeptRun]:
    """List the kept runs whose place a later run took; not the run that lies in their place."""
    here = read_kept(following)
    return [run for run in copies(following) if here is None or run.name != here.name]


def copies(following: Cycle) -> list[KeptRun]:
    """List all runs that were preserved, the oldest first; one may lie in its place as well."""
    names = sorted(path.name for path in (following.path / KEPT_NAME).glob("*"))
    # A hidden folder is what a kill left of a copy.
    found = [read_kept(_place(following, name)) for name in names if not name.startswith(".")]
    return sorted((run for run in found if run is not None), key=lambda run: run.finished)


def before_run(following: Cycle) -> str | None:
    """Say, before a run of the cycle starts, which kept model it may take the place of."""
    kept = read_kept(following)
    if kept is None:
        return None
    place = _place(following, kept.name)
    if not kept.has_model:
        return (
            f"{following.path.name} holds the evaluation of a kept model: {kept}. The model itself "
            f"is not at {kept.model} any more. Its evaluation stays in {place.path.parent}."
        )
    return (
        f"{following.path.name} holds a kept model: {kept}. If this run does not keep the same "
        f"model, that one stays with its evaluation in {place.path.parent}, and "
        f"{_hand_on(_tuned_cycle(place))} hands it on."
    )


def beside_verdict(kept: Mapping[str, Any], clinic: Path | None = None) -> str:
    """Say, beside a verdict, which model an earlier run of the cycle kept, and how to use it.

    Args:
        kept: from ``KeptRun.as_dict``.
        clinic: the folder of cycles; None where the reader may have it elsewhere.
    """
    told = _describe(kept["run"], kept["model_sha256"], kept["value"], kept["finished"])
    if not kept["has_model"]:
        return (
            f"An earlier run of this cycle was kept: {told}. Its evaluation lies in "
            f"{kept['folder']}, but its model was removed or replaced before this run. Run the "
            "cycle with the settings of then to make it again: `config` in that run.json."
        )
    cycle = kept["cycle"] if clinic is None else str(clinic / kept["cycle"])
    where = ", in the folder of cycles," if clinic is None else ""
    return (
        f"An earlier run of this cycle was kept: {told}. It is not lost: it lies whole in "
        f"{kept['folder']}, and {_hand_on(cycle)}{where} hands it on."
    )


def _hand_on(cycle: Path | str) -> str:
    return f"`asr-flywheel handoff {in_shell(cycle)}`"


def preserve(following: Cycle) -> KeptRun | None:
    """Copy the kept run whose evaluation lies here, before another run takes its place.

    Where it was copied before, nothing is done.

    Args:
        following: cycle N+1.

    Returns:
        The run in its new place; None where no kept run lies here.

    Raises:
        InputError: it cannot be written.
    """
    kept = read_kept(following)
    if kept is None:
        return None
    place = _place(following, kept.name)
    if (there := read_kept(place)) is not None:
        return there
    folder = place.path.parent
    for broken in (folder, *folder.parent.glob(f".{folder.name}.*")):
        shutil.rmtree(broken, ignore_errors=True)  # what a kill left of a copy or of a removal
    with atomic_files.new_folder(folder, following.path.stat().st_mode & 0o777) as work:
        _copy_model(kept, work / kept.tuned_cycle.name)
        _copy_evaluation(following, work / following.path.name)
    return read_kept(place)


def _copy_model(kept: KeptRun, cycle: Path) -> None:
    record = run_record.read(kept.evaluated)
    model = run_record.trained_file(kept.evaluated, Path(record["sft"]["model"]))
    folder = cycle / _MODELS / kept.training
    folder.mkdir(parents=True)
    for path in sorted(model.parent.glob("*")):
        # Lists of recordings, marks of purges and the training's record and log.
        if path.is_file() and path.suffix != model.suffix:
            shutil.copyfile(path, folder / path.name)
    # An earlier version may have put another model in its place, and a user removed it.
    if model.is_file() and hashing.sha256(model) == kept.sha256:
        atomic_files.link(model, folder / MODEL_NAME)
    hosted = kept.tuned_cycle / IMPORTED_NAME
    if record.get("config", {}).get("compare_with") == "imported" and hosted.is_file():
        shutil.copyfile(hosted, cycle / IMPORTED_NAME)


def _copy_evaluation(following: Cycle, folder: Path) -> None:
    folder.mkdir()
    for name in (*run_record.read(following).get("files", {}), run_record.RECORD_NAME):
        source, target = following.path / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def _is_untouched(copy: KeptRun) -> bool:
    """Return whether a run that was preserved holds nothing of its user's, such as a hand-off."""
    evaluated, model = copy.evaluated.path, copy.model.parent
    copied = {evaluated / name for name in run_record.read(copy.evaluated).get("files", {})}
    copied |= {evaluated / run_record.RECORD_NAME, copy.tuned_cycle / IMPORTED_NAME}
    files = {path for path in evaluated.parent.rglob("*") if path.is_file()}
    return all(path in copied or path.parent == model for path in files)


def drop_repeated(following: Cycle) -> None:
    """Remove the copy of the run that lies here, once that has kept the same model again.

    A copy in which something else lies by now, such as a hand-off, stays.

    Args:
        following: cycle N+1, whose run is complete.
    """
    kept = read_kept(following)
    if kept is None:
        return
    place = _place(following, kept.name)
    if (copy := read_kept(place)) is None or not _is_untouched(copy):
        return
    # Without its mark it is no run: what a kill leaves of it is taken for nothing else.
    (place.path / run_record.RECORD_NAME).unlink(missing_ok=True)
    shutil.rmtree(place.path.parent, ignore_errors=True)
    if not any((following.path / KEPT_NAME).iterdir()):
        (following.path / KEPT_NAME).rmdir()
