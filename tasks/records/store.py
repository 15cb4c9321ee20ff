"""Stores of a cycle's files: the protocol, and a folder; s3_store.py is a bucket.

An object appears whole or not at all. Its SHA-256 travels with it and is checked whenever it comes
back.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, Protocol

from tasks.common import atomic_files, hashing
from tasks.common.errors import FlywheelError, InputError, is_disk_full

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from hashlib import _Hash
    from pathlib import Path

PROBE = ".asr-flywheel-probe"
"""How the names of the objects begin that only try whether a store can be written."""
_CHUNK_BYTES = 1 << 20


class StoreError(FlywheelError):
    """An object could not be kept or fetched; ``transient`` if a second try can help."""

    def __init__(self, message: str, *, transient: bool = False) -> None:
        self.transient = transient
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """One version of an object.

    Attributes:
        key: the object's.
        version: the store's name for it; None in a store without versions.
        bytes: its size.
        newest: whether it is what reading the key gives.
        marker: whether it only says that the object was deleted.
    """

    key: str
    version: str | None
    bytes: int
    newest: bool
    marker: bool = False


class Store(Protocol):
    """A place for objects, which are files under a key with slashes."""

    def url(self, key: str) -> str:
        """Return the address of an object, for people."""

    def check(self) -> None:
        """Make sure, before anything is spent, that objects can be written.

        Raises:
            StoreError: they cannot.
        """

    def put(self, key: str, path: Path, sha256: str) -> bool:
        """Keep a file; False if it was there already, byte for byte.

        Raises:
            StoreError: it could not be kept; no part of it is visible.
        """

    def get(self, key: str, target: Path, sha256: str) -> None:
        """Bring a file back.

        Raises:
            StoreError: it is not there or not what was kept; ``target`` is as it was.
        """

    def read(self, key: str) -> bytes:
        """Read a small object.

        Raises:
            StoreError: it is not there.
        """

    def write(self, key: str, content: bytes) -> None:
        """Keep a small object.

        Raises:
            StoreError: it could not be kept.
        """

    def keys(self, prefix: str) -> Iterator[str]:
        """List the keys that begin so, in order.

        Raises:
            StoreError: the store does not answer.
        """

    def versions(self, prefix: str) -> Iterator[StoredVersion]:
        """List all versions of the keys that begin so, also of those that were deleted.

        Raises:
            StoreError: the store does not answer, or does not let its versions be listed.
        """

    def read_version(self, version: StoredVersion) -> bytes:
        """Read a version of a small object.

        Raises:
            StoreError: it is not there.
        """

    def erase(self, version: StoredVersion) -> None:
        """Remove a version for good; one that is gone already is no error.

        Raises:
            StoreError: the store refuses it, such as for a lock.
        """

    def abort_uploads(self, key: str) -> None:
        """Remove the parts of uploads of a key that never ended.

        Raises:
            StoreError: the store does not answer.
        """

    def sha256_of(self, key: str) -> str | None:
        """Return the hash of an object's content; None if there is no object.

        Raises:
            StoreError: the store does not answer.
        """


@dataclass(frozen=True, slots=True)
class LocalStore:
    """A folder of this machine, or one that is mounted here."""

    root: Path

    def url(self, key: str) -> str:
        """Return the file's path."""
        return str(self.root / key)

    def check(self) -> None:
        """Write a file and remove it."""
        self.write(f"{PROBE}-{uuid.uuid4().hex}", b"")
        for probe in self.root.glob(f"{PROBE}-*"):
            probe.unlink(missing_ok=True)

    def put(self, key: str, path: Path, sha256: str) -> bool:
        """Copy it beside its place, check it, and rename it there."""
        target = self.root / key
        if target.is_file() and hashing.sha256_file(target) == sha256:
            return False
        with disk(target), path.open("rb") as source:
            receive(source, target, partial(require_unchanged, path, sha256))
        return True

    def get(self, key: str, target: Path, sha256: str) -> None:
        """Copy it back."""
        with disk(target), (self.root / key).open("rb") as source:
            receive(source, target, partial(require_kept, self.url(key), sha256))

    def read(self, key: str) -> bytes:
        """Read a file."""
        with disk(self.root / key):
            return (self.root / key).read_bytes()

    def write(self, key: str, content: bytes) -> None:
        """Write a file."""
        with disk(self.root / key), atomic_files.atomic_path(self.root / key) as temporary:
            temporary.write_bytes(content)
            _flush(temporary)

    def keys(self, prefix: str) -> Iterator[str]:
        """List every file under the folder, without those that are still being written."""
        folder, _, _ = prefix.rpartition("/")
        start = self.root / folder
        for path in sorted(start.rglob("*")):
            key = path.relative_to(self.root).as_posix()
            if path.is_file() and not path.name.startswith(".") and key.startswith(prefix):
                yield key

    def versions(self, prefix: str) -> Iterator[StoredVersion]:
        """List the files: a folder has one version of each."""
        for key in self.keys(prefix):
            yield StoredVersion(key, None, (self.root / key).stat().st_size, newest=True)

    def read_version(self, version: StoredVersion) -> bytes:
        """Read a file."""
        return self.read(version.key)

    def erase(self, version: StoredVersion) -> None:
        """Remove a file, and the folders that it leaves empty."""
        path = self.root / version.key
        with disk(path):
            path.unlink(missing_ok=True)
            folder = path.parent
            while folder != self.root and folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
                folder = folder.parent

    def abort_uploads(self, key: str) -> None:
        """Remove what a killed copy left beside the file's place."""
        path = self.root / key
        with disk(path):
            for part in path.parent.glob(f".{glob.escape(path.name[:100])}.*"):
                part.unlink(missing_ok=True)

    def sha256_of(self, key: str) -> str | None:
        """Hash a file."""
        path = self.root / key
        return hashing.sha256_file(path) if path.is_file() else None


@contextmanager
def disk(path: Path) -> Iterator[None]:
    """Turn refusals of the file system into errors of the store.

    Raises:
        StoreError: names the path and what is wrong with it.
    """
    try:
        yield
    except InputError as wrong:
        raise StoreError(str(wrong)) from wrong
    except FileNotFoundError as wrong:
        raise StoreError(f"{wrong.filename}: there is no such object.") from wrong
    except OSError as wrong:
        full = is_disk_full(wrong) or wrong.errno == errno.EFBIG
        message = "the disk is full. Fix: free space" if full else str(wrong)
        raise StoreError(f"{path}: {message}.") from wrong


def receive(source: BinaryIO, target: Path, require: Callable[[_Hash], None]) -> None:
    """Write a stream beside its place, check what was written, and rename it there.

    Args:
        source: the stream, read to its end.
        target: gets it; as it was if anything goes wrong.
        require: raises unless the hash of the whole is the one that is wanted.
    """
    with atomic_files.atomic_path(target) as temporary:
        digest = hashlib.sha256()
        with temporary.open("wb") as out:
            while chunk := source.read(_CHUNK_BYTES):
                digest.update(chunk)
                out.write(chunk)
        _flush(temporary)
        require(digest)


def _flush(path: Path) -> None:
    """Make sure that it is on the disk before its name says so."""
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


def require_kept(name: str, sha256: str, digest: _Hash) -> None:
    """Refuse to hand out another content than was kept.

    Raises:
        StoreError: what came back is not that.
    """
    if digest.hexdigest() != sha256:
        raise StoreError(
            f"{name}: its SHA-256 is {digest.hexdigest()}, not {sha256}, which was kept. "
            "It was changed or cut. Fix: bring it back from a backup, or run the cycle again."
        )


def require_unchanged(path: Path, sha256: str, digest: _Hash) -> None:
    """Refuse to keep another content under a hash; a second try hashes the file again.

    Raises:
        StoreError: what was read is not what was hashed before.
    """
    if digest.hexdigest() != sha256:
        raise StoreError(
            f"{path}: has changed since it was hashed ({sha256}). Fix: leave the cycle's files "
            "alone while a run works on them, and try again.",
            transient=True,
        )
