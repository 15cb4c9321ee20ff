"""Has NeMo choose an audio file's reader by what the file holds, as the rest of the product does.

Before 3.0 it goes by the end of the file's name, and by its case: ``.FLAC``, ``.WAV``, ``.opus``,
``.wave`` and names without an ending go to ffprobe, which hears other samples, or is not installed.
"""

from __future__ import annotations

import importlib
from typing import Any


class _Every:
    """A list of endings that every ending is in."""

    def __contains__(self, _: object) -> bool:
        return True


def by_content() -> bool:
    """Have libsndfile try every file first, whatever its name.

    Returns:
        Whether this NeMo has to be told; a newer one does so by itself.
    """
    # Seconds, which a process that only starts others need not pay.
    module: Any = importlib.import_module("nemo.collections.asr.parts.preprocessing.segment")
    if not hasattr(module, "sf_supported_formats"):
        return False
    module.sf_supported_formats = _Every()
    return True
