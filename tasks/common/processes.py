"""Child processes that do not outlive their parent."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import suppress

_GRACE_S = 15.0


def end_with_parent() -> list[str]:
    """Have the kernel end the job if this process is killed and can clean up no more."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []


def stop_group(process: subprocess.Popen[bytes]) -> None:
    """Stop a process group, with SIGKILL if SIGTERM does not end it."""
    for stop_signal in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, stop_signal)
        except ProcessLookupError:
            break  # nobody is left
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
