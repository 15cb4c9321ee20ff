"""Rows that stay although they share sound with a purged one: other cuts of its source recording.

Their samples differ from those of the purged row, so that they are no copies of it. A later cycle
may have cut the same recording otherwise.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.data.source_spans import span_of
from tasks.privacy.purgeable_rows import provenance_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tasks.data.source_spans import SourceSpan
    from tasks.privacy.purgeable_rows import PurgeableRow


@dataclass(frozen=True, slots=True)
class SharingRow:
    """A row that stays, and how much sound of a purged one it has.

    Attributes:
        row: of a manifest.
        seconds: that it shares with the purged row with which it shares most.
    """

    row: PurgeableRow
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.row.manifest}, row {self.row.number}, {self.row.written}: {self.seconds:.1f} s"
        )


def find_sharing(
    rows: Sequence[PurgeableRow], purged: Iterable[PurgeableRow]
) -> tuple[SharingRow, ...]:
    """Find the rows that stay and share sound with purged ones, as imports wrote it down.

    Args:
        rows: of all manifests.
        purged: those among them that go.
    """
    gone = {(row.manifest, row.number) for row in purged}
    purged_spans: defaultdict[str, list[SourceSpan]] = defaultdict(list)
    others: list[tuple[PurgeableRow, SourceSpan]] = []
    for row, span in _spans(rows):
        if (row.manifest, row.number) in gone:
            purged_spans[span.recording].append(span)
        else:
            others.append((row, span))
    found = []
    for row, span in others:
        shared = max((span.shared_seconds(one) for one in purged_spans[span.recording]), default=0)
        if shared > 0:
            found.append(SharingRow(row, shared))
    return tuple(found)


def _spans(rows: Sequence[PurgeableRow]) -> Iterator[tuple[PurgeableRow, SourceSpan]]:
    for row, entry in provenance_of(rows):
        length = row.fields.get("duration")
        seconds = float(length) if isinstance(length, int | float) else math.inf
        if (span := span_of(entry, seconds)) is not None:
            yield row, span
