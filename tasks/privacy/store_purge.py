"""Take a recording out of a store: every version of an object that holds it, and its lists.

A run's MANIFEST.json names the hash of each of its files; it gets the new ones, after the files, so
that a run is never there with hashes that do not fit.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tasks.common.counted import agreed, counted
from tasks.privacy import clinic_files
from tasks.privacy.purge_plan import change_text, is_readable_kind
from tasks.privacy.scrub_texts import scrub_lines
from tasks.records.archive import MANIFEST
from tasks.records.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tasks.privacy.traces import RecordingTraces
    from tasks.records.store import Store, StoredVersion

_LARGEST_TEXT = 256 << 20


@dataclass(frozen=True, slots=True)
class StoreChange:
    """What happens to an object.

    Attributes:
        url: of the object.
        why: in words.
        versions: how many of its versions go.
    """

    url: str
    why: str
    versions: int

    def __str__(self) -> str:
        return (
            f"{self.url}: {self.why}; {counted(self.versions, 'version')} "
            f"{agreed(self.versions, 'goes', 'go')}"
        )


@dataclass
class StorePurge:
    """What was done in a store, and what it refused."""

    changes: list[StoreChange] = field(default_factory=list)
    refused: list[StoreChange] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Object:
    """A key's versions, the newest first, and what is to become of them."""

    key: str
    versions: Sequence[StoredVersion]
    content: bytes | None
    goes: bool
    older: Sequence[StoredVersion]


def plan_store(
    store: Store, prefixes: Iterable[str], traces: RecordingTraces, mark: str
) -> list[StoreChange]:
    """List what a purge would do in a store.

    Raises:
        StoreError: it does not answer.
    """
    return [_describe(store, found) for found in _find(store, prefixes, traces, mark)]


def purge_store(
    store: Store, prefixes: Iterable[str], traces: RecordingTraces, mark: str
) -> StorePurge:
    """Take a recording out of a store; can be done again, and then finds what is left.

    Raises:
        StoreError: the store does not answer, or refuses to write.
    """
    done = StorePurge()
    for found in _find(store, prefixes, traces, mark):
        if found.content is not None:
            store.write(found.key, found.content)
        doomed = list(found.versions if found.goes else found.older)
        if found.content is not None:
            # Without versions the new content has taken the place, and the name, of the old one.
            newest = {v.version for v in store.versions(found.key) if v.newest}
            doomed = [version for version in doomed if version.version not in newest]
        refused = 0
        for version in doomed:
            try:
                store.erase(version)
            except StoreError as kept:
                if kept.transient:
                    raise
                refused += 1
        store.abort_uploads(found.key)
        done.changes.append(_describe(store, found))
        if refused:
            why = "the store refused to remove versions (a lock, or missing rights)"
            done.refused.append(StoreChange(store.url(found.key), why, refused))
    return done


def _describe(store: Store, found: _Object) -> StoreChange:
    why = "removed" if found.goes else "rewritten" if found.content is not None else "old versions"
    count = len(found.versions) if found.goes else len(found.older)
    return StoreChange(store.url(found.key), why, count)


def _find(
    store: Store, prefixes: Iterable[str], traces: RecordingTraces, mark: str
) -> Iterator[_Object]:
    """Yield the objects that tell the recording; a run's list of hashes after its files."""
    for prefix in prefixes:
        by_key: dict[str, list[StoredVersion]] = {}
        for version in store.versions(prefix):
            by_key.setdefault(version.key, []).append(version)
        changed: set[str] = set()
        for key in sorted(by_key, key=lambda key: (_is_manifest(key), key)):
            if _is_manifest(key):
                found = _manifest(store, key, by_key, changed, traces)
            else:
                found = _look(store, key, by_key[key], traces, mark)
            if found is not None:
                changed.add(key)
                yield found


def _is_manifest(key: str) -> bool:
    return PurePosixPath(key).name == MANIFEST


def _look(
    store: Store, key: str, versions: Sequence[StoredVersion], traces: RecordingTraces, mark: str
) -> _Object | None:
    path = Path("/") / key
    if clinic_files.is_audio(path):
        return _recording(store, key, versions, traces)
    if not is_readable_kind(path):
        return None
    told, content = [], None
    for version in versions:
        if version.marker or version.bytes > _LARGEST_TEXT:
            continue
        changed = _changed(store, version, path, traces, mark)
        if changed is not None:
            told.append(version)
            content = changed if version.newest else content
    return _Object(key, versions, content, goes=False, older=told) if told else None


def _recording(
    store: Store, key: str, versions: Sequence[StoredVersion], traces: RecordingTraces
) -> _Object | None:
    """Return a recording's object if it goes: by its bytes, of any version."""
    told = [version for version in versions if _is_recording(store, version, traces)]
    if not told:
        return None
    # A key that holds another recording today keeps that one.
    goes = any(version.newest for version in told) or all(
        version in told or version.marker for version in versions
    )
    return _Object(key, versions, None, goes, told)


def _is_recording(store: Store, version: StoredVersion, traces: RecordingTraces) -> bool:
    """Return whether a version's bytes are those of a purged recording."""
    if version.marker or version.bytes not in traces.sizes:
        return False
    return hashlib.sha256(store.read_version(version)).hexdigest() in traces.hashes


def _changed(
    store: Store, version: StoredVersion, path: Path, traces: RecordingTraces, mark: str
) -> bytes | None:
    try:
        text = store.read_version(version).decode("utf-8")
    except UnicodeDecodeError:
        return None
    try:
        changed = change_text(path, text, traces, mark)
    except (ValueError, RecursionError):
        changed = scrub_lines(text, traces)
    return None if changed is None or changed == text else changed.encode()


def _manifest(
    store: Store,
    key: str,
    by_key: Mapping[str, Sequence[StoredVersion]],
    changed: set[str],
    traces: RecordingTraces,
) -> _Object | None:
    """Give a run's list the hashes that its files have now; names of files that are gone leave it.

    The store's state counts and not what this call changed: an earlier call may have been killed.
    """
    prefix = key.removesuffix(MANIFEST)
    told, content = [], None
    for version in by_key[key]:
        if version.marker:
            continue
        document: dict[str, Any] = json.loads(store.read_version(version))
        files: dict[str, Any] = {}
        for name, entry in document["files"].items():
            file_key = prefix + name
            newest = any(one.newest and not one.marker for one in by_key.get(file_key, ()))
            if not newest or entry.get("sha256") in traces.hashes:
                continue
            looked = is_readable_kind(Path("/") / name)
            sha256 = store.sha256_of(file_key) if looked else entry["sha256"]
            size = entry["bytes"] if sha256 == entry["sha256"] else len(store.read(file_key))
            files[name] = {**entry, "sha256": sha256, "bytes": size}
        planned = any(one.startswith(prefix) for one in changed)
        if files != document["files"] or planned:
            told.append(version)
            if version.newest:
                content = json.dumps({**document, "files": files}, indent=1, sort_keys=True)
    if not told:
        return None
    encoded = None if content is None else content.encode()
    return _Object(key, by_key[key], encoded, goes=False, older=told)
