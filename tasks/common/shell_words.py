"""How a value is written in a command that a user copies from a message into a shell."""

from __future__ import annotations

import shlex


def in_shell(value: object) -> str:
    """Return a value as one word of a shell: a path with a space is in quotes."""
    return shlex.quote(str(value))
