"""Rows of a foreign corpus, as the reader of its format found them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tasks.common.errors import InputError
from tasks.common.installation import install_fix
from tasks.data.audio_paths import is_url, is_windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording of the source: a file, or a member of one.

    Attributes:
        path: the file; a tarred set's shard or a data set's table where ``member`` is given.
        member: the name within ``path``.
        read: returns the member's bytes; None for a file of its own.
    """

    path: Path
    member: str | None = None
    read: Callable[[], bytes] | None = field(default=None, compare=False, repr=False)

    @property
    def name(self) -> str:
        """The path, and the member after an exclamation mark."""
        return str(self.path) if self.member is None else f"{self.path}!{self.member}"


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One utterance of the source.

    Attributes:
        place: file and line, or what else leads a person to the row.
        recording: where the sound is.
        text: the transcript.
        start: seconds from the recording's begin.
        end: seconds from there; None for the recording's end.
        duration: seconds that the source states for a whole recording; checked, never used to cut.
        channel: counted from 0; None where the source names none.
        fields: clinical fields and those that the manifest keeps as they are.
    """

    place: str
    recording: Recording
    text: str
    start: float = 0.0
    end: float | None = None
    duration: float | None = None
    channel: int | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_span(self) -> bool:
        """Whether the row is a part of its recording."""
        return self.start > 0 or self.end is not None


@dataclass(frozen=True, slots=True)
class RowFault:
    """What keeps one row out of a manifest."""

    place: str
    problem: str
    fix: str

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}. Fix: {self.fix}"


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What a user says about a source that the source does not say itself.

    Attributes:
        columns: columns of a table by the manifest's field, as ``--column FIELD=COLUMN`` has them.
        part: the split, table or sheet to read.
        tiers: tiers of annotations whose labels are transcripts; empty for all.
        voice_of_file: whether a voice is the name of its file, and not that of its tier, since each
            file has a tier "Doctor" and they are not one person.
        pause: seconds of silence that end a row, where the source has words instead of rows.
        note: takes a line about what was guessed.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    part: str | None = None
    tiers: tuple[str, ...] = ()
    pause: float = 0.5
    voice_of_file: bool = False
    note: Callable[[str], None] = field(default=lambda _: None, compare=False, repr=False)


Found = SourceRow | RowFault
SKIP_FIX = "or leave such rows out with --faulty leave-out"


def recording_at(folder: Path, written: str) -> Recording:
    """Return the recording of a path as a source writes it, relative to a folder.

    Raises:
        ValueError: the path is a URL or one of Windows.
    """
    if is_url(written):
        raise ValueError(f"the recording is a URL ({written}); download it")
    local = folder / written
    if is_windows(written) and not local.exists():
        local = folder / written.replace("\\", "/")
    return Recording(local)


def number(value: object) -> float | None:
    """Return a value as seconds; None where there is none.

    Raises:
        ValueError: it is not a finite number.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        seconds = float(str(value).replace(",", "."))
    except ValueError:
        raise ValueError(f"{value!r} is no number of seconds") from None
    if not -1e9 < seconds < 1e9:  # noqa: PLR2004 - NaN and infinity fail both comparisons
        raise ValueError(f"{value!r} is no number of seconds")
    return seconds


def note_untranscribed(names: Iterable[str], options: ReadOptions) -> None:
    """Say which recordings of a source are in no row, since it has no transcript of them."""
    first, count = "", 0
    for name in names:
        first, count = first or name, count + 1
    if count:
        have = f"{count} recordings have" if count > 1 else "1 recording has"
        options.note(
            f"{have} no transcript, such as {first}, and are in no row; `asr-flywheel sheet` ranks "
            "recordings without a transcript for a person to label"
        )


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file with their numbers from 1; blank lines are skipped.

    Raises:
        InputError: it cannot be read, or a line is not UTF-8.
    """
    try:
        with path.open("rb") as stream:
            for line_number, raw in enumerate(stream, start=1):
                try:
                    line = raw.decode("utf-8-sig" if line_number == 1 else "utf-8")
                except UnicodeDecodeError as wrong:
                    raise InputError(
                        f"{path}:{line_number}: byte 0x{raw[wrong.start]:02x} is not UTF-8. "
                        "Fix: save the file as UTF-8."
                    ) from wrong
                if line.strip():
                    yield line_number, line.rstrip("\r\n")
    except OSError as wrong:
        raise InputError(f"{path}: cannot be read ({wrong.strerror}).") from wrong


def needs_package(package: str, purpose: str) -> InputError:
    """Return the error for an optional package that is not installed."""
    return InputError(
        f"{purpose} needs the package {package}, which is not installed. "
        f"Fix: {install_fix('import')}."
    )
