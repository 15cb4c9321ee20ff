"""What a command prints when somebody stops it: that the same command goes on from there."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


@contextmanager
def resumable(what: str) -> Iterator[None]:
    """Print one line where SIGINT or SIGTERM stops the block, which ends as it would without.

    Args:
        what: is stopped, such as "the run".
    """
    line = (
        f"{what} was stopped: the same command goes on from there, and what is finished is reused."
    )

    def terminate(number: int, _: FrameType | None) -> None:
        print(line, file=sys.stderr, flush=True)  # noqa: T201
        signal.signal(number, signal.SIG_DFL if before is None else before)
        os.kill(os.getpid(), number)

    # Python allows handlers in its main thread alone.
    before = signal.getsignal(signal.SIGTERM)
    is_main = threading.current_thread() is threading.main_thread()
    if takes_it := is_main and before is not signal.SIG_IGN:
        signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except KeyboardInterrupt:
        print(line, file=sys.stderr, flush=True)  # noqa: T201
        raise
    finally:
        if takes_it:
            signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
