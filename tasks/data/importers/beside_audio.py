"""Find the recording beside a file of annotations, by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.data.importers.source_rows import SourceRow, note_untranscribed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from tasks.data.importers.source_rows import Found, ReadOptions

ENDINGS = (
    *(".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".w64", ".au", ".sph"),
    *(".m4a", ".mp4", ".aac", ".wma", ".dss", ".ds2", ".amr", ".webm", ".mkv", ".mov", ".3gp"),
)


def tell_untranscribed(
    read: Callable[[Path, ReadOptions], Iterator[Found]],
) -> Callable[[Path, ReadOptions], Iterator[Found]]:
    """Return a reader that also tells of recordings in a folder for which it had no row."""

    def read_and_tell(source: Path, options: ReadOptions) -> Iterator[Found]:
        transcribed = set()  # of hashes: a corpus may have many recordings
        for row in read(source, options):
            if isinstance(row, SourceRow):
                transcribed.add(hash(str(row.recording.path)))
            yield row
        if source.is_dir():
            left = (
                path.name
                for path in sorted(source.rglob("*"))
                if path.suffix.lower() in ENDINGS and hash(str(path)) not in transcribed
            )
            note_untranscribed(left, options)

    return read_and_tell


def find_annotations(source: Path, endings: Sequence[str]) -> list[Path]:
    """Return a file, or the files of a folder and those below it, with these endings."""
    if source.is_file():
        return [source] if source.suffix.lower() in endings else []
    return sorted(
        path for path in source.rglob("*") if path.suffix.lower() in endings and path.is_file()
    )


def find_audio(folder: Path, name: str, source: Path | None = None) -> Path:
    """Return the one recording of a name without its ending.

    Args:
        folder: where it is looked for first.
        name: without its ending.
        source: the corpus, anywhere in which it may lie else: some keep transcripts and recordings
            in two folders.

    Raises:
        ValueError: there is none, or more than one.
    """
    found = _named(folder.glob(f"{_escaped(name)}.*"), name)
    if not found and source is not None and source.is_dir():
        found = _named(source.rglob(f"{_escaped(name)}.*"), name)
    if len(found) > 1:
        raise ValueError(f"{name} has several recordings: {', '.join(path.name for path in found)}")
    if not found:
        raise ValueError(f"there is no recording {name}.wav (or .flac, .mp3, .m4a, …) in {folder}")
    return found[0]


def _named(paths: Iterable[Path], name: str) -> list[Path]:
    return sorted(path for path in paths if path.suffix.lower() in ENDINGS and path.stem == name)


def _escaped(name: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)
