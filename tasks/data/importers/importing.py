"""Import a corpus into a cycle folder: read its rows, convert its recordings, tell where from.

The rows are read twice: once to check them all before anything is converted, and once to convert.
So memory does not grow with the corpus, and a broken one is refused before any work.
"""

from __future__ import annotations

import math
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files, hashing
from tasks.common.errors import InputError
from tasks.common.schemas import Schema
from tasks.data import findings
from tasks.data.audio_checks import AudioLimits
from tasks.data.canonical import canonical
from tasks.data.cycle_folder import require_cycle_name
from tasks.data.importers import formats, staging
from tasks.data.importers.audio_conversion import RATE
from tasks.data.importers.conversations import with_conversations
from tasks.data.importers.import_settings import SCORE
from tasks.data.importers.import_summary import (
    returned_recordings,
    seconds_without_transcript,
    summarise,
)
from tasks.data.importers.row_checks import check_rows, refusal
from tasks.data.importers.row_conversion import convert_rows, fault_entry
from tasks.data.importers.set_apart import write_set_apart
from tasks.data.importers.source_rows import SKIP_FIX, RowFault
from tasks.data.preflight import preflight
from tasks.data.source_spans import PROVENANCE
from tasks.data.speech_check import check_speech

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Sequence

    from tasks.data.findings import ManifestFinding
    from tasks.data.importers.formats import SourceFormat
    from tasks.data.importers.import_settings import ImportSettings
    from tasks.data.importers.import_summary import ImportSummary
    from tasks.data.importers.staging import Staging

# A text with tags or of unknown characters is a matter of `asr-flywheel tags` and of the base.
_NOT_OURS = ("text-",)
_LENGTHS = ("audio-too-short", "audio-too-long")


def choose_source(
    source: Path, target: Path, format_name: str | None
) -> tuple[Path, Path, SourceFormat]:
    """Check the places of an import and choose the format, before anything is fetched or read.

    Returns:
        Source and target by their absolute paths, and the format.

    Raises:
        InputError: there is no source, its format is not known, or the cycle has content.
    """
    source, target = Path(os.path.abspath(source)), Path(os.path.abspath(target))  # noqa: PTH100 - links stay as they are named
    require_cycle_name(target)
    if not source.exists():
        raise InputError(f"{source}: there is no such file or folder. Fix: name the corpus.")
    if source.is_dir() and target.is_relative_to(source):
        raise InputError(
            f"{target}: is inside the source, which is never changed. "
            "Fix: import into a cycle folder outside it."
        )
    staging.check_target(target)
    return source, target, formats.choose(source, format_name)


def import_source(
    source: Path,
    target: Path,
    settings: ImportSettings,
    *,
    command: Sequence[str] = (),
    report: Callable[[str], None] = lambda _: None,
    find_returned: Callable[[Iterable[str]], Container[str]] = lambda _: (),
) -> ImportSummary:
    """Import a corpus into a new cycle folder.

    Args:
        source: its file or folder; never written to.
        target: the cycle's folder, ``cycle<N>``.
        settings: how.
        command: the command as typed, for the provenance.
        report: takes a line of progress now and then.
        find_returned: says which recordings, by the hashes of their samples, were purged before.

    Raises:
        InputError: the source is broken, or the cycle has content; nothing is in the cycle's folder
            then, and what was converted is used when the import is started again.
    """
    source, target, source_format = choose_source(source, target, settings.format)
    find_returned(())  # what it cannot read is told before anything is converted
    formats.refuse_unread(source, source_format, settings.reading)
    report(f"reading {source} as {source_format.name}: {source_format.title}")
    total = check_rows(source, source_format, settings)
    with staging.open_staging(target) as place:
        if (cutter := settings.cutter) is not None:
            cutter.cut(source_format.read(source, settings.reading), settings, place, report)
            plain = source_format.read
            source_format = replace(
                source_format, read=lambda path, options: cutter.divide(plain(path, options))
            )
            total = check_rows(source, source_format, settings)
        resumed = convert_rows(source, source_format, settings, place, total, report)
        summary = _finish(source, source_format, settings, place, command, resumed, report)
        summary = replace(summary, returned=returned_recordings(place, find_returned))
        place.publish()
        return summary


def _finish(
    source: Path,
    source_format: SourceFormat,
    settings: ImportSettings,
    place: Staging,
    command: Sequence[str],
    resumed: int,
    report: Callable[[str], None],
) -> ImportSummary:
    """Write manifest and provenance, and check the recordings."""
    left_out = {entry["number"]: entry for entry in place.entries() if "fault" in entry}
    conflicts = dict(_conflicting(place.entries()))
    _leave_out_or_refuse(source, settings, place, conflicts, left_out)
    apart = _find_set_apart(source, place, settings)
    _write_rows(place, left_out, apart)
    warnings: tuple[str, ...] = ()
    if settings.check:
        errors, warnings = _check_recordings(place, {*left_out, *apart}, settings, report)
        if errors:
            _leave_out_or_refuse(source, settings, place, errors, left_out)
            _write_rows(place, left_out, apart)
    apart -= left_out.keys()
    cuts = {} if settings.cutter is None else settings.cutter.describe()
    summary = replace(
        summarise(place, source_format.name, {*left_out, *apart}),
        left_out=len(left_out),
        resumed=resumed,
        warnings=warnings,
        cut=len(cuts.get("recordings", ())),
        set_apart=len(apart),
        without_transcript_s=round(seconds_without_transcript(cuts), 1),
    )
    if not summary.rows:
        raise InputError(f"{source}: every row is faulty, so that nothing is left to import.")
    if cuts:
        atomic_files.write_json(place.content / staging.CUTS, cuts)
    if apart:
        rows = (entry for entry in place.entries() if entry["number"] in apart)
        write_set_apart(place.content / staging.SET_APART, rows)
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
    return summary


def _of_other_length(finding: ManifestFinding, settings: ImportSettings) -> ManifestFinding:
    """Return the warning about a row of a length that no training takes by default.

    It is no error: such a row can be transcribed, and cut later.
    """
    if finding.code == "audio-too-short":
        told = f"a run refuses rows under {settings.shortest:g} s"
        return findings.warning(finding.code, finding.row, finding.value, told, finding.fix)
    return findings.warning(
        finding.code,
        finding.row,
        finding.value,
        f"a run refuses rows over {settings.longest:g} s",
        "remove this cycle's folder and import again with --cut, or give run a larger "
        "--max-duration",
    )


def _check_recordings(
    place: Staging,
    not_rows: Container[int],
    settings: ImportSettings,
    report: Callable[[str], None],
) -> tuple[dict[int, RowFault], tuple[str, ...]]:
    """Check the recordings of the manifest as preflight does; return faulty rows and warnings."""
    limits = AudioLimits(RATE, min_duration=settings.shortest, max_duration=settings.longest)
    result = preflight(place.content / staging.MANIFEST, limits, None)
    found = [
        _of_other_length(one, settings) if one.code in _LENGTHS else one for one in result.findings
    ]
    if settings.detector is not None:
        spoken = check_speech(result.rows, settings.detector, report)
        report(str(spoken))
        found += spoken.findings
    numbers = [entry["number"] for entry in place.entries() if entry["number"] not in not_rows]
    places = {entry["number"]: entry["place"] for entry in place.entries()}
    errors: dict[int, RowFault] = {}
    notes = []
    for finding in found:
        is_ours = finding.row is not None and not finding.code.startswith(_NOT_OURS)
        if finding.severity is findings.Severity.ERROR and is_ours and finding.row:
            number = numbers[finding.row - 1]
            errors.setdefault(
                number,
                RowFault(places[number], finding.problem, f"{finding.fix}, {SKIP_FIX}"),
            )
        else:
            notes.append(finding)
    return errors, tuple(findings.summarise(notes).splitlines())


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
        raise refusal(source, [fault for _, fault in sorted(faults.items())], place)
    left_out.update({number: fault_entry(number, "", fault) for number, fault in faults.items()})


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


def _find_set_apart(source: Path, place: Staging, settings: ImportSettings) -> set[int]:
    """Return the numbers of the rows whose text may not be what was said.

    Raises:
        InputError: all rows are so.
    """
    if (cutter := settings.cutter) is None:
        return set()
    sound = [entry for entry in place.entries() if "fault" not in entry]
    apart = {
        entry["number"]
        for entry in sound
        if entry["record"].get(SCORE, math.inf) < cutter.least_score
    }
    if apart and len(apart) == len(sound):
        raise InputError(
            f"{source}: no row's text was heard in its recording: all {len(apart)} score under "
            f"{cutter.least_score:g}. Fix: put each transcript beside its own recording, or name "
            "a base that hears such speech with --cut-base."
        )
    return apart


def _write_rows(place: Staging, left_out: Container[int], apart: Container[int]) -> None:
    """Write the manifest, and the provenance of its rows and of those that are set apart."""

    def kept() -> Iterator[dict[str, Any]]:
        return (entry for entry in place.entries() if entry["number"] not in left_out)

    atomic_files.write_jsonl(
        place.content / staging.MANIFEST,
        with_conversations(
            lambda: (entry for entry in kept() if entry["number"] not in apart),
        ),
    )
    atomic_files.write_jsonl(place.content / PROVENANCE, (entry["provenance"] for entry in kept()))


def _write_about(
    source: Path,
    settings: ImportSettings,
    place: Staging,
    command: Sequence[str],
    summary: ImportSummary,
) -> None:
    """Write import.json: the command and what holds for all rows."""
    about = {
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
        "cut": summary.cut,
        "set_apart": summary.set_apart,
        "manifest_sha256": hashing.sha256_file(place.content / staging.MANIFEST),
    }
    atomic_files.write_json(place.content / staging.ABOUT, Schema.IMPORT.mark(about))


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
