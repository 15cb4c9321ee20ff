"""The code blocks of a documentation page, so that a test can run what a reader would."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str, language: str, heading: str | None = None) -> list[str]:
    """The blocks of one language of a page, or of what stands there below one heading."""
    text = (DOCS / page).read_text(encoding="utf-8")
    if heading is not None:
        _, text = re.split(rf"^#+ {re.escape(heading)}$", text, maxsplit=1, flags=re.MULTILINE)
        text = re.split(r"^##+ ", text, maxsplit=1, flags=re.MULTILINE)[0]
    return [body for kind, body in _BLOCK.findall(text) if kind == language]


def languages(page: str) -> list[str]:
    """The language of each block of a page; "" where it has none."""
    return [kind for kind, _ in _BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))]


def script(page: str, language: str, heading: str | None = None) -> str:
    """The same as one script."""
    return "\n".join(blocks(page, language, heading))
