"""The mark of a model that was trained on recordings which were purged since.

``purged.json`` lies beside the model and goes with it into a hand-off. It says which recordings, by
keyed hashes, and whether a person accepted that the model is used all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files
from tasks.common.errors import InputError
from tasks.common.schemas import Schema
from tasks.common.shell_words import in_shell

if TYPE_CHECKING:
    from pathlib import Path

MARK_NAME = "purged.json"
TRAINED = "trained"


@dataclass(frozen=True, slots=True)
class PurgeMark:
    """What a model's mark says.

    Attributes:
        recordings: keyed hash and role of each purged recording.
        accepted: who accepted the model's use, and when; None where nobody did.
    """

    recordings: frozenset[tuple[str, str]]
    accepted: dict[str, str] | None = None

    @property
    def trained(self) -> int:
        """How many purged recordings the model was trained on."""
        return sum(role == TRAINED for _, role in self.recordings)

    def as_dict(self) -> dict[str, Any]:
        """Return the mark as its file holds it."""
        return Schema.PURGED.mark(
            {
                "recordings": [
                    {"keyed_sha256": keyed, "role": role} for keyed, role in sorted(self.recordings)
                ],
                "accepted": self.accepted,
            }
        )


def read_mark(model: Path) -> PurgeMark | None:
    """Read the mark beside a model; None where there is none.

    Args:
        model: a .nemo, or the folder that holds it.

    Raises:
        InputError: the file is damaged.
    """
    path = (model if model.is_dir() else model.parent) / MARK_NAME
    if not path.is_file():
        return None
    document = atomic_files.read_json(path)
    try:
        Schema.PURGED.check(document, path)
        return PurgeMark(
            frozenset(
                (str(row["keyed_sha256"]), str(row["role"])) for row in document["recordings"]
            ),
            document["accepted"],
        )
    except (AttributeError, KeyError, TypeError) as damaged:
        raise InputError(
            f"{path}: is not what a purge writes ({damaged!r}). Fix: bring it back from a backup."
        ) from damaged


def accept(model: Path, who: str, when: str) -> PurgeMark:
    """Write down that a person accepts a marked model.

    Raises:
        InputError: it has no mark.
    """
    mark = read_mark(model)
    if mark is None:
        raise InputError(
            f"{model}: has no mark of a purge ({MARK_NAME}), so there is nothing to accept. Fix: "
            "name the model's .nemo or its folder."
        )
    accepted = PurgeMark(mark.recordings, {"who": who, "when": when})
    folder = model if model.is_dir() else model.parent
    atomic_files.write_json(folder / MARK_NAME, accepted.as_dict())
    return accepted


def require_accepted(model: Path, use: str) -> Path:
    """Return a model; refuse one that was trained on purged recordings and not accepted.

    Args:
        model: its .nemo.
        use: what it would be used for, for the message.

    Raises:
        InputError: it was, and nobody accepted it.
    """
    mark = read_mark(model)
    if mark is None or not mark.trained or mark.accepted is not None:
        return model
    trained = f"{mark.trained} recordings that were"
    if mark.trained == 1:
        trained = "1 recording that was"
    raise InputError(
        f"{model}: was trained on {trained} purged since, and is refused "
        f"{use}. Fix: train again without them (`asr-flywheel run` on the cycle's manifest as it "
        f"is now), or accept the model: asr-flywheel purge CYCLE --accept {in_shell(model)}"
    )
