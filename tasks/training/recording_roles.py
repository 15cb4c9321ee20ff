"""What each recording was to a model, over all its generations: trained on, chose, or judged.

A recording that a model was trained on, or by which its checkpoint or mixture was chosen, never
judges it or a model tuned from it. One that judged may judge again; how often it did is counted,
since figures that are looked at again and again are no longer unseen.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files
from tasks.common.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

NAME = "recording_roles.jsonl"
TRAINED_NAME = "trained_recordings.txt"
"""The trained recordings alone, a hash a line: all that models of version 0.2 and older carry."""
KEYED = "keyed_sha256"
"""What a line has in the place of the hash once its recording was purged (docs/privacy.md)."""
_ROLES = ("trained", "chose", "judged")


@dataclass(frozen=True, slots=True)
class RecordingRoles:
    """The roles of recordings, all known by the hash of their content.

    Attributes:
        trained: recordings that were trained on.
        chose: recordings that chose a checkpoint or a mixture, and were not trained on.
        verdicts: by recording, how many verdicts it has given.
        purged: keyed hash and role of recordings that were purged since; they are handed on.
    """

    trained: frozenset[str] = frozenset()
    chose: frozenset[str] = frozenset()
    verdicts: Mapping[str, int] = field(default_factory=dict)
    purged: frozenset[tuple[str, str]] = frozenset()

    @property
    def seen(self) -> frozenset[str]:
        """The recordings that must not judge."""
        return self.trained | self.chose

    def after(
        self, trained: Iterable[str], chose: Iterable[str], judged: Iterable[str]
    ) -> RecordingRoles:
        """Return the roles for a model tuned from this one.

        Args:
            trained: recordings of its training.
            chose: recordings that chose.
            judged: recordings that give one verdict on it.
        """
        all_trained = self.trained | frozenset(trained)
        return RecordingRoles(
            all_trained,
            (self.chose | frozenset(chose)) - all_trained,
            dict(Counter(self.verdicts) + Counter(frozenset(judged))),
            self.purged,
        )

    def verdicts_of(self, recordings: Iterable[str]) -> int:
        """Return how many verdicts these recordings have given: the most of any of them."""
        return max((self.verdicts.get(recording, 0) for recording in recordings), default=0)

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write both files of a model's folder; return their paths."""
        rows: list[dict[str, Any]] = [
            *({"audio_sha256": one, "role": "trained"} for one in sorted(self.trained)),
            *({"audio_sha256": one, "role": "chose"} for one in sorted(self.chose)),
            *(
                {"audio_sha256": one, "role": "judged", "verdicts": self.verdicts[one]}
                for one in sorted(self.verdicts)
            ),
            *({KEYED: keyed, "role": role} for keyed, role in sorted(self.purged)),
        ]
        atomic_files.write_jsonl(folder / NAME, rows)
        text = "".join(f"{recording}\n" for recording in sorted(self.trained))
        atomic_files.write_text(folder / TRAINED_NAME, text)
        return folder / NAME, folder / TRAINED_NAME

    def update(self, folder: Path) -> None:
        """Write both files of a model's folder, unless they say this already."""
        if not (folder / NAME).is_file() or read(folder) != self:
            self.write(folder)


def read(folder: Path) -> RecordingRoles:
    """Read the roles beside a model; those of an older version know trained recordings alone.

    Raises:
        InputError: a row of the file is none of this tool's.
    """
    path = folder / NAME
    if not path.is_file():
        older = folder / TRAINED_NAME
        known = older.read_text(encoding="utf-8").split() if older.is_file() else []
        return RecordingRoles(frozenset(known))
    by_role: dict[str, list[str]] = {role: [] for role in _ROLES}
    verdicts: dict[str, int] = {}
    purged: set[tuple[str, str]] = set()
    for number, row in enumerate(atomic_files.read_jsonl(path), start=1):
        recording, role = row.get("audio_sha256"), row.get("role")
        if recording is None and isinstance(keyed := row.get(KEYED), str) and role in by_role:
            purged.add((keyed, str(role)))
            continue
        if not isinstance(recording, str) or role not in by_role:
            raise InputError(
                f"{path}: row {number}: role {role!r} of {recording!r} is none that this tool "
                "writes. Fix: bring the file again from where the model was trained."
            )
        by_role[role].append(recording)
        if role == "judged":
            verdicts[recording] = int(row.get("verdicts", 1))
    return RecordingRoles(
        frozenset(by_role["trained"]), frozenset(by_role["chose"]), verdicts, frozenset(purged)
    )
