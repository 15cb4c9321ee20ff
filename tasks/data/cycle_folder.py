"""The paths of a cycle's files.

A cycle is a folder ``cycle<N>`` with manifest.jsonl. train.jsonl, validation.jsonl and
models/<run>/ go into it; ``cycle<N+1>`` beside it gets what the tuned model's evaluation gives.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from tasks.common.errors import InputError

_SLUG = re.compile(r"[^a-z0-9]+")


OFFLINE_NAME = "offline_hyps.jsonl"
IMPORTED_NAME = "per_sample.json"
OWN_BASELINE_NAME = "own_baseline.jsonl"
"""The baseline of a cycle's own rows, beside what the run on the cycle before left."""
RUN_NAMES = ("baseline_hyps.jsonl", "crossfit_hyps.jsonl")
"""What a run writes beside offline_hyps.jsonl: a base's rows; every row by a fold's model."""
FORMULARY_NAME = "formulary.txt"
PHRASES_NAME = "phrases.txt"
KEPT_NAME = "kept"
"""The folder of kept runs whose place a later run of the cycle took, each a folder of cycles."""
LABELLED_NAME = "labelled"
"""The folder of labelled cycles beside those that they were made of."""


_FOLDER = re.compile(r"cycle([1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class Cycle:
    """One cycle's folder: an absolute path whose name is ``cycle<number>``."""

    path: Path
    number: int

    @property
    def clinic(self) -> Path:
        """The folder of the clinic's cycles, also of a cycle in a kept run that was preserved."""
        folder = self.path.parent
        holder = folder.parent.parent
        is_preserved = folder.parent.name == KEPT_NAME and cycle_number(holder.name) is not None
        return holder.parent if is_preserved else folder

    @property
    def manifest(self) -> Path:
        """The user's manifest; never written to."""
        return self.path / "manifest.jsonl"

    @property
    def offline_hyps(self) -> Path:
        """Per-row results of an offline transcription."""
        return self.path / OFFLINE_NAME

    @property
    def own_baseline(self) -> Path:
        """Per-row results of a base, beside those that a run on the cycle before left."""
        return self.path / OWN_BASELINE_NAME

    @property
    def leaderboard(self) -> Path:
        """The leaderboard as Markdown; the same content lies beside it as JSON."""
        return self.path / f"leaderboard_cycle{self.number}.md"

    @property
    def found_leaderboard(self) -> Path:
        """The leaderboard that is there; a renumbered folder has that of its former number."""
        former = [] if self.leaderboard.is_file() else [*self.path.glob("leaderboard_cycle*.md")]
        return former[0] if len(former) == 1 else self.leaderboard

    @property
    def next(self) -> Cycle:
        """The cycle that the tuned model's evaluation makes."""
        return self._sibling(self.number + 1)

    @property
    def previous(self) -> Cycle | None:
        """The cycle before, if its folder is there."""
        before = self._sibling(self.number - 1)
        return before if before.path.is_dir() else None

    def _sibling(self, number: int) -> Cycle:
        return Cycle(self.path.parent / f"cycle{number}", number)

    def find_baseline(self) -> Path | None:
        """Return the cycle's evaluation result: an imported one, else this tool's own, else None.

        The imported one goes first: a user who put it there made it for this cycle, whereas
        offline_hyps.jsonl may stem from the tuning of the cycle before. So own_baseline.jsonl
        goes before it too.
        """
        for name in (IMPORTED_NAME, OWN_BASELINE_NAME, OFFLINE_NAME):
            if (candidate := self.path / name).is_file():
                return candidate
        return None

    def find_formulary(self) -> Path | None:
        """Return the clinic's list of phrases to boost; None where there is none."""
        formulary = self.path / FORMULARY_NAME
        return formulary if formulary.is_file() else None


def open_cycle(path: Path) -> Cycle:
    """Return the cycle of a folder.

    Raises:
        InputError: no such folder, a file, or a name that is not ``cycle<N>``.
    """
    # The name as given counts: a link cycle1 has its next cycle beside it, not beside its target.
    path = Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 - resolve() follows links
    number = cycle_number(path.name)
    if number is None and path.is_file() and cycle_number(path.parent.name) is not None:
        raise InputError(f"{path}: is a file of a cycle. Fix: name the cycle, {path.parent}.")
    if not os.path.lexists(path):
        raise InputError(f"{path}: there is no such cycle folder. Fix: name one that is there.")
    if number is None:
        raise InputError(
            f"{path}: a cycle's folder is named cycle1, cycle2, …, not {path.name!r}. "
            "Fix: rename the folder, so that the next cycle has its number."
        )
    if not path.is_dir():
        raise InputError(f"{path}: there is no such cycle folder. Fix: name one that is there.")
    return Cycle(path, number)


def cycle_number(name: str) -> int | None:
    """Return N of a folder's name ``cycle<N>``; None of any other name."""
    match = _FOLDER.fullmatch(name)
    return None if match is None else int(match.group(1))


def require_cycle_name(path: Path, fix: str = "name one of these") -> None:
    """Refuse the place of a new cycle whose name is not ``cycle<N>``.

    Raises:
        InputError: with the fix.
    """
    if cycle_number(path.name) is None:
        raise InputError(f"{path}: a cycle's folder is named cycle1, cycle2, …. Fix: {fix}.")


def cycle_folders(clinic: Path) -> list[Path]:
    """Return the folders of a clinic's cycles, by their numbers."""
    numbers = {path: cycle_number(path.name) for path in clinic.glob("cycle*") if path.is_dir()}
    return sorted(
        (path for path, number in numbers.items() if number is not None),
        key=lambda path: numbers[path] or 0,
    )


def clinic_folder(path: Path) -> Path:
    """Return the folder of cycles: of a cycle's folder its parent, else the folder itself.

    Raises:
        InputError: there is no such folder.
    """
    absolute = path.expanduser().absolute()
    if not absolute.is_dir():
        raise InputError(f"{path}: there is no such folder. Fix: name a folder of cycles, or one.")
    return absolute.parent if cycle_number(absolute.name) is not None else absolute


def clinic_of(cycle: Cycle) -> str:
    """Return the clinic's name, from the folder of cycles: small letters, digits and dashes.

    Of ``ward/labelled`` it is ``ward-labelled``, since every clinic may have such a folder.
    """
    folder = cycle.clinic
    if folder.name == LABELLED_NAME:
        return "-".join(filter(None, (_slug(folder.parent.name), LABELLED_NAME)))
    return _slug(folder.name) or "cycles"


def clinic_names(cycle: Cycle) -> tuple[str, ...]:
    """Return the clinic's name, then the one that earlier versions gave to its labelled cycles."""
    is_labelled = cycle.clinic.name == LABELLED_NAME
    return (clinic_of(cycle), *([LABELLED_NAME] if is_labelled else []))


def _slug(name: str) -> str:
    return _SLUG.sub("-", name.lower()).strip("-")
