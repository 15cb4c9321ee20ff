"""Import a corpus into a cycle folder: read its rows, convert its recordings, tell where from.

The rows are read twice: once to check them all before anything is converted, and once to convert.
So memory does not grow with the corpus, and a broken one is refused before any work.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files, hashing
from tasks.common.errors import InputError
from tasks.data import findings
from tasks.data.audio_checks import AudioLimits
from tasks.data.canonical import canonical
from tasks.data.importers import formats, staging
from tasks.data.importers.audio_conversion import (
    RATE,
    ChannelRule,
    ConversionError,
    Span,
    check_duration,
    choose_channel,
    convert,
    open_recording,
)
from tasks.data.importers.source_rows import SKIP_FIX, ReadOptions, RowFault, SourceRow
from tasks.data.manifest import check_record
from tasks.data.preflight import preflight
from tasks.data.term_checks import read_terms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from tasks.data.importers.audio_conversion import OpenRecording
    from tasks.data.importers.formats import SourceFormat
    from tasks.data.importers.staging import Staging

BANDWIDTH = "bandwidth"
"""The manifest's field that says ``narrow`` where the source holds a telephone's bandwidth."""
SEED = 42
_FOLDER = re.compile(r"cycle[1-9][0-9]*")
_SHOWN_FAULTS = 20
_MOST_FAULTS = 1000
# Rows of one recording that are converted by one open of it.
_ROWS_A_GROUP = 256
_GROUPS_IN_FLIGHT = 8
_REPORT_EVERY_S = 5.0
# A text with tags or of unknown characters is a matter of `asr-flywheel tags` and of the base.
_NOT_OURS = ("text-",)


@dataclass(frozen=True, slots=True)
class ImportSettings:
    """How a corpus is imported.

    Attributes:
        format: a name of tasks/data/importers/formats.py; None to find out.
        reading: what the user says about the source.
        channels: which channel of a recording with several.
        seed: of the dither.
        leave_out: leave faulty rows out, instead of refusing the source.
        check: check the converted recordings as preflight does.
        workers: threads that convert.
    """

    format: str | None = None
    reading: ReadOptions = field(default_factory=ReadOptions)
    channels: ChannelRule = field(default_factory=ChannelRule)
    seed: int = SEED
    leave_out: bool = False
    check: bool = True
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What an import did.

    Attributes:
        format: the source's.
        rows: in the manifest.
        left_out: faulty rows that are not.
        seconds: of sound.
        resumed: rows that an earlier, stopped import had converted.
        changes: rows by what conversion changed: none, rate, depth, rate and depth.
        narrow: rows of at most 8 kHz.
        clipped: rows with samples that full scale limited.
        warnings: what the check found that does not stop a run.
    """

    format: str
    rows: int
    left_out: int
    seconds: float
    resumed: int
    changes: dict[str, int]
    narrow: int
    clipped: int
    warnings: tuple[str, ...] = ()


def import_source(
    source: Path,
    target: Path,
    settings: ImportSettings,
    *,
    command: Sequence[str] = (),
    report: Callable[[str], None] = lambda _: None,
) -> ImportSummary:
    """Import a corpus into a new cycle folder.

    Args:
        source: its file or folder; never written to.
        target: the cycle's folder, ``cycle<N>``.
        settings: how.
        command: the command as typed, for the provenance.
        report: takes a line of progress now and then.

    Raises:
        InputError: the source is broken, or the cycle has content; nothing is in the cycle's folder
            then, and what was converted is used when the import is started again.
    """
    source, target = Path(os.path.abspath(source)), Path(os.path.abspath(target))  # noqa: PTH100 - links stay as they are named
    if not _FOLDER.fullmatch(target.name):
        raise InputError(
            f"{target}: a cycle's folder is named cycle1, cycle2, …. Fix: name one of these."
        )
    if not source.exists():
        raise InputError(f"{source}: there is no such file or folder.")
    if source.is_dir() and target.is_relative_to(source):
        raise InputError(
            f"{target}: is inside the source, which is never changed. "
            "Fix: import into a cycle folder outside it."
        )
    staging.check_target(target)
    source_format = formats.choose(source, settings.format)
    report(f"reading {source} as {source_format.name}: {source_format.title}")
    total = _check_rows(source, source_format, settings)
    with staging.open_staging(target) as place:
        resumed = _convert_rows(source, source_format, settings, place, total, report)
        return _finish(source, source_format, settings, place, command, resumed)


def _rows(source: Path, source_format: SourceFormat, settings: ImportSettings) -> Iterator[Any]:
    return source_format.read(source, settings.reading)


def _check_rows(source: Path, source_format: SourceFormat, settings: ImportSettings) -> int:
    """Return the number of the source's rows, of which none is faulty unless some may be left out.

    Raises:
        InputError: names faulty rows.
    """
    total = sound = 0
    faults: list[RowFault] = []
    seen_files: set[Path] = set()
    for found in _rows(source, source_format, settings):
        total += 1
        fault = _fault_of(found, seen_files)
        if fault is None:
            sound += 1
        elif len(faults) < _MOST_FAULTS:
            faults.append(fault)
    if not sound and not faults:
        raise InputError(
            f"{source}: has no rows that {source_format.name} could read. "
            "Fix: name the right file or folder, or another --format."
        )
    if faults and (not settings.leave_out or not sound):
        raise _refusal(source, faults)
    return total


def _refusal(source: Path, faults: Sequence[RowFault], place: Staging | None = None) -> InputError:
    shown = "\n".join(f"  {fault}" for fault in faults[:_SHOWN_FAULTS])
    more = len(faults) - _SHOWN_FAULTS
    least = "at least " if len(faults) >= _MOST_FAULTS else ""
    rows = "row" if len(faults) == 1 else "rows"
    return InputError(
        f"{source}: {least}{len(faults)} {rows} cannot be imported\n{shown}"
        + (f"\n  … and {more} more" if more > 0 else "")
        + (
            f"\nThe other rows are kept in {place.folder}: the same import goes on from there."
            if place is not None
            else ""
        )
    )


def _fault_of(found: SourceRow | RowFault, seen_files: set[Path]) -> RowFault | None:
    """Return what is wrong with a row before its recording is opened."""
    if isinstance(found, RowFault):
        return found
    path = found.recording.path
    if path not in seen_files:
        if not os.path.isfile(path):  # noqa: PTH113 - a name that is too long is no file
            return RowFault(
                found.place,
                f"there is no recording {path}",
                f"put it there, or correct its name, {SKIP_FIX}",
            )
        if len(seen_files) < _MOST_FAULTS:  # shards and long recordings; memory stays flat
            seen_files.add(path)
    record = {**_record(found), "audio_filepath": "audio"}
    errors = [
        finding
        for finding in check_record(1, record)
        if finding.severity is findings.Severity.ERROR
    ]
    if errors:
        first = errors[0]
        value = f" ({first.value[:120]!r})" if first.value else ""
        return RowFault(found.place, f"{first.problem}{value}", f"{first.fix}, {SKIP_FIX}")
    return None


def _record(row: SourceRow) -> dict[str, Any]:
    record = {"audio_filepath": "", "text": row.text, "duration": None, **row.fields}
    read_terms(record)  # a table holds the list as text
    return record


def _key(row: SourceRow, settings: ImportSettings) -> str:
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


def _convert_rows(
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
    units = _units(_rows(source, source_format, settings), settings, place)
    with (
        ThreadPoolExecutor(settings.workers) as pool,
        place.journal.open("w", encoding="utf-8", buffering=1) as journal,
    ):
        for entry in _entries(units, settings, place, pool):
            resumed += bool(entry.pop("resumed", False))
            faulty += "fault" in entry
            staging.write_entry(journal, entry)
            progress.count(entry.get("duration", 0.0))
            if faulty >= _MOST_FAULTS and not settings.leave_out:
                pool.shutdown(wait=True, cancel_futures=True)
                break
    if faulty and not settings.leave_out:
        faults = [
            RowFault(entry["place"], entry["fault"], entry["fix"])
            for entry in place.entries()
            if "fault" in entry
        ]
        raise _refusal(source, faults, place)
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
        fault = _fault_of(found, seen_files)
        if isinstance(found, RowFault) or fault is not None:
            entry = _fault_entry(row_number, "", fault or RowFault("", "", ""))
        else:
            task = _Task(row_number, _key(found, settings), found)
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


def _fault_entry(number: int, key: str, fault: RowFault) -> dict[str, Any]:
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
                    entries.append(_fault_entry(task.number, task.key, fault))
    except ConversionError as wrong:
        entries = [
            _fault_entry(task.number, task.key, RowFault(task.row.place, wrong.problem, wrong.fix))
            for task in tasks
        ]
    return entries


def _convert_row(
    task: _Task, opened: OpenRecording, settings: ImportSettings, place: Staging
) -> dict[str, Any]:
    row = task.row
    span = Span(row.start, row.end)
    if not row.is_span:
        check_duration(opened, row.duration)
    voice = row.fields.get("voice_id")
    channel = choose_channel(opened, span, row.channel, voice, settings.channels)
    name = staging.audio_name(task.number)
    target = place.content / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_files.atomic_path(target) as temporary:
        converted = convert(opened, span, channel, settings.seed, temporary)
    record = {**_record(row), "audio_filepath": name, "duration": converted.duration}
    if converted.is_narrow:
        record[BANDWIDTH] = "narrow"
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


def _finish(
    source: Path,
    source_format: SourceFormat,
    settings: ImportSettings,
    place: Staging,
    command: Sequence[str],
    resumed: int,
) -> ImportSummary:
    """Write manifest and provenance, check the recordings, and put all into the cycle's folder."""
    left_out = {entry["number"]: entry for entry in place.entries() if "fault" in entry}
    conflicts = dict(_conflicting(place.entries()))
    _leave_out_or_refuse(source, settings, place, conflicts, left_out)
    manifest = place.content / staging.MANIFEST
    _write_rows(place, left_out)
    warnings: tuple[str, ...] = ()
    if settings.check:
        result = preflight(manifest, AudioLimits(RATE), None)
        numbers = [entry["number"] for entry in place.entries() if entry["number"] not in left_out]
        places = {entry["number"]: entry["place"] for entry in place.entries()}
        errors: dict[int, RowFault] = {}
        notes = []
        for finding in result.findings:
            is_ours = finding.row is not None and not finding.code.startswith(_NOT_OURS)
            if finding.severity is findings.Severity.ERROR and is_ours and finding.row:
                number = numbers[finding.row - 1]
                errors.setdefault(
                    number,
                    RowFault(places[number], finding.problem, f"{finding.fix}, {SKIP_FIX}"),
                )
            else:
                notes.append(finding)
        warnings = tuple(findings.summarise(notes).splitlines())
        if errors:
            _leave_out_or_refuse(source, settings, place, errors, left_out)
            _write_rows(place, left_out)
    counts: dict[str, int] = {}
    rows = narrow = clipped = 0
    seconds = 0.0
    for entry in place.entries():
        if entry["number"] in left_out:
            continue
        rows += 1
        seconds += entry["duration"]
        change = entry["provenance"]["change"]
        counts[change] = counts.get(change, 0) + 1
        narrow += BANDWIDTH in entry["record"]
        clipped += entry["provenance"]["clipped_samples"] > 0
    if not rows:
        raise InputError(f"{source}: every row is faulty, so that nothing is left to import.")
    summary = ImportSummary(
        source_format.name,
        rows,
        len(left_out),
        round(seconds, 3),
        resumed,
        counts,
        narrow,
        clipped,
        warnings,
    )
    _write_about(source, settings, place, command, summary)
    if left_out:
        atomic_files.write_jsonl(
            place.content / staging.LEFT_OUT,
            (
                {"place": entry["place"], "problem": entry["fault"], "fix": entry["fix"]}
                for _, entry in sorted(left_out.items())
            ),
        )
    _remove_strays(place, left_out)
    place.publish()
    return summary


def _leave_out_or_refuse(
    source: Path,
    settings: ImportSettings,
    place: Staging,
    faults: dict[int, RowFault],
    left_out: dict[int, dict[str, Any]],
) -> None:
    if not faults:
        return
    if not settings.leave_out:
        (place.content / staging.MANIFEST).unlink(missing_ok=True)
        raise _refusal(source, [fault for _, fault in sorted(faults.items())], place)
    left_out.update({number: _fault_entry(number, "", fault) for number, fault in faults.items()})


def _conflicting(entries: Iterable[dict[str, Any]]) -> Iterator[tuple[int, RowFault]]:
    """Yield the rows whose sound another row has with another text."""
    first: dict[str, tuple[str, str]] = {}
    for entry in entries:
        if "fault" in entry:
            continue
        text = hashing.fingerprint(canonical(entry["record"]["text"]))[:16]
        sound = entry["provenance"]["samples_sha256"][:32]
        place, other = first.setdefault(sound, (entry["place"], text))
        if other != text:
            yield (
                entry["number"],
                RowFault(
                    entry["place"],
                    f"the same sound as {place}, with another text",
                    f"listen to it and correct the text that it is not, {SKIP_FIX}",
                ),
            )


def _write_rows(place: Staging, left_out: dict[int, dict[str, Any]]) -> None:
    def kept() -> Iterator[dict[str, Any]]:
        return (entry for entry in place.entries() if entry["number"] not in left_out)

    atomic_files.write_jsonl(
        place.content / staging.MANIFEST, (entry["record"] for entry in kept())
    )
    atomic_files.write_jsonl(
        place.content / staging.PROVENANCE, (entry["provenance"] for entry in kept())
    )


def _write_about(
    source: Path,
    settings: ImportSettings,
    place: Staging,
    command: Sequence[str],
    summary: ImportSummary,
) -> None:
    """Write import.json: the command and what holds for all rows."""
    atomic_files.write_json(
        place.content / staging.ABOUT,
        {
            "command": list(command),
            "source": str(source),
            "format": summary.format,
            "columns": dict(settings.reading.columns),
            "part": settings.reading.part,
            "channel_rule": settings.channels.describe() or None,
            "seed": settings.seed,
            "rows": summary.rows,
            "left_out": summary.left_out,
            "seconds": summary.seconds,
            "changes": summary.changes,
            "narrow": summary.narrow,
            "clipped": summary.clipped,
            "manifest_sha256": hashing.sha256_file(place.content / staging.MANIFEST),
        },
    )


def _remove_strays(place: Staging, left_out: dict[int, dict[str, Any]]) -> None:
    """Remove recordings of rows that are left out, or that the source no longer has."""
    last = 0
    for entry in place.entries():
        last = max(last, entry["number"])
    audio = place.content / staging.AUDIO
    for folder in sorted(audio.iterdir()):
        for path in folder.iterdir():
            is_row = path.suffix == ".flac" and path.stem.isdigit()
            if not is_row or int(path.stem) > last or int(path.stem) in left_out:
                path.unlink()
        if not any(folder.iterdir()):
            shutil.rmtree(folder)
