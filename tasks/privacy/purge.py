"""Purge a recording or a voice from a clinic: plan it, and do all of it or nothing."""

from __future__ import annotations

import secrets
import shlex
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files
from tasks.common.counted import counted
from tasks.common.errors import InputError
from tasks.data.cycle_folder import Cycle, clinic_names, cycle_folders, open_cycle
from tasks.data.cycle_lock import lock_cycle
from tasks.privacy import clinic_files, purge_marking
from tasks.privacy.keyed_hashes import keyed_hash, make_key, read_key
from tasks.privacy.packed_files import search_bytes
from tasks.privacy.purge_journal_file import (
    JournalState,
    PurgeJournal,
    discard,
    read_journal,
    stage,
    swap,
)
from tasks.privacy.purge_marking import PlannedChanges, TouchedModel
from tasks.privacy.purge_plan import ChangeKind, FileChange, plan_files
from tasks.privacy.purge_scope import find_scope, nested_cycles
from tasks.privacy.selection import PurgeSelection, select, select_listed
from tasks.privacy.store_purge import StoreChange, plan_store, purge_store
from tasks.privacy.traces import RecordingTraces
from tasks.records import audit_log, run_record
from tasks.records.audit_log import AuditedAct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tasks.privacy.purge_list import PurgeList
    from tasks.records.store import Store

_KEYED_LIST = "keyed_list"
PAGE_MARK = (
    "Rows of this page were purged since it was made. Figures that rest on them stay, and can no "
    "longer be recomputed."
)


@dataclass(frozen=True, slots=True)
class PurgeRequest:
    """What a user asks to purge.

    Attributes:
        cycle: in whose manifest the recording stands.
        recording: which one; None where a voice is purged.
        voice: all recordings of this voice, in every cycle.
        folders: more folders that are looked at, such as a sheet's or an export's.
        prefixes: of the stores' keys that are looked at beside the clinic's, such as an inbox.
        listed: all recordings that a list names, in every cycle.
        is_whole: whether the folder of cycles was named, and none of them.
    """

    cycle: Cycle
    recording: str | None = None
    voice: str | None = None
    folders: tuple[Path, ...] = ()
    prefixes: tuple[str, ...] = ()
    listed: PurgeList | None = None
    is_whole: bool = False

    @property
    def clinic(self) -> Path:
        """The folder of cycles."""
        return self.cycle.path.parent

    @property
    def label(self) -> str:
        """What the user types to confirm."""
        if self.listed is not None:
            return self.listed.label
        return self.recording or self.voice or ""

    @property
    def what(self) -> str:
        """The kind of what is purged."""
        if self.listed is not None:
            return "list"
        return "voice" if self.voice is not None else "recording"

    def as_dict(self) -> dict[str, Any]:
        """Return what makes two requests the same."""
        return {
            "cycle": None if self.is_whole else self.cycle.path.name,
            "recording": self.recording,
            "voice": self.voice,
            "recordings": self._lines(),
            "folders": sorted(map(str, self.folders)),
            "prefixes": sorted(self.prefixes),
        }

    def _lines(self) -> list[str] | None:
        if self.listed is None:
            return None
        return sorted(entry.written for entry in self.listed.entries)


@dataclass
class PurgePlan:
    """All that a purge will do.

    Attributes:
        request: the user's.
        selection: which recordings go.
        changes: of files.
        models: that know the recordings.
        handoffs: folders of hand-offs that hold such a model.
        results: folders with figures that rest on them.
        opaque: files that cannot be looked into.
        stores: changes in each store, by its name.
        beside: files and folders in the folder of cycles that were not looked at.
        keyed_list: keyed hash of a list, by which the audit log knows it again.
    """

    request: PurgeRequest
    selection: PurgeSelection
    changes: PlannedChanges
    models: list[TouchedModel]
    handoffs: list[Path]
    results: list[Path]
    opaque: list[Path]
    stores: dict[str, list[StoreChange]] = field(default_factory=dict)
    beside: tuple[Path, ...] = ()
    keyed_list: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left of what was purged before."""
        return not self.selection.rows

    @property
    def ordered(self) -> list[FileChange]:
        """The changes of files, by their paths."""
        return [self.changes.by_path[path] for path in sorted(self.changes.by_path)]

    @property
    def left(self) -> list[FileChange]:
        """The files that have to be removed by hand."""
        return [change for change in self.ordered if change.kind is ChangeKind.LEFT]

    def summary(self) -> dict[str, Any]:
        """Return counts and keyed hashes, without a name or a text, for the audit log."""
        kinds = Counter(change.kind.value for change in self.ordered)
        samples, hashes = self.selection.samples, self.selection.traces.hashes
        return {
            "what": self.request.what,
            **({} if self.keyed_list is None else {_KEYED_LIST: self.keyed_list}),
            "keyed_sha256": sorted(hashes[sha256] for sha256 in samples),
            "rows": len(self.selection.rows),
            "files": dict(sorted(kinds.items())),
            "models": [model.folder.name for model in self.models],
            "stores": {name: len(changes) for name, changes in self.stores.items()},
        }


def first_cycle(clinic: Path) -> Cycle:
    """Return the first cycle of a folder of cycles.

    Raises:
        InputError: it holds none.
    """
    if not (folders := cycle_folders(clinic)):
        raise InputError(f"{clinic}: holds no cycle. Fix: name the folder of cycles, or a cycle.")
    return open_cycle(folders[0])


@contextmanager
def locked(request: PurgeRequest) -> Iterator[None]:
    """Lock every cycle of the clinic for the purge.

    Raises:
        BusyError: a run works on one of them.
    """
    with ExitStack() as locks:
        for folder in cycle_folders(request.clinic):
            locks.enter_context(lock_cycle(open_cycle(folder), purging=True))
        for nested in nested_cycles(request.clinic, request.folders):
            locks.enter_context(lock_cycle(open_cycle(nested), purging=True))
        yield


def plan_purge(
    request: PurgeRequest, stores: Mapping[str, Store], *, dry: bool = False
) -> PurgePlan:
    """Find every trace of what is to go; nothing is changed but that the key is made.

    Args:
        request: the user's.
        stores: opened, by their names.
        dry: whether the plan is only shown; then no key is made.

    Raises:
        InputError: no row is meant, or a file cannot be read.
        StoreError: a store does not answer.
    """
    scope = find_scope(request.clinic, request.folders)
    files = scope.files
    # Hashes with a key that is not kept tell nothing; a list alone needs no others.
    key = secrets.token_bytes() if dry else make_key(request.clinic)
    keyed_list = None
    listed = request.listed
    if listed is not None:
        keyed_list = keyed_hash(key, listed.digest)
        selection = select_listed(
            listed,
            request.clinic,
            scope,
            key,
            first=None if request.is_whole else request.cycle,
            can_be_gone=_was_purged(request.clinic, listed),
        )
    else:
        selection = select(
            request.cycle, scope, key, recording=request.recording, voice=request.voice
        )
    changes = PlannedChanges()
    for change in plan_files(selection, files, PAGE_MARK):
        changes.add(change)
    models = purge_marking.find_models(selection, files)
    handoffs = purge_marking.mark_models(changes, models, selection, files)
    results = purge_marking.mark_results(changes, selection)
    purge_marking.update_hashes(changes)
    opaque = [path for path in files if path.suffix.lower() in clinic_files.OPAQUE]
    plan = PurgePlan(
        *(request, selection, changes, models, handoffs, results, opaque),
        beside=tuple(path for path in scope.beside if listed is None or path != listed.path),
        keyed_list=keyed_list,
    )
    for name, store in stores.items():
        plan.stores[name] = plan_store(store, _prefixes(request), selection.traces, PAGE_MARK)
    return plan


def _was_purged(clinic: Path, listed: PurgeList) -> bool:
    """Return whether the audit log says that a list was purged; without the key it cannot."""
    key = read_key(clinic)
    if key is None:
        return False
    keyed = keyed_hash(key, listed.digest)
    return any(
        line["act"] == AuditedAct.PURGE.value and line["ids"].get(_KEYED_LIST) == keyed
        for line in audit_log.read_lines(clinic)
    )


def _prefixes(request: PurgeRequest) -> tuple[str, ...]:
    return (*(f"{name}/" for name in clinic_names(request.cycle)), *request.prefixes)


def recorded_stores(clinic: Path) -> list[str]:
    """List the stores that finished runs of a clinic were kept in, by their records."""
    names: list[str] = []
    for folder in cycle_folders(clinic):
        cycle = open_cycle(folder)
        if run_record.is_complete(cycle):
            # Also of a run whose record lacks other things.
            record = atomic_files.read_json(cycle.path / run_record.RECORD_NAME)
            name = record.get("config", {}).get("store")
            if name and str(name) not in names:
                names.append(str(name))
    return names


def apply_purge(
    plan: PurgePlan, stores: Mapping[str, Store], report: Callable[[str], None]
) -> list[StoreChange]:
    """Do a planned purge: files first, in one swap, then the stores.

    Returns:
        What a store refused to remove.

    Raises:
        StoreError: a store does not answer; the same command goes on from there.
    """
    journal = PurgeJournal(
        plan.request.clinic,
        plan.request.as_dict(),
        traces=plan.selection.traces.as_dict(),
        summary=plan.summary(),
    )
    stage(journal, plan.ordered)
    swap(journal)
    report(f"{counted(len(journal.changes), 'file')} changed or removed")
    return _finish(journal, plan.request, stores, report)


def resume(
    request: PurgeRequest, stores: Mapping[str, Store], report: Callable[[str], None]
) -> list[StoreChange] | None:
    """Finish a purge that was interrupted; None where there is none, or it had changed nothing.

    Raises:
        InputError: another purge was interrupted.
        StoreError: a store does not answer.
    """
    journal = read_journal(request.clinic)
    if journal is None:
        return None
    if journal.state is JournalState.STAGING:
        discard(journal)
        return None
    if journal.request != request.as_dict():
        raise InputError(
            f"{journal.path}: another purge was interrupted. Fix: end it first: "
            f"{_command_of(journal)}, with the same options."
        )
    report("a purge was interrupted: going on with it")
    if journal.state is JournalState.SWAPPING:
        swap(journal)
    return _finish(journal, request, stores, report)


def refuse_interrupted(clinic: Path) -> None:
    """Refuse to list what is there while a purge has changed only a part of it.

    Raises:
        InputError: a purge was interrupted after its first change.
    """
    journal = read_journal(clinic)
    if journal is not None and journal.state is not JournalState.STAGING:
        raise InputError(
            f"{journal.path}: a purge was interrupted, and the cycles are not whole. Fix: end it "
            f"first: {_command_of(journal)} --apply, with the same options."
        )


def _command_of(journal: PurgeJournal) -> str:
    """Return the command that ends a purge; what it was given as a list its journal holds."""
    named = journal.request
    place = journal.clinic if named["cycle"] is None else journal.clinic / named["cycle"]
    option, value = next(
        (f"--{what}", named[what]) for what in ("recordings", "recording", "voice") if named[what]
    )
    if option == "--recordings":
        value = str(journal.path)
    return shlex.join(("asr-flywheel", "purge", str(place), option, value))


def _finish(
    journal: PurgeJournal,
    request: PurgeRequest,
    stores: Mapping[str, Store],
    report: Callable[[str], None],
) -> list[StoreChange]:
    traces = RecordingTraces.from_dict(journal.traces)
    refused: list[StoreChange] = []
    for name, store in stores.items():
        done = purge_store(store, _prefixes(request), traces, PAGE_MARK)
        report(f"{name}: {counted(len(done.changes), 'object')} changed or removed")
        refused += done.refused
    audit_log.record(
        request.clinic,
        AuditedAct.PURGE,
        None if request.is_whole else request.cycle.path.name,
        **{**journal.summary, "refused_in_stores": len(refused)},
    )
    journal.remove()
    return refused


def leftovers(traces: RecordingTraces, files: Sequence[Path]) -> list[Path]:
    """Search all files once more, as bytes; return those that still tell a recording."""
    return [path for path in files if path.is_file() and search_bytes(path, traces)]
