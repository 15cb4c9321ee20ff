"""How a corpus is imported."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from tasks.data.importers.audio_conversion import ChannelRule
from tasks.data.importers.source_rows import ReadOptions

SEED = 42


@dataclass(frozen=True, slots=True)
class ImportSettings:
    """How a corpus is imported.

    Attributes:
        format: a name of tasks/data/importers/formats.py; None to find out.
        reading: what the user says about the source.
        channels: which channel of a recording with several.
        seed: of the dither.
        leave_out: leave faulty rows out, instead of refusing the source.
        check: check the converted recordings as preflight does.
        workers: threads that convert.
    """

    format: str | None = None
    reading: ReadOptions = field(default_factory=ReadOptions)
    channels: ChannelRule = field(default_factory=ChannelRule)
    seed: int = SEED
    leave_out: bool = False
    check: bool = True
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
