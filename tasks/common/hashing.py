"""SHA-256 of large files, computed once a host: a base of 2.4 GB takes seconds each time.

What was computed is kept for this user, one small file a path. It counts as long as the file's
size, times, inode and device are what they were; a file that was written just now is hashed again
next time, since a clock's tick could hide a later change. Losing the cache costs time alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

from tasks.common import atomic_files
from tasks.common.errors import InputError

_CHUNK_BYTES = 1 << 20


# Hashing less is as fast as looking it up.
_LEAST_BYTES = 4 << 20
# File systems stamp at worst every two seconds.
_SETTLED_NS = 2_000_000_000


def sha256(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal, from the cache if the file is unchanged."""
    before = _state(path)
    if before["bytes"] < _LEAST_BYTES:
        return sha256_file(path)
    entry = _entry(path)
    cached = _read(entry)
    if cached.get("state") == before and isinstance(cached.get("sha256"), str):
        return str(cached["sha256"])
    digest = sha256_file(path)
    is_settled = time.time_ns() - max(before["modified_ns"], before["changed_ns"]) > _SETTLED_NS
    if is_settled and _state(path) == before:
        _keep(entry, {"path": str(path), "state": before, "sha256": digest})
    return digest


def record_hash(path: Path, digest: str) -> None:
    """Record the known hash of a file that was hashed before it was moved to this path."""
    _keep(_entry(path), {"path": str(path), "state": _state(path), "sha256": digest})


def forget(path: Path) -> None:
    """Forget a file's hash, since the file is gone."""
    _entry(path).unlink(missing_ok=True)


def _state(path: Path) -> dict[str, int]:
    stat = path.stat()
    return {
        "bytes": stat.st_size,
        "modified_ns": stat.st_mtime_ns,
        "changed_ns": stat.st_ctime_ns,
        "inode": stat.st_ino,
        "device": stat.st_dev,
    }


def _entry(path: Path) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]
    return cache / "asr-flywheel" / "hashes" / f"{name}.json"


def _read(entry: Path) -> dict[str, Any]:
    try:
        entry_json = atomic_files.read_json(entry)
    except InputError:
        return {}
    return entry_json if isinstance(entry_json, dict) else {}


def _keep(entry: Path, value: dict[str, Any]) -> None:
    try:
        # By a rename: another process reads the old or the new one.
        atomic_files.write_json(entry, value)
    except InputError:
        return  # no cache can be written here; it only saves time


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def fingerprint(value: object) -> str:
    """Return the SHA-256 of a JSON-able value, independent of key order and Python version."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()
