"""What a purge will do to each file: remove it, rewrite it, or say why it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.common.counted import counted
from tasks.common.errors import InputError
from tasks.data.cycle_folder import FORMULARY_NAME, PHRASES_NAME, cycle_number
from tasks.privacy import clinic_files
from tasks.privacy.packed_files import PackedFileError, search_bytes, search_packed
from tasks.privacy.scrub_rows import scrub_json, scrub_table
from tasks.privacy.scrub_texts import scrub_lines, scrub_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tasks.privacy.selection import PurgeSelection
    from tasks.privacy.traces import RecordingTraces

WORK_SUFFIXES = (".work", ".importing")
"""How the hidden folders of unfinished work end."""


_TERMS = frozenset(
    (FORMULARY_NAME, PHRASES_NAME, "terms.csv", "terms_without_rows.csv", "riva_word_boosting.json")
)
"""Lists of the clinic's terms: a row that says nothing but a term is not told by them."""


class ChangeKind(StrEnum):
    """What happens to a file."""

    REMOVE = "remove"
    REWRITE = "rewrite"
    CREATE = "create"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class FileChange:
    """What a purge does to one file.

    Attributes:
        path: the file's.
        kind: what happens to it; a file that is left has to be removed by hand.
        why: in words.
        content: its new bytes, where it is rewritten or made.
    """

    path: Path
    kind: ChangeKind
    why: str
    content: bytes | None = None

    def __str__(self) -> str:
        return f"{self.kind.value:<8} {self.path}: {self.why}"


def plan_files(selection: PurgeSelection, files: Sequence[Path], mark: str) -> Iterator[FileChange]:
    """Yield what happens to each file that tells the recordings, in a fixed order.

    Args:
        selection: what goes.
        files: all files that are looked at.
        mark: the sentence for pages.
    """
    audio = frozenset(selection.audio)
    for path in selection.audio:
        if path.is_file() or path.is_symlink():
            yield FileChange(path, ChangeKind.REMOVE, "the recording")
    removed_folders: set[Path] = set()
    named = _without_suffixes(audio) - _without_suffixes(map(Path, selection.traces.kept_paths))
    for path in files:
        if path in audio or clinic_files.is_audio(path) or path.name in _TERMS:
            continue
        work = _work_folder(path)
        if work in removed_folders:
            continue
        is_beside = path.with_suffix("") in named and _is_beside_recordings(path)
        change = _beside(path) if is_beside else change_of(path, selection.traces, mark)
        if change is None:
            continue
        if work is None:
            yield change
            continue
        removed_folders.add(work)
        for inner in files:
            if inner.is_relative_to(work):
                why = f"unfinished work that holds the recording ({work.name})"
                yield FileChange(inner, ChangeKind.REMOVE, why)


def _without_suffixes(paths: Iterable[Path]) -> set[Path]:
    return {path.with_suffix("") for path in paths}


def _beside(path: Path) -> FileChange:
    return FileChange(path, ChangeKind.REMOVE, "beside the recording, with its name")


def _is_beside_recordings(path: Path) -> bool:
    """Return whether a text lies in a folder inside of a cycle, where recordings are."""
    folder, *above = (parent.name for parent in path.parents)
    inside = cycle_number(folder) is None and any(cycle_number(name) is not None for name in above)
    return inside and is_readable_kind(path)


def _work_folder(path: Path) -> Path | None:
    """Return the hidden folder of unfinished work that a file lies in."""
    for folder in path.parents:
        if folder.name.startswith(".") and folder.name.endswith(WORK_SUFFIXES):
            return folder
    return None


def change_of(path: Path, traces: RecordingTraces, mark: str) -> FileChange | None:
    """Return what happens to a file that is no recording; None where it tells nothing."""
    try:
        if path.suffix.lower() not in clinic_files.PACKED:
            return _scrubbed(path, traces, mark) or _change_of_bytes(path, traces)
        if not search_packed(path, traces):
            return None
        return FileChange(path, ChangeKind.LEFT, "a packed file that tells the recording")
    except PackedFileError as unreadable:
        return FileChange(path, ChangeKind.LEFT, f"cannot be looked into ({unreadable})")
    except OSError as refused:
        raise InputError(
            f"{path}: cannot be read ({refused}), so that nothing is purged. Fix: let this user "
            "read the file."
        ) from refused


def change_text(name: Path, text: str, traces: RecordingTraces, mark: str) -> str | None:
    """Return the new text of a file by its kind; None where nothing is changed.

    Raises:
        ValueError: a page cannot be cut, or the file is not what its name says.
    """
    suffix = name.suffix.lower()
    by_kind: tuple[tuple[bool, Callable[[], str | None]], ...] = (
        (suffix in clinic_files.ROWS, lambda: scrub_json(text, name, traces)),
        (suffix in clinic_files.TABLES, lambda: scrub_table(text, name, traces)),
        (suffix in clinic_files.PAGES, lambda: scrub_page(text, traces, mark)),
    )
    for applies, scrub in by_kind:
        if applies:
            return scrub()
    return scrub_lines(text, traces)


def is_readable_kind(path: Path) -> bool:
    """Return whether a file's kind is one that can be rewritten."""
    suffix = path.suffix.lower()
    kinds = clinic_files.ROWS | clinic_files.TABLES | clinic_files.PAGES
    return suffix in kinds or clinic_files.is_lines(path)


def _scrubbed(path: Path, traces: RecordingTraces, mark: str) -> FileChange | None:
    if not is_readable_kind(path):
        return None
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None
    try:
        changed = change_text(path, text, traces, mark)
    except (ValueError, RecursionError) as wrong:
        if path.suffix.lower() in clinic_files.PAGES:
            return FileChange(path, ChangeKind.REMOVE, str(wrong))
        changed = scrub_lines(text, traces)
    if changed is None or changed == text:
        return None
    lines = len(text.splitlines()) - len(changed.splitlines())
    why = f"{counted(lines, 'line')} fewer" if lines > 0 else "names and texts taken out"
    return FileChange(path, ChangeKind.REWRITE, why, changed.encode())


def _change_of_bytes(path: Path, traces: RecordingTraces) -> FileChange | None:
    """Return what happens to a file of another format, which is searched and not changed."""
    if is_readable_kind(path) or not search_bytes(path, traces):
        return None
    return FileChange(path, ChangeKind.LEFT, "another format, which tells the recording")
