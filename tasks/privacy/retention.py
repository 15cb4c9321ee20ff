"""What a site does not keep for long: kept transcripts, work folders and the sound in pages.

All of it can be made again, or is a copy. Rows, recordings, results and models stay.
"""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.common import atomic_files, hashing
from tasks.common.errors import InputError
from tasks.common.privacy_settings import KEEP_VARIABLE
from tasks.data.cycle_folder import KEPT_NAME, cycle_folders, open_cycle
from tasks.data.cycle_lock import lock_cycle
from tasks.privacy.purge_plan import WORK_SUFFIXES
from tasks.records import audit_log, run_record
from tasks.records.audit_log import AuditedAct

if TYPE_CHECKING:
    from pathlib import Path

_RULE = re.compile(r"(?P<number>[1-9][0-9]*) (?P<unit>cycles?|days?)")
_SOUND = re.compile(r'<audio[^>]*src="data:[^"]*"[^>]*>(?:</audio>)?')
_NO_SOUND = '<p class="note">The recording was removed from this page.</p>'
_TRANSCRIPTS = ".transcripts"
_DAY_S = 86400


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """How much is kept: the newest cycles, or all that is younger than some days."""

    cycles: int | None = None
    days: int | None = None


@dataclass(frozen=True, slots=True)
class ExpiredPart:
    """What goes of a cycle.

    Attributes:
        path: a folder that is removed, or a page whose sound is.
        bytes: that it has.
    """

    path: Path
    bytes: int

    def __str__(self) -> str:
        what = "the sound in" if self.path.suffix == ".html" else "remove"
        return f"{what} {self.path} ({self.bytes / 1e6:.1f} MB)"


def read_rule(text: str) -> RetentionRule:
    """Read a rule such as "3 cycles" or "90 days".

    Raises:
        InputError: it is neither.
    """
    match = _RULE.fullmatch(" ".join(text.split()))
    if match is None:
        raise InputError(
            f'keep {text!r}: is no rule. Fix: write "3 cycles" or "90 days", by --keep or in '
            f"{KEEP_VARIABLE}."
        )
    number = int(match["number"])
    is_cycles = match["unit"].startswith("cycle")
    return RetentionRule(number, None) if is_cycles else RetentionRule(None, number)


def find_expired(clinic: Path, rule: RetentionRule, now: float | None = None) -> list[ExpiredPart]:
    """List what a rule does not keep.

    Args:
        clinic: the folder of cycles.
        rule: what is kept.
        now: seconds since the epoch; by default the clock's.
    """
    folders = cycle_folders(clinic)
    if rule.cycles is not None:
        expired = folders[: -rule.cycles]
    else:
        oldest = (time.time() if now is None else now) - _DAY_S * (rule.days or 0)
        expired = [folder for folder in folders if _last_change(folder) < oldest]
    return [part for folder in expired for part in _parts(folder)]


def _last_change(folder: Path) -> float:
    """Return when a run last finished in a cycle, or when its manifest was last written."""
    names = (run_record.RECORD_NAME, "manifest.jsonl")
    times = [(folder / name).stat().st_mtime for name in names if (folder / name).is_file()]
    return max(times, default=folder.stat().st_mtime)


def _parts(folder: Path) -> list[ExpiredPart]:
    hidden = [
        path
        for place in (folder, folder / "models")
        if place.is_dir()
        for path in sorted(place.iterdir())
        if path.is_dir()
        and path.name.startswith(".")
        and (path.name == _TRANSCRIPTS or path.name.endswith(WORK_SUFFIXES))
    ]
    parts = [ExpiredPart(path, _bytes_of(path)) for path in hidden]
    preserved = f"{KEPT_NAME}/*/{folder.name}/*.html"
    for page in sorted([*folder.glob("*.html"), *folder.glob(preserved)]):
        sound = _SOUND.findall(page.read_text(encoding="utf-8"))
        if sound:
            parts.append(ExpiredPart(page, sum(map(len, sound))))
    return parts


def _bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def remove_expired(clinic: Path, rule: RetentionRule) -> list[ExpiredPart]:
    """Remove what a rule does not keep; each part at once, so that a kill leaves whole parts.

    Raises:
        BusyError: a run works on one of the cycles.
    """
    done = []
    for part in find_expired(clinic, rule):
        folder = next(path for path in (part.path, *part.path.parents) if path.parent == clinic)
        cycle = open_cycle(folder)
        with lock_cycle(cycle):
            if part.path.suffix == ".html":
                _silence(part.path)
                _renew_hash(part.path)
            else:
                shutil.rmtree(part.path)
        done.append(part)
    size = sum(part.bytes for part in done)
    if done:
        audit_log.record(clinic, AuditedAct.PURGE_EXPIRED, parts=len(done), bytes=size)
    return done


def _silence(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    atomic_files.write_text(page, _SOUND.sub(_NO_SOUND, text))


def _renew_hash(page: Path) -> None:
    """Give the run's record the page's new hash."""
    cycle = open_cycle(page.parent)
    if not run_record.is_complete(cycle):
        return
    path = cycle.path / run_record.RECORD_NAME
    record = atomic_files.read_json(path)
    files = record.get("files", {})
    if page.name in files:
        files[page.name] = hashing.sha256_file(page)
        atomic_files.write_json(path, record)
