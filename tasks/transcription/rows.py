"""A cycle's rows as recordings to decode, and their hypotheses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.evaluation.decoded_variants import DecodedVariants, RowKey
from tasks.evaluation.hypotheses import Hypothesis, Partition, hypothesis_for
from tasks.transcription.audio_sets import AudioSet, Transcript
from tasks.transcription.variants import AS_IT_IS, Shifts

if TYPE_CHECKING:
    from collections.abc import Container, Sequence
    from pathlib import Path

    from tasks.data.joined_sentences import JoinedRow
    from tasks.data.nonspeech import NonspeechRecording
    from tasks.data.preflight import CheckedRow
    from tasks.data.split_parts import Split
    from tasks.training.recording_roles import RecordingRoles


def audio_set(
    rows: Sequence[CheckedRow],
    roots: tuple[Path, ...],
    shifts: Shifts = AS_IT_IS,
    judged: Container[int] = (),
) -> AudioSet:
    """Return the audio of checked rows, in their order.

    Args:
        rows: the rows.
        roots: the folders that hold their audio.
        shifts: under which the judged rows are decoded; the others are decoded as they are.
        judged: numbers of the judged rows.
    """
    of_rows = tuple(
        shifts if row.utterance.row in judged and row.utterance.flagged else AS_IT_IS
        for row in rows
    )
    return AudioSet(
        tuple(row.audio for row in rows),
        tuple(row.utterance.duration or 0.0 for row in rows),
        tuple(row.audio_sha256 for row in rows),
        roots,
        shifts=of_rows if any(len(one) > 1 for one in of_rows) else (),
    )


def nonspeech_set(recordings: Sequence[NonspeechRecording]) -> AudioSet:
    """Return recordings without speech as a set to decode."""
    return AudioSet(
        tuple(recording.audio for recording in recordings),
        tuple(recording.seconds for recording in recordings),
        tuple(recording.sha256 for recording in recordings),
        tuple({recording.audio.parent: None for recording in recordings}),
    )


def joined_set(rows: Sequence[JoinedRow], folder: Path) -> AudioSet:
    """Return joined sentences that were written into a folder as a set to decode apart."""
    return AudioSet(
        tuple(folder / row.name for row in rows),
        tuple(row.duration for row in rows),
        tuple(row.recording for row in rows),
        (folder,),
        apart=True,
    )


def hypotheses(
    rows: Sequence[CheckedRow],
    transcript: Transcript,
    split: Split | None = None,
    roles: RecordingRoles | None = None,
) -> tuple[Hypothesis, ...]:
    """Return a transcript's evaluation rows, each marked by what it was to the model.

    Args:
        rows: that were decoded.
        transcript: of them.
        split: by which the model was trained; None where this run trained none.
        roles: of the recordings, where a tuned model decoded them.
    """
    return tuple(
        hypothesis_for(row.utterance, text, _part(row, split, roles), row.audio_sha256)
        for row, text in zip(rows, transcript.hypotheses, strict=True)
    )


def _part(row: CheckedRow, split: Split | None, roles: RecordingRoles | None) -> Partition | None:
    if split is None:
        return None if roles is None else _part_by_roles(row, roles)
    if row.utterance.row in split.held_out:
        return Partition.HELD_OUT
    if row.utterance.row in split.chooses:
        return Partition.CHOSE if split.selection_chose else Partition.CHOSE_NOTHING
    return Partition.TRAINED


def _part_by_roles(row: CheckedRow, roles: RecordingRoles) -> Partition | None:
    if row.audio_sha256 in roles.trained:
        return Partition.TRAINED
    if row.audio_sha256 in roles.chose:
        return Partition.CHOSE
    return Partition.HELD_OUT if roles.seen else None


def decoded_variants(
    rows: Sequence[CheckedRow], before: Transcript, after: Transcript, shifts: Shifts
) -> DecodedVariants:
    """Return all decodes of the rows that both models decoded under these shifts."""
    return DecodedVariants(shifts, *(_varied(rows, one, shifts) for one in (before, after)))


def _varied(
    rows: Sequence[CheckedRow], transcript: Transcript, shifts: Shifts
) -> dict[RowKey, tuple[str, ...]]:
    if len(shifts) == 1:
        return {}
    return {
        (row.utterance.audio_filepath, row.utterance.text): texts
        for row, texts in zip(rows, transcript.variants, strict=bool(transcript.variants))
        if len(texts) == len(shifts)
    }
