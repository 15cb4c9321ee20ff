"""The lines of a log that another machine writes."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class LogReader:
    """Hands over the lines of a growing log, each once."""

    def __init__(self, path: Path, on_line: Callable[[str], None]) -> None:
        self._path, self._on_line = path, on_line
        self._read = 0
        self._partial = ""
        # Libraries print what they like, and a character may be half written when it is read.
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode

    def read(self) -> None:
        """Hand over what is new."""
        with self._path.open("rb") as stream:
            stream.seek(self._read)
            new = stream.read()
        self._read += len(new)
        *lines, self._partial = (self._partial + self._decode(new)).split("\n")
        for line in lines:
            self._on_line(line)
