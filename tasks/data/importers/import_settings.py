"""How a corpus is imported."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tasks.data.importers.source_rows import ReadOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

SEED = 42


@dataclass(frozen=True, slots=True)
class ChannelRule:
    """Which channel of a recording with several is a row's, where the source does not say it.

    Attributes:
        channel: counted from 0, for every row.
        louder: take the channel with the higher level.
        by_voice: counted from 0, for the rows of a voice.
    """

    channel: int | None = None
    louder: bool = False
    by_voice: Mapping[str, int] = field(default_factory=dict)

    def describe(self) -> str:
        """Return the rule as options of the command."""
        parts = [f"{voice}={channel + 1}" for voice, channel in sorted(self.by_voice.items())]
        parts += ["louder"] if self.louder else []
        parts += [] if self.channel is None else [str(self.channel + 1)]
        return ",".join(parts)


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
