"""Looking for a planted secret: in files of any kind, and in every process's command line."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_EVERY_S = 0.05


def files_with(secret: str, *places: Path) -> list[Path]:
    """The files at or below these places that hold a secret, in UTF-8 or UTF-16."""
    wanted = [secret.encode(), secret.encode("utf-16-le")]
    found = []
    for place in places:
        for path in [place] if place.is_file() else sorted(place.rglob("*")):
            with suppress(OSError):
                if path.is_file() and any(one in path.read_bytes() for one in wanted):
                    found.append(path)
    return found


@contextmanager
def watched_processes() -> Iterator[set[str]]:
    """Yield a set that gets the command line of every process of this machine, until the end."""
    seen: set[str] = set()
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_EVERY_S):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    seen.add(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()
