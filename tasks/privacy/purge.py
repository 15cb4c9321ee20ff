"""Purge a recording or a voice from a clinic: plan it, and do all of it or nothing."""

from __future__ import annotations

import secrets
import shlex
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files
from tasks.common.errors import InputError
from tasks.data.cycle_folder import Cycle, clinic_names, cycle_folders, open_cycle
from tasks.data.cycle_lock import lock_cycle
from tasks.privacy import clinic_files, purge_marking
from tasks.privacy.keyed_hashes import make_key
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
from tasks.privacy.selection import PurgeSelection, select
from tasks.privacy.store_purge import StoreChange, plan_store, purge_store
from tasks.privacy.traces import RecordingTraces
from tasks.records import audit_log, run_record
from tasks.records.audit_log import AuditedAct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tasks.records.store import Store

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
    """

    cycle: Cycle
    recording: str | None = None
    voice: str | None = None
    folders: tuple[Path, ...] = ()
    prefixes: tuple[str, ...] = ()

    @property
    def clinic(self) -> Path:
        """The folder of cycles."""
        return self.cycle.path.parent

    @property
    def label(self) -> str:
        """What the user types to confirm."""
        return self.recording or self.voice or ""

    def as_dict(self) -> dict[str, Any]:
        """Return what makes two requests the same."""
        return {
            "cycle": self.cycle.path.name,
            "recording": self.recording,
            "voice": self.voice,
            "folders": sorted(map(str, self.folders)),
            "prefixes": sorted(self.prefixes),
        }


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
            "what": "voice" if self.request.voice is not None else "recording",
            "keyed_sha256": sorted(hashes[sha256] for sha256 in samples),
            "rows": len(self.selection.rows),
            "files": dict(sorted(kinds.items())),
            "models": [model.folder.name for model in self.models],
            "stores": {name: len(changes) for name, changes in self.stores.items()},
        }


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
    selection = select(request.cycle, scope, key, recording=request.recording, voice=request.voice)
    changes = PlannedChanges()
    for change in plan_files(selection, files, PAGE_MARK):
        changes.add(change)
    models = purge_marking.find_models(selection, files)
    handoffs = purge_marking.mark_models(changes, models, selection, files)
    results = purge_marking.mark_results(changes, selection)
    purge_marking.update_hashes(changes)
    opaque = [path for path in files if path.suffix.lower() in clinic_files.OPAQUE]
    plan = PurgePlan(
        request, selection, changes, models, handoffs, results, opaque, beside=scope.beside
    )
    for name, store in stores.items():
        plan.stores[name] = plan_store(store, _prefixes(request), selection.traces, PAGE_MARK)
    return plan


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
    report(f"{len(journal.changes)} files changed or removed")
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
        named = journal.request
        what = "recording" if named["recording"] is not None else "voice"
        words = ("purge", str(request.clinic / named["cycle"]), f"--{what}", str(named[what]))
        raise InputError(
            f"{journal.path}: another purge was interrupted. Fix: end it first: asr-flywheel "
            f"{shlex.join(words)}, with the same options."
        )
    report("a purge was interrupted: going on with it")
    if journal.state is JournalState.SWAPPING:
        swap(journal)
    return _finish(journal, request, stores, report)


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
        report(f"{name}: {len(done.changes)} objects changed or removed")
        refused += done.refused
    audit_log.record(
        request.clinic,
        AuditedAct.PURGE,
        request.cycle.path.name,
        **{**journal.summary, "refused_in_stores": len(refused)},
    )
    journal.remove()
    return refused


def leftovers(traces: RecordingTraces, files: Sequence[Path]) -> list[Path]:
    """Search all files once more, as bytes; return those that still tell a recording."""
    return [path for path in files if path.is_file() and search_bytes(path, traces)]
