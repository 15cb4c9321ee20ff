"""The manifest: a NeMo JSONL manifest with clinical fields (contracts, section Manifest).

This module owns the format: it reads, checks and writes it. The user's own file is never changed.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files
from tasks.common.errors import InputError
from tasks.data import findings
from tasks.data.cycle_folder import cycle_number
from tasks.data.row_schema import CLINICAL_FIELDS, KNOWN_FIELDS, check_duration, check_record
from tasks.data.row_terms import TERMS, RowTerm, categories_of, flagged_terms, sound_terms
from tasks.data.term_checks import read_terms
from tasks.data.vocabularies import VOCABULARIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tasks.data.findings import ManifestFinding


_EMPTY = findings.error(
    "empty-manifest",
    None,
    "",
    "the manifest has no rows",
    "build it with /digital-health-clinical-asr-build",
)


@dataclass(frozen=True, slots=True)
class Utterance:
    """One row of a manifest.

    Attributes:
        row: 1-based line number in the file it came from.
        audio_filepath: as written: absolute, or relative to the manifest's folder.
        text: the reference transcript.
        duration: seconds, or None where the manifest leaves it to the audio header.
        term: the clinical term whose recognition counts for KER.
        entity_category: one of the six of tasks/data/vocabularies.py.
        ipa_source: where the pronunciation came from.
        voice_id: the speaker or synthetic voice.
        noise_level: clean, snr_15db, snr_5db or the user's own.
        context_type: dictation, handoff, chart_note, history or the user's own.
        extra: fields that this tool does not know; they are kept.
        terms: several clinical terms, each with its category, where the row lists them; they count
            in the place of ``term`` and ``entity_category``.
    """

    row: int
    audio_filepath: str
    text: str
    duration: float | None = None
    term: str | None = None
    entity_category: str | None = None
    ipa_source: str | None = None
    voice_id: str | None = None
    noise_level: str | None = None
    context_type: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    terms: tuple[RowTerm, ...] = ()

    @property
    def flagged(self) -> tuple[RowTerm, ...]:
        """All clinical terms of the row: its list, or its single term."""
        return flagged_terms(self.terms, self.term, self.entity_category)

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories that the row counts for, each once."""
        return categories_of(self.terms, self.entity_category)

    @property
    def group(self) -> str | None:
        """The row's group, where its field ``group`` holds text or a number; else None."""
        return group_of(self.extra)

    @property
    def conversation(self) -> str | None:
        """The row's conversation, where ``conversation_id`` is text or a number; else None."""
        return group_of(self.extra, CONVERSATION)

    @property
    def bandwidth(self) -> str | None:
        """``narrow`` where the source held a telephone's bandwidth; else None."""
        return bandwidth_of(self.extra)

    def with_audio(self, audio_filepath: str) -> Utterance:
        """Return the same row with its audio at another path."""
        return replace(self, audio_filepath=audio_filepath)

    def with_conversation(self, conversation: str) -> Utterance:
        """Return the same row in a conversation of another name."""
        return replace(self, extra={**self.extra, CONVERSATION: conversation})

    def with_text(self, text: str) -> Utterance:
        """Return the same row with another transcript."""
        return replace(self, text=text)

    def as_dict(self) -> dict[str, Any]:
        """Return the row as a manifest holds it; absent clinical fields stay absent."""
        record: dict[str, Any] = {
            "audio_filepath": self.audio_filepath,
            "text": self.text,
            "duration": self.duration,
        }
        for name in CLINICAL_FIELDS:
            if (value := getattr(self, name)) is not None:
                record[name] = value
        if self.terms:
            record[TERMS] = [item.as_dict() for item in self.terms]
        return {**record, **self.extra}


GROUP = "group"
"""The optional field by whose values harm is looked for: a ward, an accent, a microphone."""

CONVERSATION = "conversation_id"
"""The optional field that names the conversation, dictation or call that a row is from."""

BANDWIDTH, NARROW = "bandwidth", "narrow"
"""The optional field that says which rows hold a telephone's bandwidth, and its one value."""


def group_of(record: Mapping[str, Any], name: str = GROUP) -> str | None:
    """Return the group that a row names as text or as a number; None where it names none."""
    value = record.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value).strip() or None


def bandwidth_of(record: Mapping[str, Any]) -> str | None:
    """Return ``narrow`` where a row says so; None where it does not."""
    return NARROW if record.get(BANDWIDTH) == NARROW else None


def write_manifest(path: Path, utterances: Iterable[Utterance]) -> None:
    """Write a manifest atomically."""
    atomic_files.write_jsonl(path, (utterance.as_dict() for utterance in utterances))


def read_manifest(path: Path) -> tuple[Utterance, ...]:
    """Read a manifest that must be free of errors in its schema.

    Raises:
        InputError: names every offending row, its value and the fix.
    """
    utterances, schema_findings = parse_manifest(path)
    findings.raise_errors(path, schema_findings)
    return utterances


def parse_manifest(path: Path) -> tuple[tuple[Utterance, ...], tuple[ManifestFinding, ...]]:
    """Read a manifest and report all that is wrong with its schema.

    Returns:
        The rows whose audio is named, and the findings on all rows. What is wrong with a row is
        left out of it, so that the rest can be checked in the same round.

    Raises:
        InputError: there is no file, or it is not text in UTF-8.
    """
    utterances: list[Utterance] = []
    schema_findings: list[ManifestFinding] = []
    lines = _lines(path)
    while lines and not lines[-1].strip():
        lines.pop()  # NeMo skips them as well
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            schema_findings.append(
                findings.error("blank-line", number, "", "the line is blank", "delete the line")
            )
            continue
        record, problem = _parse_line(number, line)
        if problem is not None:
            schema_findings.append(problem)
            continue
        _drop_empty_values(record)
        read_terms(record)
        schema_findings.extend(check_record(number, record))
        if (utterance := _utterance(number, record)) is not None:
            utterances.append(utterance)
    if not utterances and not schema_findings:
        schema_findings.append(_EMPTY)
    return tuple(utterances), tuple(schema_findings)


def require_content(path: Path) -> None:
    """Make sure that a manifest is a file with a line in it; what the line says is not read.

    Raises:
        InputError: it is not there, is no file, cannot be read or holds nothing.
    """
    with _readable(path), path.open("rb") as lines:
        if not any(line.strip() for line in lines):
            findings.raise_errors(path, [_EMPTY])


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what keeps a manifest from being read into an error that names the fix."""
    try:
        yield
    except FileNotFoundError as missing:
        fix = (
            "build one with /digital-health-clinical-asr-build, or name the right cycle folder."
            if cycle_number(path.absolute().parent.name) is not None
            else "name a manifest that is there."
        )
        raise InputError(f"{path}: there is no manifest. Fix: {fix}") from missing
    except IsADirectoryError as folder:
        raise InputError(
            f"{path}: is a folder, and a manifest is a file of one row a line. Fix: move the "
            "folder away, and put the manifest in its place."
        ) from folder
    except OSError as unreadable:
        raise InputError(
            f"{path}: cannot be read ({unreadable.strerror}). Fix: make it a file that you may "
            "read."
        ) from unreadable


def _lines(path: Path) -> list[str]:
    with _readable(path):
        data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        row = data[: wrong.start].count(b"\n") + 1
        raise InputError(
            f"{path}: row {row}: byte 0x{data[wrong.start]:02x} is not UTF-8. "
            "Fix: save the manifest as UTF-8."
        ) from wrong
    # Not splitlines(): it also splits at characters that may stand inside a JSON string.
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _parse_line(number: int, line: str) -> tuple[dict[str, Any], ManifestFinding | None]:
    def no_duplicates(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        duplicates = sorted({name for name in names if names.count(name) > 1})
        if duplicates:
            raise ValueError(f"key {duplicates[0]!r} stands twice")
        return dict(pairs)

    try:
        record = json.loads(line, object_pairs_hook=no_duplicates)
        # Half of a surrogate pair is JSON, but it cannot be written as UTF-8 again.
        json.dumps(record, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as wrong:
        return {}, findings.error(
            "not-json",
            number,
            line.strip(),
            f"not a JSON object ({wrong})",
            "write one JSON object a line",
        )
    if not isinstance(record, dict):
        return {}, findings.error(
            "not-an-object",
            number,
            line.strip(),
            "the line is JSON but not an object",
            'write {"audio_filepath": …, "text": …}',
        )
    return record, None


def _drop_empty_values(record: dict[str, Any]) -> None:
    """Take an empty text for no value, as csv.DictReader writes it and as results have it."""
    for name in (*CLINICAL_FIELDS, "duration"):
        if isinstance(value := record.get(name), str) and not value.strip():
            del record[name]


def _utterance(number: int, record: Mapping[str, Any]) -> Utterance | None:
    """Return a row with those of its fields that are sound; None where it names no audio."""
    audio, text = record.get("audio_filepath"), record.get("text")
    if not isinstance(audio, str) or not audio.strip() or "\0" in audio:
        return None
    duration = record.get("duration")
    known_fields: dict[str, Any] = {
        "audio_filepath": audio,
        "text": text if isinstance(text, str) and "\0" not in text else "",
        "duration": None if any(check_duration(number, duration)) else duration,
        **{name: _sound_field(name, record.get(name)) for name in CLINICAL_FIELDS},
        TERMS: tuple(
            RowTerm(item.term, _sound_field("entity_category", item.entity_category))
            for item in sound_terms(record.get(TERMS))
        ),
    }
    extra = {name: value for name, value in record.items() if name not in KNOWN_FIELDS}
    return Utterance(row=number, **known_fields, extra=extra)


def _sound_field(name: str, value: object) -> str | None:
    is_known = name not in VOCABULARIES or value in VOCABULARIES[name]
    return value if isinstance(value, str) and is_known else None
