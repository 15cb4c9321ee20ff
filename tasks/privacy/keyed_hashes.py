"""Keyed hashes: what stays of a purged recording in a model's list and in the audit log.

The key lies in the clinic's folder and is read by its owner alone. Who has the key can tell whether
a recording was purged; who has the list alone cannot. Without the key the hashes tell nobody
anything, and that cannot be undone.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from typing import TYPE_CHECKING

from tasks.common.errors import InputError
from tasks.training import tuned_models
from tasks.training.seen_sound import roles_for_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tasks.data.preflight import CheckedRow
    from tasks.training.recording_roles import RecordingRoles

KEY_NAME = ".asr-flywheel-purge.key"
_BYTES = 32
_OTHERS = 0o077


def read_key(clinic: Path) -> bytes | None:
    """Read a clinic's key; None where there is none.

    Raises:
        InputError: other users may read it, or it is no key.
    """
    path = clinic / KEY_NAME
    if not path.is_file():
        return None
    if path.stat().st_mode & _OTHERS:
        raise InputError(f"{path}: other users may read the key. Fix: chmod 600 {path}")
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (ValueError, OSError) as damaged:
        raise InputError(
            f"{path}: is no key ({damaged}). Fix: bring it back from a backup, or remove it: what "
            "was purged before can then no longer be told."
        ) from damaged
    return key


def make_key(clinic: Path) -> bytes:
    """Read a clinic's key, or make one with mode 600.

    Raises:
        InputError: it cannot be written or read.
    """
    if (key := read_key(clinic)) is not None:
        return key
    path, key = clinic / KEY_NAME, secrets.token_bytes(_BYTES)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as out:
            out.write(key.hex() + "\n")
            out.flush()
            os.fsync(out.fileno())
    except OSError as refused:
        raise InputError(
            f"{path}: the key cannot be written ({refused}). Fix: let this user write the folder."
        ) from refused
    return key


def forget_key(clinic: Path) -> bool:
    """Delete a clinic's key; False where there was none."""
    path = clinic / KEY_NAME
    existed = path.is_file()
    path.unlink(missing_ok=True)
    return existed


def seen_before(base: Path, clinic: Path, rows: Sequence[CheckedRow]) -> frozenset[str]:
    """Return the recordings that must not judge a model tuned from a base.

    Args:
        base: the model's file.
        clinic: the folder of its cycles.
        rows: that are split; purged ones among them are known by their keyed hashes, and those that
            share sound with a recording that the base has seen by what imports wrote down.
    """
    roles = tuned_models.roles_of(base, clinic)
    hashes = [row.audio_sha256 for row in rows]
    return roles_for_rows(roles, rows, clinic).seen | purged_before(clinic, roles, hashes)


def purged_before(clinic: Path, roles: RecordingRoles, recordings: Iterable[str]) -> frozenset[str]:
    """Return the recordings that a model has seen and that were purged, and brought in again.

    Args:
        clinic: whose key is read; without one nothing can be told.
        roles: of the model.
        recordings: hashes of samples.
    """
    keyed = {keyed for keyed, role in roles.purged if role != "judged"}
    # Of labelled/cycle1 the key lies beside labelled.
    key = (read_key(clinic) or read_key(clinic.parent)) if keyed else None
    if key is None:
        return frozenset()
    return frozenset(one for one in recordings if keyed_hash(key, one) in keyed)


def keyed_hash(key: bytes, sha256: str) -> str:
    """Return the HMAC-SHA256 of a recording's hash, in hexadecimal."""
    return hmac.new(key, sha256.encode("ascii"), hashlib.sha256).hexdigest()
