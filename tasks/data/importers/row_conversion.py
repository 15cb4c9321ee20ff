"""Convert the recordings of a source's rows, several at a time, and keep a journal of them."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files, hashing
from tasks.data.importers import staging
from tasks.data.importers.audio_conversion import Span, check_duration, choose_channel, convert
from tasks.data.importers.recording_reader import ConversionError, open_recording
from tasks.data.importers.row_checks import MOST_FAULTS, find_fault, make_record, refusal
from tasks.data.importers.source_rows import RowFault, SourceRow
from tasks.data.manifest import BANDWIDTH, NARROW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from tasks.data.importers.formats import SourceFormat
    from tasks.data.importers.import_settings import ImportSettings
    from tasks.data.importers.recording_reader import OpenRecording
    from tasks.data.importers.staging import Staging

# Rows of one recording that are converted by one open of it.
_ROWS_A_GROUP = 256
_GROUPS_IN_FLIGHT = 8
_REPORT_EVERY_S = 5.0


def row_key(row: SourceRow, settings: ImportSettings) -> str:
    """Return a hash of all that a row's conversion depends on."""
    stat = row.recording.path.stat()
    return hashing.fingerprint(
        [
            row.recording.name,
            stat.st_size,
            stat.st_mtime_ns,
            row.text,
            row.start,
            row.end,
            row.duration,
            row.channel,
            dict(row.fields),
            settings.channels.describe(),
            settings.seed,
        ]
    )[:32]


@dataclass(frozen=True, slots=True)
class _Task:
    """A row to convert: its number in the source from 1, and its key."""

    number: int
    key: str
    row: SourceRow


def convert_rows(
    source: Path,
    source_format: SourceFormat,
    settings: ImportSettings,
    place: Staging,
    total: int,
    report: Callable[[str], None],
) -> int:
    """Write the recordings and the journal; return how many rows an earlier import had done."""
    place.take_old_journal()
    progress = _Progress(total, report)
    resumed = faulty = 0
    units = _units(source_format.read(source, settings.reading), settings, place)
    with (
        ThreadPoolExecutor(settings.workers) as pool,
        place.journal.open("w", encoding="utf-8", buffering=1) as journal,
    ):
        for entry in _entries(units, settings, place, pool):
            resumed += bool(entry.pop("resumed", False))
            faulty += "fault" in entry
            staging.write_entry(journal, entry)
            progress.count(entry.get("duration", 0.0))
            if faulty >= MOST_FAULTS and not settings.leave_out:
                pool.shutdown(wait=True, cancel_futures=True)
                break
    if faulty and not settings.leave_out:
        faults = [
            RowFault(entry["place"], entry["fault"], entry["fix"])
            for entry in place.entries()
            if "fault" in entry
        ]
        raise refusal(source, faults, place)
    return resumed


@dataclass
class _Progress:
    """Reports now and then how far an import is."""

    total: int
    report: Callable[[str], None]
    _began: float = field(default_factory=time.monotonic)
    _told: float = field(default_factory=time.monotonic)
    _done: int = 0
    _seconds: float = 0.0

    def count(self, seconds: float) -> None:
        """Count a row of so many seconds."""
        self._done += 1
        self._seconds += seconds
        now = time.monotonic()
        if now - self._told > _REPORT_EVERY_S:
            self._told = now
            self.report(
                f"{self._done:,} of {self.total:,} rows, {self._seconds / 3600:.2f} h of sound, "
                f"{self._done / (now - self._began):.0f} rows/s"
            )


def _units(
    rows: Iterable[SourceRow | RowFault], settings: ImportSettings, place: Staging
) -> Iterator[dict[str, Any] | list[_Task]]:
    """Yield, in the source's order, entries that are known already and groups to convert."""
    old = place.old_entries()
    seen_files: set[Path] = set()
    group: list[_Task] = []
    for row_number, found in enumerate(rows, start=1):
        before = next(old, {})
        entry: dict[str, Any] | None = None
        task: _Task | None = None
        fault = find_fault(found, seen_files)
        if isinstance(found, RowFault) or fault is not None:
            entry = fault_entry(row_number, "", fault or RowFault("", "", ""))
        else:
            task = _Task(row_number, row_key(found, settings), found)
            if _is_done(task, before, place):
                entry = {**before, "place": found.place, "resumed": True}
        is_other = bool(group and task and group[-1].row.recording != task.row.recording)
        if group and (entry is not None or is_other or len(group) >= _ROWS_A_GROUP):
            yield group
            group = []
        if entry is not None:
            yield entry
        elif task is not None:
            group.append(task)
    if group:
        yield group


def _is_done(task: _Task, before: dict[str, Any], place: Staging) -> bool:
    if before.get("key") != task.key or "fault" in before:
        return False
    try:
        stat = (place.content / staging.audio_name(task.number)).stat()
    except OSError:
        return False
    return stat.st_size == before.get("bytes")  # a host that lost its power may have cut it


def _entries(
    units: Iterable[dict[str, Any] | list[_Task]],
    settings: ImportSettings,
    place: Staging,
    pool: ThreadPoolExecutor,
) -> Iterator[dict[str, Any]]:
    """Yield the rows' entries in the source's order, while a few groups are being converted."""
    in_flight: deque[Future[list[dict[str, Any]]] | dict[str, Any]] = deque()
    for unit in units:
        in_flight.append(
            pool.submit(_convert_group, unit, settings, place) if isinstance(unit, list) else unit
        )
        while len(in_flight) > _GROUPS_IN_FLIGHT * settings.workers:
            yield from _results(in_flight.popleft())
    while in_flight:
        yield from _results(in_flight.popleft())


def _results(unit: Future[list[dict[str, Any]]] | dict[str, Any]) -> list[dict[str, Any]]:
    return [unit] if isinstance(unit, dict) else unit.result()


def fault_entry(number: int, key: str, fault: RowFault) -> dict[str, Any]:
    """Return the journal's entry of a row that cannot be imported."""
    return {
        "number": number,
        "key": key,
        "place": fault.place,
        "fault": fault.problem,
        "fix": fault.fix,
    }


def _convert_group(
    tasks: list[_Task], settings: ImportSettings, place: Staging
) -> list[dict[str, Any]]:
    """Convert rows of one recording, which is opened once."""
    entries: list[dict[str, Any]] = []
    has_spans = any(task.row.is_span for task in tasks)
    try:
        with open_recording(tasks[0].row.recording, place.scratch, has_spans=has_spans) as opened:
            for task in tasks:
                try:
                    entries.append(_convert_row(task, opened, settings, place))
                except ConversionError as wrong:
                    fault = RowFault(task.row.place, wrong.problem, wrong.fix)
                    entries.append(fault_entry(task.number, task.key, fault))
    except ConversionError as wrong:
        entries = [
            fault_entry(task.number, task.key, RowFault(task.row.place, wrong.problem, wrong.fix))
            for task in tasks
        ]
    return entries


def _convert_row(
    task: _Task, opened: OpenRecording, settings: ImportSettings, place: Staging
) -> dict[str, Any]:
    row = task.row
    span = Span(row.start, row.end)
    if not row.is_span:
        check_duration(opened.audio.frames / opened.audio.samplerate, row.duration)
    voice = row.fields.get("voice_id")
    channel = choose_channel(opened, span, row.channel, voice, settings.channels)
    name = staging.audio_name(task.number)
    target = place.content / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_files.atomic_path(target) as temporary:
        converted = convert(opened, span, channel, settings.seed, temporary)
    record = {**make_record(row), "audio_filepath": name, "duration": converted.duration}
    if converted.is_narrow:
        record[BANDWIDTH] = NARROW
    return {
        "number": task.number,
        "key": task.key,
        "place": row.place,
        "duration": converted.duration,
        "bytes": target.stat().st_size,
        "record": record,
        "provenance": {
            "audio_filepath": name,
            "recording": str(row.recording.path),
            "member": row.recording.member,
            "recording_sha256": opened.sha256,
            "start": row.start,
            "end": row.end,
            "channel": None if converted.channel is None else converted.channel + 1,
            "source_place": row.place,
            "source_rate": converted.source_rate,
            "source_format": converted.source_format,
            "samples_sha256": converted.samples_sha256,
            "change": converted.change,
            "dithered": converted.dithered,
            "clipped_samples": converted.clipped,
        },
    }
