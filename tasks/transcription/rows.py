"""A cycle's rows as recordings to decode, and their hypotheses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.evaluation.hypotheses import Hypothesis, Partition, hypothesis_for
from tasks.transcription.offline import AudioSet, Transcript

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tasks.data.joined_sentences import JoinedRow
    from tasks.data.nonspeech import NonspeechRecording
    from tasks.data.preflight import CheckedRow
    from tasks.data.split import Split


def audio_set(rows: Sequence[CheckedRow], roots: tuple[Path, ...]) -> AudioSet:
    """Return the audio of checked rows, in their order; ``roots`` are the folders that hold it."""
    return AudioSet(
        tuple(row.audio for row in rows),
        tuple(row.utterance.duration or 0.0 for row in rows),
        tuple(row.audio_sha256 for row in rows),
        roots,
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
    rows: Sequence[CheckedRow], transcript: Transcript, split: Split | None = None
) -> tuple[Hypothesis, ...]:
    """Return a transcript's evaluation rows; with a split, each is marked by its part."""
    return tuple(
        hypothesis_for(row.utterance, text, _part(row, split))
        for row, text in zip(rows, transcript.hypotheses, strict=True)
    )


def _part(row: CheckedRow, split: Split | None) -> Partition | None:
    if split is None:
        return None
    if row.utterance.row in split.held_out:
        return Partition.HELD_OUT
    return Partition.CHOSE if row.utterance.row in split.chooses else Partition.TRAINED
