"""Ends a job whose owner is gone.

Whoever started the job touches a file every few seconds. A worker that was killed cannot clean up
after itself, and a GPU that nobody waits for costs money: when the file has been left alone for too
long, the job ends itself.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

_EXIT_ABANDONED = 75
_LOOK_EVERY_S = 2.0


def watch(path: str, limit_s: float) -> None:
    """Watch the file from a thread; exit when it is older than ``limit_s`` seconds or gone."""
    thread = threading.Thread(target=_watch_file, args=(Path(path), limit_s), daemon=True)
    thread.start()


def _watch_file(path: Path, limit_s: float) -> None:
    while True:
        time.sleep(_LOOK_EVERY_S)
        try:
            age = time.time() - path.stat().st_mtime
        except FileNotFoundError:
            age = limit_s + 1
        if age > limit_s:
            print(f"abandoned: nobody has waited for this job for {age:.0f} s", file=sys.stderr)
            # Training has threads and loader processes that would keep a polite exit waiting.
            os._exit(_EXIT_ABANDONED)
