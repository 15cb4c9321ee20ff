"""Search files of other formats for a recording: as bytes, and inside of archives."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from typing import IO, TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tasks.privacy.traces import RecordingTraces

_CHUNK_BYTES = 8 << 20
_OVERLAP = 4096
_LARGEST_TEXT = 64 << 20


class PackedFileError(Exception):
    """An archive that cannot be read."""


def search_bytes(path: Path, traces: RecordingTraces) -> bool:
    """Return whether a file's bytes hold a path, a name or a hash of a purged recording."""
    with path.open("rb") as stream:
        return _search(stream, traces)


def _search(stream: IO[bytes], traces: RecordingTraces) -> bool:
    before = b""
    while chunk := stream.read(_CHUNK_BYTES):
        content = before + chunk
        if traces.in_bytes(content):
            return True
        before = content[-_OVERLAP:]
    return False


def search_packed(path: Path, traces: RecordingTraces) -> bool:
    """Return whether a member of an archive tells a purged recording, by its name or content.

    Raises:
        PackedFileError: it cannot be read.
    """
    try:
        for name, stream in _members(path):
            if traces.tells(name):
                return True
            content = stream.read(_LARGEST_TEXT)
            if traces.in_bytes(content):
                return True
            if traces.tells(content.decode("utf-8", errors="replace")):
                return True
    except (zipfile.BadZipFile, tarfile.TarError, OSError, EOFError, lzma.LZMAError) as wrong:
        raise PackedFileError(str(wrong)) from wrong
    return False


def _members(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as stream:
                    yield name, stream
    elif tarfile.is_tarfile(path):
        with tarfile.open(path) as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                yield member.name, content or io.BytesIO()
    else:
        with _open(path) as stream:
            yield path.name, stream


def _open(path: Path) -> IO[bytes]:
    """Open a file that is packed alone, or not at all."""
    match path.suffix.lower():
        case ".gz":
            return cast("IO[bytes]", gzip.open(path, "rb"))
        case ".bz2":
            return bz2.open(path, "rb")
        case ".xz":
            return lzma.open(path, "rb")
        case _:
            return path.open("rb")
