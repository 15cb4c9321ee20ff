"""Hydra overrides as typed values, quoted for Hydra's grammar.

A path may hold spaces, commas, quotes, ``=`` or ``${…}``; none of them may end the value early or
start another override (Hydra documentation, "Override grammar", quoted values).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


@dataclass(frozen=True, slots=True)
class Override:
    """One ``key=value`` for Hydra.

    Attributes:
        key: dotted, as in the script's YAML.
        value: text is quoted; a path must be given as text.
        added: the key is not in the YAML (``++`` sets it whether or not it is).
    """

    key: str
    value: str | int | float | bool | None
    added: bool = False

    def __post_init__(self) -> None:
        if not _KEY.fullmatch(self.key):
            raise ValueError(f"{self.key!r} is not a Hydra key")

    def __str__(self) -> str:
        return f"{'++' if self.added else ''}{self.key}={_literal(self.value)}"


def _literal(value: str | float | bool | None) -> str:  # noqa: FBT001
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if "\0" in value or "\n" in value:
        raise ValueError(f"{value!r}: a line break cannot stand in a Hydra value")
    # OmegaConf resolves ${…} even inside quotes unless it is escaped; a backslash before it must
    # then be doubled. Hydra unescapes a backslash only before a quote or at the end.
    escaped = re.sub(r"(\\*)\$\{", lambda m: m.group(1) * 2 + r"\${", value)
    escaped = re.sub(
        r"(\\*)('|$)", lambda m: m.group(1) * 2 + m.group(2).replace("'", r"\'"), escaped
    )
    return f"'{escaped}'"
