"""Mark what stays: models that were trained on a purged recording, and figures that rest on it."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tasks.data.cycle_folder import Cycle, cycle_number
from tasks.models import purge_marks
from tasks.models.purge_marks import MARK_NAME, PurgeMark
from tasks.privacy.purge_plan import ChangeKind, FileChange
from tasks.privacy.purge_scope import HANDOFFS
from tasks.privacy.scrub_texts import mark_page
from tasks.records import kept_runs, purge_notes, run_record
from tasks.training import recording_roles, run

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tasks.privacy.selection import PurgeSelection

_CARD = "MODEL_CARD.md"
_BOOST = "boost.json"


@dataclass(frozen=True, slots=True)
class TouchedModel:
    """A model that knows a purged recording.

    Attributes:
        folder: that holds it.
        roles: how many purged recordings it was trained on, chosen by or judged by.
        sha256: of its files, as its record has them.
    """

    folder: Path
    roles: dict[str, int]
    sha256: frozenset[str]

    def __str__(self) -> str:
        shown = ", ".join(f"{role} {count}" for role, count in sorted(self.roles.items()))
        return f"{self.folder}: {shown}"


@dataclass
class PlannedChanges:
    """All changes of a purge by their paths, to which marks and new hashes are added."""

    by_path: dict[Path, FileChange] = field(default_factory=dict)

    def add(self, change: FileChange) -> None:
        """Add a change; what was planned for the file before is replaced."""
        self.by_path[change.path] = change

    def text(self, path: Path) -> str | None:
        """Return what a file will hold; None where it will not be there."""
        change = self.by_path.get(path)
        if change is None:
            return path.read_text(encoding="utf-8") if path.is_file() else None
        if change.kind is ChangeKind.REMOVE:
            return None
        return None if change.content is None else change.content.decode()

    def rewrite(self, path: Path, text: str, why: str) -> None:
        """Plan a file's new text."""
        before = self.by_path.get(path)
        kind = ChangeKind.REWRITE if path.exists() else ChangeKind.CREATE
        said = why if before is None else f"{before.why}; {why}"
        self.add(FileChange(path, kind, said, text.encode()))

    def rewrite_json(self, path: Path, document: object, why: str) -> None:
        """Plan a file's new document."""
        text = json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False)
        self.rewrite(path, text + "\n", why)


def find_models(selection: PurgeSelection, files: Iterable[Path]) -> list[TouchedModel]:
    """List the models that were trained on, chosen or judged by the recordings."""
    folders = {
        path.parent
        for path in files
        if path.name in {recording_roles.NAME, recording_roles.TRAINED_NAME}
    }
    found = []
    for folder in sorted(folders):
        roles = recording_roles.read(folder)
        counts = Counter(
            {
                "trained": len(roles.trained & selection.traces.hashes.keys()),
                "chose": len(roles.chose & selection.traces.hashes.keys()),
                "judged": len(roles.verdicts.keys() & selection.traces.hashes.keys()),
            }
        )
        if any(counts.values()):
            shown = {role: count for role, count in counts.items() if count}
            found.append(TouchedModel(folder, shown, _hashes_of(folder)))
    return found


def _hashes_of(folder: Path) -> frozenset[str]:
    info = folder / run.INFO_NAME
    if not info.is_file():
        return frozenset()
    document = run.read_info(info)
    return frozenset({str(document.get("model_sha256")), run.tuned_hash(document)})


def mark_models(
    changes: PlannedChanges,
    models: Sequence[TouchedModel],
    selection: PurgeSelection,
    files: Iterable[Path],
) -> list[Path]:
    """Plan the marks of models and of their hand-offs; return the hand-offs' folders."""
    handoffs = [path for path in files if path.name in HANDOFFS]
    marked = []
    for model in models:
        mark = _mark_of(model, selection)
        changes.rewrite_json(model.folder / MARK_NAME, mark.as_dict(), "marks the model")
        for handoff in handoffs:
            text = changes.text(handoff)
            document = json.loads(text) if text else {}
            if document.get(HANDOFFS[handoff.name]) in model.sha256:
                changes.rewrite_json(
                    handoff.with_name(MARK_NAME), mark.as_dict(), "marks the hand-off"
                )
                marked.append(handoff.parent)
    return marked


def _mark_of(model: TouchedModel, selection: PurgeSelection) -> PurgeMark:
    roles = recording_roles.read(model.folder)
    before = purge_marks.read_mark(model.folder)
    recordings = set() if before is None else set(before.recordings)
    recordings |= roles.purged
    for sha256, keyed in selection.traces.hashes.items():
        for role, known in (
            ("trained", roles.trained),
            ("chose", roles.chose),
            ("judged", roles.verdicts),
        ):
            if sha256 in known:
                recordings.add((keyed, role))
    # What a person accepted was the model without knowing of these.
    return PurgeMark(frozenset(recordings), None)


def mark_results(changes: PlannedChanges, selection: PurgeSelection) -> list[Path]:
    """Plan the marks of figures that rest on purged rows; return the folders that hold them."""
    day = time.strftime("%Y-%m-%d", time.gmtime())
    rows = Counter(row.manifest.parent for row in selection.rows)
    marked = []
    for folder, count in sorted(rows.items()):
        number = cycle_number(folder.name)
        if number is None:
            continue
        cycle = Cycle(folder, number)
        results = [cycle]
        if run_record.is_complete(cycle.next):
            results.append(cycle.next)
        results += [kept.evaluated for kept in kept_runs.copies(cycle.next)]
        for place in results:
            own_run = place is cycle and run_record.is_complete(cycle)
            if _mark_folder(changes, place, count, day, board_only=own_run):
                marked.append(place.path)
    return marked


def _mark_folder(
    changes: PlannedChanges, cycle: Cycle, count: int, day: str, *, board_only: bool
) -> bool:
    """Plan the marks of one folder's results.

    Args:
        changes: to which they are added.
        cycle: the folder's.
        count: purged rows.
        day: today.
        board_only: whether its run.json is of the cycle before, whose figures do not rest on them.
    """
    names = [_BOOST]
    if not board_only:
        board = cycle.found_leaderboard.with_suffix(".json").name
        names += [run_record.RECORD_NAME, run_record.DECISION_NAME, board]
    note = None
    for name in names:
        if (text := changes.text(cycle.path / name)) is not None:
            document = purge_notes.add_purged(json.loads(text), count, day)
            note = purge_notes.describe_purged(document)
            changes.rewrite_json(cycle.path / name, document, "marks the figures")
    if note is None:
        return False
    if not board_only and (text := changes.text(cycle.found_leaderboard)) is not None:
        changes.rewrite(cycle.found_leaderboard, _with_note(text, note), "marks the figures")
    for page in sorted(cycle.path.glob("*_cycle[0-9]*.html")):
        is_older = board_only and not page.name.startswith("boost_")
        if not is_older and (text := changes.text(page)) is not None:
            changes.rewrite(page, mark_page(text, note), "marks the figures")
    return True


def _with_note(board: str, note: str) -> str:
    """Return a leaderboard in Markdown with the note below its title, in the place of an older."""
    lines = [line for line in board.split("\n") if not line.startswith("> Purged: ")]
    place = next((n for n, line in enumerate(lines) if line.startswith("# ")), -1) + 1
    return "\n".join([*lines[:place], "", f"> Purged: {note}", *lines[place:]])


def update_hashes(changes: PlannedChanges) -> None:
    """Plan the new hashes of changed files in the records that list them."""
    for record in sorted({path.parent for path in changes.by_path}):
        folder = record
        for _ in range(2):  # figures/ lies below the record's folder
            for name in (run_record.RECORD_NAME, *HANDOFFS):
                _update_record(changes, folder / name)
            folder = folder.parent


def _update_record(changes: PlannedChanges, record: Path) -> None:
    text = changes.text(record)
    if text is None:
        return
    document: dict[str, Any] = json.loads(text)
    files = document.get("files")
    if not isinstance(files, dict):
        return
    kept: dict[str, str] = {}
    for name, sha256 in files.items():
        change = changes.by_path.get(record.parent / name)
        if change is None or change.kind is ChangeKind.LEFT:
            kept[name] = sha256
        elif change.content is not None:
            kept[name] = hashlib.sha256(change.content).hexdigest()
    if kept != files:
        changes.rewrite_json(record, {**document, "files": kept}, "new hashes of its files")
