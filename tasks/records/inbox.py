"""The inbox of a store, where the build stage leaves cycles: what is new, and bringing it here.

``<prefix>cycle<N>/manifest.jsonl`` with whatever belongs to it (audio, per_sample.json) beside it.
The manifest is to be written last: its content says whether anything has come. What was seen is
remembered by its hash in the folder that gets the cycles, after it was handed on: a crash between
the two hands it on again, which costs a run that finds everything done.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from tasks.common import atomic_files
from tasks.common.counted import counted
from tasks.common.errors import InputError
from tasks.common.schemas import KEY, Schema
from tasks.data.cycle_folder import Cycle, open_cycle
from tasks.data.cycle_lock import lock_cycle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tasks.records.store import Store

SEEN_NAME = ".inbox-seen.json"
_MANIFEST = "manifest.jsonl"
_KEY = re.compile(r"cycle([1-9][0-9]*)/manifest\.jsonl")


@dataclass(frozen=True, slots=True)
class Arrival:
    """A manifest that was not seen before.

    Attributes:
        number: the cycle's.
        prefix: of the cycle's objects.
        sha256: of the manifest.
        rows: it has.
        grown: whether an earlier manifest of the same cycle was seen.
    """

    number: int
    prefix: str
    sha256: str
    rows: int
    grown: bool


def arrivals(store: Store, prefix: str, folder: Path) -> list[Arrival]:
    """List the new or changed manifests since the last hand-over, by number.

    Args:
        store: where the inbox is.
        prefix: of the inbox: "" or with a slash at its end.
        folder: gets the cycles, and remembers what was seen.

    Raises:
        StoreError: the store does not answer.
        InputError: what was seen cannot be read.
    """
    hashes = _read_seen(folder)
    arrived = []
    for key in store.keys(prefix):
        if (match := _KEY.fullmatch(key.removeprefix(prefix))) is None:
            continue
        content = store.read(key)
        sha256 = hashlib.sha256(content).hexdigest()
        if hashes.get(match[1]) != sha256:
            rows = sum(bool(line.strip()) for line in content.splitlines())
            place = key.removesuffix(_MANIFEST)
            arrived.append(Arrival(int(match[1]), place, sha256, rows, match[1] in hashes))
    return sorted(arrived, key=lambda arrival: arrival.number)


def bring(
    store: Store, arrival: Arrival, folder: Path, report: Callable[[str], None] = lambda _: None
) -> Cycle:
    """Bring a cycle's files into the folder of cycles; the manifest comes last.

    Never under a run that works on the cycle: it would end by another manifest than it began by.
    What is there already with the same content stays; nothing that is only here is removed.

    Raises:
        StoreError: the store does not answer.
        BusyError: a run works on the cycle.
        InputError: a file's name leads out of the cycle's folder.
    """
    place = folder / f"cycle{arrival.number}"
    place.mkdir(parents=True, exist_ok=True)
    cycle = open_cycle(place)
    with lock_cycle(cycle):
        _copy(store, arrival, place, report)
    return cycle


def _copy(store: Store, arrival: Arrival, place: Path, report: Callable[[str], None]) -> None:
    keys = sorted(store.keys(arrival.prefix), key=lambda key: (key.endswith(f"/{_MANIFEST}"), key))
    new = 0
    for key in keys:
        name = PurePosixPath(key.removeprefix(arrival.prefix))
        if name.is_absolute() or ".." in name.parts:
            raise InputError(f"{store.url(key)}: leads out of the cycle's folder. Fix: rename it.")
        content, target = store.read(key), place / name
        if target.is_file() and target.read_bytes() == content:
            continue
        with atomic_files.atomic_path(target) as temporary:
            temporary.write_bytes(content)
        new += 1
    report(
        f"{place}: {counted(len(keys), 'file')}, {new} of them new; {counted(arrival.rows, 'row')}"
    )


def remember(folder: Path, arrival: Arrival) -> None:
    """Do not tell of this manifest again."""
    seen = {**_read_seen(folder), str(arrival.number): arrival.sha256}
    atomic_files.write_json(folder / SEEN_NAME, Schema.INBOX.mark(seen))


def _read_seen(folder: Path) -> dict[str, str]:
    """Read the hashes of the manifests that were handed over, by the cycle's number."""
    path = folder / SEEN_NAME
    if not path.is_file():
        return {}
    document = atomic_files.read_json(path)
    Schema.INBOX.check(document, path)
    return {str(number): str(sha256) for number, sha256 in document.items() if number != KEY}
