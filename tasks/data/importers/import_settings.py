"""How a corpus is imported."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from tasks.data.importers.source_rows import ReadOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tasks.data.importers.source_rows import Found
    from tasks.data.importers.staging import Staging
    from tasks.data.speech_check import VoiceDetector

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


SCORE = "alignment_score"
"""The field of a row that was cut: from 0 to 1, how surely its text is what was heard."""


class RowCutter(Protocol):
    """Cuts rows that are too long. It aligns their transcripts where a model can run."""

    @property
    def least_score(self) -> float:
        """Rows with a lower score are set apart."""

    def cut(
        self,
        rows: Iterable[Found],
        settings: ImportSettings,
        place: Staging,
        report: Callable[[str], None],
    ) -> None:
        """Find the cuts of all long rows; what an import that was stopped had found is kept.

        Raises:
            InputError: nothing can be cut here.
        """

    def divide(self, rows: Iterable[Found]) -> Iterator[Found]:
        """Yield the rows, and in the place of a long one those that it was cut into, or a fault."""

    def describe(self) -> dict[str, Any]:
        """Return how the rows were cut, and what was heard without a transcript."""


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
        detector: also finds rows in which nobody speaks; None for the level check alone.
        workers: threads that convert.
        cutter: cuts rows that are too long; None leaves every row as it is.
        shortest: seconds; of shorter rows it is told that no training would take them.
        longest: seconds; the same of longer rows.
    """

    format: str | None = None
    reading: ReadOptions = field(default_factory=ReadOptions)
    channels: ChannelRule = field(default_factory=ChannelRule)
    seed: int = SEED
    leave_out: bool = False
    check: bool = True
    detector: VoiceDetector | None = None
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    cutter: RowCutter | None = None
    shortest: float = 0.0
    longest: float = math.inf
