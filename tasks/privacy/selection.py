"""Which recordings are to go: those that a user names, and every file with the same samples."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import soundfile

from tasks.common import hashing
from tasks.common.errors import InputError
from tasks.data import audio_probe
from tasks.data.audio_paths import path_parts
from tasks.data.audio_probe import AudioFacts
from tasks.data.cycle_folder import cycle_number
from tasks.data.importers.staging import ABOUT, SET_APART
from tasks.data.source_spans import PROVENANCE
from tasks.privacy import clinic_files
from tasks.privacy.import_sources import sources_of
from tasks.privacy.keyed_hashes import keyed_hash
from tasks.privacy.listed_rows import ListedRows, find_listed_rows
from tasks.privacy.phrases import split_words
from tasks.privacy.purgeable_rows import PurgeableRow, provenance_of, read_manifests, samples_of
from tasks.privacy.shared_sound import SharingRow, find_sharing
from tasks.privacy.traces import AUDIO_KEYS, TEXT_KEYS, RecordingTraces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tasks.data.cycle_folder import Cycle
    from tasks.privacy.purge_list import PurgeList
    from tasks.privacy.purge_scope import PurgeScope

_SAID = frozenset(
    (*TEXT_KEYS, "hyp", "hyp_without_phrases", "pred_text", "hypothesis", "served", "offline")
) | {"plain", "note"}
"""The fields that hold what was said or heard, in files of this tool and in results."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class PurgeSelection:
    """What is to go.

    Attributes:
        label: what was named: the recording, the voice or the list.
        traces: of all recordings that go.
        rows: of manifests.
        audio: the files of the recordings that are removed.
        samples: hashes of the recordings' samples, where they could be read.
        outside: hard links to the recordings that no folder holds that was looked at.
        sources: what an import made the rows of, recordings and tables; they are not touched.
        listed: what each line of a list means.
        nameless: voices of which no row stays, whose names stay in figures.
        sharing: rows that stay and have sound of a purged one.
    """

    label: str
    traces: RecordingTraces
    rows: tuple[PurgeableRow, ...]
    audio: tuple[Path, ...]
    samples: frozenset[str]
    outside: int
    sources: tuple[str, ...] = ()
    listed: tuple[ListedRows, ...] = ()
    nameless: tuple[str, ...] = ()
    sharing: tuple[SharingRow, ...] = ()


def select(
    cycle: Cycle,
    scope: PurgeScope,
    key: bytes,
    *,
    recording: str | None = None,
    voice: str | None = None,
) -> PurgeSelection:
    """Find the recordings that a user names, in a cycle's manifest, and all their copies.

    Args:
        cycle: that holds them; a voice is looked for in every manifest.
        scope: where is looked.
        key: for the hashes that stay.
        recording: its path, name, name without suffix or hash of samples; or the name of the
            recording that an import cut it from.
        voice: the voice_id.

    Raises:
        InputError: no row is meant, or several are by a name.
    """
    rows = list(read_manifests(scope.files))
    apart = cycle.manifest.with_name(SET_APART)
    own = [row for row in rows if row.manifest in {cycle.manifest, apart}]
    if voice is not None:
        chosen = [row for row in rows if row.fields.get("voice_id") == voice]
        label = voice
    else:
        label = recording or ""
        chosen = _named(own, label) or _cut_from(cycle, own, label)
        if len({row.audio for row in chosen}) > 1 and not _cut_from(cycle, own, label):
            several = ", ".join(row.written for row in chosen[:_SHOWN])
            raise InputError(
                f"{cycle.manifest}: {label!r} means several recordings ({several}). Fix: name one "
                "by its path in the manifest."
            )
    if not chosen:
        kind = "voice_id" if voice is not None else "recording"
        raise InputError(
            f"{cycle.manifest}: no row has the {kind} {label!r}. Fix: write it as the manifest "
            "does; of a recording that is gone from it, nothing can be found."
        )
    return _with_copies(label, chosen, rows, scope, key, () if voice is None else (voice,))


def select_listed(
    purge_list: PurgeList,
    clinic: Path,
    scope: PurgeScope,
    key: bytes,
    *,
    first: Cycle | None,
    can_be_gone: bool,
) -> PurgeSelection:
    """Find the recordings that a user's list means, in every cycle, and all their copies.

    Args:
        purge_list: the list.
        clinic: the folder of cycles.
        scope: where is looked.
        key: for the hashes that stay.
        first: the cycle that was named, if it was one.
        can_be_gone: whether a line may mean nothing, since this list was purged before.

    Raises:
        InputError: a line means nothing, or several things; or the list would be purged itself.
    """
    rows = list(read_manifests(scope.files))
    listed = find_listed_rows(purge_list, rows, clinic, first=first, can_be_gone=can_be_gone)
    if purge_list.path in scope.files:
        raise InputError(
            f"{purge_list.path}: lies in a folder that is purged, so that its lines would go as "
            "well, and a purge that is killed could not be resumed. Fix: move it out of there."
        )
    chosen = {(row.manifest, row.number): row for line in listed for row in line.rows}
    voices = dict.fromkeys(line.voice for line in listed if line.voice is not None)
    selection = _with_copies(
        purge_list.label, list(chosen.values()), rows, scope, key, tuple(voices)
    )
    gone = {(row.manifest, row.number) for row in selection.rows}
    stays = {row.fields.get("voice_id") for row in rows if (row.manifest, row.number) not in gone}
    spoke = {row.fields.get("voice_id") for row in selection.rows}
    nameless = sorted(str(voice) for voice in spoke - stays - voices.keys() - {None, ""})
    return replace(selection, listed=tuple(listed), nameless=tuple(nameless))


def _named(rows: Sequence[PurgeableRow], label: str) -> list[PurgeableRow]:
    """Return the rows of a recording by its path, else by its name, else by its stem or hash."""
    ways: tuple[Callable[[PurgeableRow], bool], ...] = (
        lambda row: label in {row.written, str(row.audio)},
        lambda row: label == path_parts(row.written)[-1],
        lambda row: label == Path(path_parts(row.written)[-1]).stem,
        lambda row: _SHA256.fullmatch(label) is not None and label == samples_of(row.audio),
    )
    for means in ways:
        if chosen := [row for row in rows if means(row)]:
            return chosen
    return []


def _cut_from(cycle: Cycle, rows: Sequence[PurgeableRow], label: str) -> list[PurgeableRow]:
    """Return the rows that an import cut from a recording of this name."""
    provenance = cycle.path / PROVENANCE
    if not provenance.is_file():
        return []
    audio = {
        str(row.get("audio_filepath"))
        for row in clinic_files.rows_of(provenance)
        if label in {str(row.get("recording")), path_parts(str(row.get("recording")))[-1]}
    }
    return [row for row in rows if row.written in audio]


def _with_copies(
    label: str,
    chosen: Sequence[PurgeableRow],
    rows: Sequence[PurgeableRow],
    scope: PurgeScope,
    key: bytes,
    voices: Sequence[str],
) -> PurgeSelection:
    named = sorted({row.audio for row in chosen})
    present = [path for path in named if path.is_file()]
    facts = [fact for fact in audio_probe.probe_all(present) if isinstance(fact, AudioFacts)]
    samples = {fact.sha256 for fact in facts} | _recorded_samples(chosen)
    inodes = {(path.stat().st_dev, path.stat().st_ino) for path in present}
    lengths = {(fact.frames, fact.sample_rate) for fact in facts}
    candidates = sorted(
        {path for path in scope.files if clinic_files.is_audio(path)} | {row.audio for row in rows}
    )
    audio = set(named)
    for path in candidates:
        if path in audio or not path.is_file():
            continue
        stat = path.stat()
        if (stat.st_dev, stat.st_ino) in inodes or (
            _length(path) in lengths and samples_of(path) in samples
        ):
            audio.add(path)
    # A link's target goes with it.
    audio |= {path.resolve() for path in audio if path.is_symlink()}
    purged = [row for row in rows if row.audio in audio]
    kept = {path for path in audio if scope.sources.holds(path)}
    there = sorted(path for path in audio - kept if path.is_file() and not path.is_symlink())
    traces = RecordingTraces(
        paths={str(path) for path in audio} | {str(path.resolve()) for path in audio},
        names={row.written for row in purged},
        hashes={
            sha256: keyed_hash(key, sha256)
            for sha256 in sorted(
                samples | {hashing.sha256_file(path) for path in (*there, *kept) if path.is_file()}
            )
        },
        pairs={pair for row in purged for pair in _pairs(row)},
        kept_pairs={pair for row in rows if row.audio not in audio for pair in _pairs(row)},
        kept_paths={str(path) for path in candidates if path not in audio},
        tails={tail for row in purged if (tail := _tail(row)) is not None},
        sizes={path.stat().st_size for path in there},
        voices={voice: f"purged-{keyed_hash(key, voice_hash(voice))[:12]}" for voice in voices},
    )
    traces.seal()
    _collect_phrases(traces, scope.files, purged)
    traces.seal()
    links = {(path.stat().st_dev, path.stat().st_ino): path.stat().st_nlink for path in there}
    counted = len({(path.stat().st_dev, path.stat().st_ino, str(path)) for path in there})
    return PurgeSelection(
        label,
        traces,
        tuple(purged),
        tuple(sorted(audio - kept)),
        frozenset(samples),
        sum(links.values()) - counted,
        tuple(sorted({*map(str, kept), *_read_by_imports(purged)})),
        sharing=find_sharing(rows, purged),
    )


def _read_by_imports(rows: Sequence[PurgeableRow]) -> Iterator[str]:
    """Yield the recordings that imports made rows of, and what else they read."""
    for _, entry in provenance_of(rows):
        yield str(entry["recording"])
    for about in sorted({row.manifest.with_name(ABOUT) for row in rows}):
        if about.is_file():
            yield from sources_of(about)


def _tail(row: PurgeableRow) -> str | None:
    """Return a recording's path below the folder of cycles; None where it lies elsewhere."""
    clinic = row.manifest.parent.parent
    inside = row.audio.is_relative_to(clinic) and cycle_number(row.manifest.parent.name) is not None
    return row.audio.relative_to(clinic).as_posix() if inside else None


def voice_hash(voice: str) -> str:
    """Return a hash of a voice's name, to be keyed."""
    return hashing.fingerprint(["voice", voice])


def _recorded_samples(rows: Sequence[PurgeableRow]) -> set[str]:
    """Return the hashes of samples that imports wrote down, of recordings that may be gone."""
    origins = (entry for _, entry in provenance_of(rows))
    return {str(entry["samples_sha256"]) for entry in origins if "samples_sha256" in entry}


def _length(path: Path) -> tuple[int, int] | None:
    try:
        info = soundfile.info(str(path))
    except (soundfile.SoundFileError, OSError):
        return None
    return int(info.frames), int(info.samplerate)


def _pairs(row: PurgeableRow) -> Iterator[tuple[str, tuple[str, ...]]]:
    text = row.fields.get("text")
    if isinstance(text, str):
        yield row.written, split_words(text)


def _collect_phrases(
    traces: RecordingTraces, files: Sequence[Path], purged: Sequence[PurgeableRow]
) -> None:
    """Collect what was said and heard in the recordings; leave out what other rows say too."""
    for text in (text for row in purged for text in _texts(row.fields)):
        traces.phrases.add(text)
    sources = [path for path in files if path.suffix.lower() in {".json", ".jsonl", ".csv", ".tsv"}]
    for path in sources:
        for fields in clinic_files.rows_of(path):
            for text in _texts(fields) if traces.is_row(fields, path) else ():
                traces.phrases.add(text)
    for path in sources:
        for fields in clinic_files.rows_of(path):
            traces.phrases.keep_terms(_terms(fields))
            if not _is_row(fields) or traces.is_row(fields, path):
                continue
            # What it says may be what the purged row said; manifests tell what stays.
            if not traces.is_unclear(fields, path):
                _keep(traces, fields)


def _keep(traces: RecordingTraces, fields: Mapping[str, Any]) -> None:
    for text in _texts(fields):
        traces.phrases.keep(text)


def _is_row(fields: Mapping[str, Any]) -> bool:
    """Return whether an object is about a recording, and not about figures."""
    named = any(isinstance(fields.get(key), str) for key in (*AUDIO_KEYS, "audio_sha256"))
    return named and any(isinstance(fields.get(key), str) for key in _SAID)


def _texts(fields: Mapping[str, Any]) -> Iterator[str]:
    for name in _SAID & fields.keys():
        if isinstance(value := fields[name], str):
            yield value


def _terms(fields: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(term := fields.get("term"), str):
        yield term
    if isinstance(items := fields.get("terms"), list):
        for item in items:
            if isinstance(item, dict) and isinstance(item.get("term"), str):
                yield item["term"]
