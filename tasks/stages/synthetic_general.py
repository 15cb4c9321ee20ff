"""General English for a run that was given none: this tool's own sentences, spoken by a program.

They are made once a machine, by the demo's speech synthesiser in a process of its own, and kept in
the user's cache. They guard a model for real speech less well than sentences of real speakers, and
every figure that rests on them says that they are synthetic.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tasks.common.errors import InputError
from tasks.common.installation import install_fix
from tasks.common.parameter_names import name_of

_PROGRAM = ("-m", "asr_flywheel.demo", "--general")
_LONGEST_S = 1800.0


def manifest() -> Path:
    """Return the manifest of the synthetic set; it is made where it is not there yet.

    Raises:
        InputError: it cannot be made, such as without the synthesiser.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "asr-flywheel"
    cache.mkdir(parents=True, exist_ok=True)
    completed = subprocess.run(
        [sys.executable, *_PROGRAM, str(cache)],
        capture_output=True,
        text=True,
        timeout=_LONGEST_S,
        check=False,
    )
    lines = completed.stdout.strip().splitlines()
    if completed.returncode or not lines or not Path(lines[-1]).is_file():
        why = (completed.stderr.strip().splitlines() or [f"exit code {completed.returncode}"])[-1]
        general = name_of("general")
        raise InputError(
            f"general English: no set was given, and the synthetic one cannot be made: {why} "
            f"Fix: {install_fix('demo')}, or give a manifest of ordinary sentences "
            f"with {general}, or {general} none, and then no model is kept."
        )
    return Path(lines[-1])
