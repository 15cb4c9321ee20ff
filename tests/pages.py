"""The code blocks of a documentation page, so that a test can run what a reader would."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def script(page: str, language: str) -> str:
    """All blocks of one language of a page, one after the other."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return "\n".join(body for kind, body in _BLOCK.findall(text) if kind == language)
