"""Rows that share sound with a recording that a model has seen: it has seen them too.

A row that was cut anew from a source recording has other samples than the row of an earlier cycle,
and much of its sound. What imports wrote down of the clinic's cycles tells so.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tasks.data.source_spans import SpanIndex, provenance_folders, read_provenance

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tasks.data.preflight import CheckedRow
    from tasks.data.source_spans import Provenance, SourceSpan
    from tasks.training.recording_roles import RecordingRoles


def roles_for_rows(
    roles: RecordingRoles, rows: Sequence[CheckedRow], clinic: Path
) -> RecordingRoles:
    """Return a model's roles, and those of rows that share sound with its recordings.

    Args:
        roles: of the model.
        rows: of a manifest.
        clinic: the folder of the clinic's cycles.

    Raises:
        InputError: what an import of one of these wrote down is no JSON lines.
    """
    spans = {row.audio_sha256: row.spans for row in rows if row.spans}
    if not (roles.seen and spans):
        return roles
    return _extend(roles, spans, read_provenance(provenance_folders(clinic)))


def roles_for_samples(
    roles: RecordingRoles, samples: Sequence[frozenset[str]], clinic: Path
) -> RecordingRoles:
    """Return the same for recordings that are known by the hashes of their samples alone."""
    if not roles.seen:
        return roles
    provenance = read_provenance(provenance_folders(clinic))
    spans = {one: tuple(provenance.spans_of_samples([one])) for hashes in samples for one in hashes}
    return _extend(roles, spans, provenance)


def _extend(
    roles: RecordingRoles, spans: Mapping[str, Sequence[SourceSpan]], provenance: Provenance
) -> RecordingRoles:
    def sharing(recordings: frozenset[str]) -> frozenset[str]:
        known = SpanIndex(provenance.spans_of_samples(recordings))
        return frozenset(
            sha256 for sha256, own in spans.items() if any(known.shares(span) for span in own)
        )

    trained = roles.trained | sharing(roles.trained)
    return replace(roles, trained=trained, chose=(roles.chose | sharing(roles.chose)) - trained)
