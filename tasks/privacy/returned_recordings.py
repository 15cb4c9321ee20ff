"""Recordings that were purged from a clinic and are in a new cycle again.

A purge leaves the source of an import alone, so that the next import of it brings the recording
back. Whoever purged it must be told; whether it may be here again, only a person knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.common.counted import counted
from tasks.common.shell_words import in_shell
from tasks.privacy.keyed_hashes import keyed_hash, read_key
from tasks.records import audit_log
from tasks.records.audit_log import AuditedAct

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_SHOWN = 5


def find_returned(clinic: Path, recordings: Iterable[str]) -> frozenset[str]:
    """Return which recordings the clinic's log has as purged; none where the key was forgotten.

    Args:
        clinic: the folder of cycles; of ``labelled`` the one above is asked too.
        recordings: hashes of samples.

    Raises:
        InputError: the key or the log cannot be read.
    """
    purged: list[tuple[bytes, frozenset[str]]] = []
    for place in (clinic, clinic.parent):
        if (key := read_key(place)) is None:
            continue
        acts = [one for one in audit_log.read_lines(place) if one.get("act") == AuditedAct.PURGE]
        found = (keyed for one in acts for keyed in one.get("ids", {}).get("keyed_sha256", ()))
        purged.append((key, frozenset(found)))
    return frozenset(
        one for one in recordings if any(keyed_hash(key, one) in hashes for key, hashes in purged)
    )


def describe_returned(cycle: Path, names: Sequence[str]) -> list[str]:
    """Say which rows' recordings are back, with the command that purges one; nothing for none.

    Args:
        cycle: the folder that they are in.
        names: of these recordings, as the manifest has them.
    """
    if not names:
        return []
    shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    command = f"asr-flywheel purge {in_shell(cycle)} --recording {in_shell(names[0])}"
    note = (
        f"purged from this clinic before, and here again: {counted(len(names), 'recording')}, "
        f"{shown}. "
        f"Fix: `{command}`, and so for each, or `--voice`; nothing where they may be here again."
    )
    return [note]
