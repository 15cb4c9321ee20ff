"""A row of an export: the manifest's row and the copy of its recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.data.row_schema import CLINICAL_FIELDS
from tasks.data.row_terms import TERMS

if TYPE_CHECKING:
    from tasks.data.manifest import Utterance

AUDIO = "audio"
"""The folder of the recordings in an export."""


@dataclass(frozen=True, slots=True)
class ExportedRow:
    """One row.

    Attributes:
        number: its place in the manifest, from 1.
        audio: the recording's path, relative to the export.
        frames: samples per channel.
        rate: Hz.
        utterance: the manifest's row.
    """

    number: int
    audio: str
    frames: int
    rate: int
    utterance: Utterance

    @property
    def seconds(self) -> float:
        """The recording's length."""
        return self.frames / self.rate

    def fields(self) -> dict[str, Any]:
        """Return the row's fields besides recording, text and duration."""
        clinical = {name: getattr(self.utterance, name) for name in CLINICAL_FIELDS}
        present = {name: value for name, value in clinical.items() if value is not None}
        terms = [item.as_dict() for item in self.utterance.terms]
        return {**present, **({TERMS: terms} if terms else {}), **self.utterance.extra}
