"""Keep a run's files in the store and fetch them.

``<clinic>/cycle<N>/<run>/<path>`` holds them, where the paths are those below the folder that
holds the cycles: ``cycle<N>/manifest.jsonl``, ``cycle<N+1>/decision.json`` and so on.
MANIFEST.json, with the hash of each, comes last: a run without it is not there. Audio from other
folders than the cycle's own is not kept; the manifest says where it lies.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files, hashing
from tasks.common.counted import counted
from tasks.data.cycle_folder import KEPT_NAME, clinic_of
from tasks.records.run_record import RECORD_NAME
from tasks.records.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tasks.data.cycle_folder import Cycle
    from tasks.records.store import Store

MANIFEST = "MANIFEST.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Kept:
    """A run in the store.

    Attributes:
        prefix: of its keys.
        url: of its MANIFEST.json.
        files: how many it has.
        sent: how many of them were not there yet.
        bytes: of all files.
    """

    prefix: str
    url: str
    files: int
    sent: int
    bytes: int


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A complete run, as its MANIFEST.json tells it."""

    clinic: str
    cycle: int
    run: str
    created: str
    verdict: str
    content: dict[str, dict[str, Any]]

    @property
    def prefix(self) -> str:
        """The prefix of the run's keys."""
        return _prefix(self.clinic, self.cycle, self.run)

    def as_dict(self) -> dict[str, Any]:
        """Return the object that ``asr-flywheel runs --json`` prints."""
        return {
            "clinic": self.clinic,
            "cycle": self.cycle,
            "run": self.run,
            "created": self.created,
            "verdict": self.verdict,
            "files": len(self.content),
            "bytes": sum(entry["bytes"] for entry in self.content.values()),
        }


def keep(
    store: Store, cycle: Cycle, run: str, model: Path, verdict: str, *, audio: bool = True
) -> Kept:
    """Keep a finished run; what is there already is not sent again.

    Args:
        store: where.
        cycle: that was tuned; the results lie in the one after it.
        run: its id.
        model: the tuned model, whose folder is kept.
        verdict: of the decision.
        audio: whether the cycle's recordings are kept too.

    Raises:
        StoreError: something could not be kept; the run stays invisible.
    """
    clinic = clinic_of(cycle)
    prefix = _prefix(clinic, cycle.number, run)
    content: dict[str, dict[str, Any]] = {}
    sent = 0
    for path in _list_files(cycle, model.parent, audio=audio):
        name = path.relative_to(cycle.path.parent).as_posix()
        content[name] = {"sha256": hashing.sha256(path), "bytes": path.stat().st_size}
        sent += store.put(prefix + name, path, content[name]["sha256"])
    manifest = {
        "format": _FORMAT,
        "clinic": clinic,
        "cycle": cycle.number,
        "run": run,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "verdict": verdict,
        "files": content,
    }
    store.write(prefix + MANIFEST, json.dumps(manifest, indent=1, sort_keys=True).encode())
    total = sum(entry["bytes"] for entry in content.values())
    return Kept(prefix, store.url(prefix + MANIFEST), len(content), sent, total)


def _prefix(clinic: str, cycle: int, run: str) -> str:
    return f"{clinic}/cycle{cycle}/{run}/"


def _list_files(cycle: Cycle, model_dir: Path, *, audio: bool) -> Iterator[Path]:
    """Yield the files that the run read and wrote, without hidden files, in a fixed order."""
    for path in sorted(cycle.path.rglob("*")):
        relative = path.relative_to(cycle.path)
        hidden = any(part.startswith(".") for part in relative.parts)
        other_model = relative.parts[0] == "models" and not path.is_relative_to(model_dir)
        other_run = relative.parts[0] == KEPT_NAME
        recording = path.suffix.lower() in {".wav", ".flac"}
        if hidden or other_model or other_run:
            continue
        if path.is_file() and (audio or not recording):
            yield path
    following = cycle.next.path
    for name in (*atomic_files.read_json(following / RECORD_NAME)["files"], RECORD_NAME):
        yield following / name


def runs(store: Store, prefix: str = "") -> list[StoredRun]:
    """List the complete runs, the newest first.

    Args:
        store: where.
        prefix: "", a clinic, or clinic/cycle<N>.

    Raises:
        StoreError: the store does not answer, or a run's manifest cannot be read.
    """
    start = f"{prefix.rstrip('/')}/" if prefix else ""
    stored = [
        _read(store, key)
        for key in store.keys(start)
        if key.endswith(f"/{MANIFEST}") and key.count("/") == _prefix("c", 1, "r").count("/")
    ]
    return sorted(stored, key=lambda run: (run.created, run.run), reverse=True)


def _read(store: Store, key: str) -> StoredRun:
    try:
        manifest = json.loads(store.read(key))
        if manifest["format"] != _FORMAT:
            raise StoreError(
                f"{store.url(key)}: has format {manifest['format']!r}; "
                f"this version reads {_FORMAT}."
            )
        run = StoredRun(
            str(manifest["clinic"]),
            int(manifest["cycle"]),
            str(manifest["run"]),
            str(manifest["created"]),
            str(manifest["verdict"]),
            {
                name: {"sha256": str(entry["sha256"]), "bytes": int(entry["bytes"])}
                for name, entry in manifest["files"].items()
            },
        )
    except (ValueError, KeyError, TypeError, AttributeError) as wrong:
        raise StoreError(f"{store.url(key)}: is not a run's manifest ({wrong!r}).") from wrong
    if run.prefix + MANIFEST != key:
        raise StoreError(f"{store.url(key)}: belongs to another place ({run.prefix}).")
    for name in run.content:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name:
            raise StoreError(f"{store.url(key)}: names a file outside of its run: {name!r}.")
    return run


def fetch(
    store: Store, run: StoredRun, folder: Path, report: Callable[[str], None] = lambda _: None
) -> list[Path]:
    """Bring a run's files back and check each; run.json, the mark of a whole run, comes last.

    Files that are there already with the same content stay, so that a second call goes on.

    Returns:
        The files.

    Raises:
        StoreError: a file is not what was kept, or another one stands in its place.
    """
    names = sorted(run.content, key=lambda name: (PurePosixPath(name).name == RECORD_NAME, name))
    targets = [folder / name for name in names]
    missing = [name for name in names if not (folder / name).exists()]
    for name, target in zip(names, targets, strict=True):  # before anything is brought
        if name not in missing and hashing.sha256_file(target) != run.content[name]["sha256"]:
            raise StoreError(
                f"{target}: is there already, with another content. Fix: fetch into an empty "
                "folder."
            )
    for name in missing:
        store.get(run.prefix + name, folder / name, run.content[name]["sha256"])
    report(f"{counted(len(targets), 'file')}, each with the SHA-256 that it was kept with")
    return targets
