"""Per-row evaluation results, per_sample.json and offline_hyps.jsonl (contracts).

Both have the same fields, so that either can be scored. The eval stage writes the first from a
hosted or self-hosted endpoint; this tool writes the second.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files
from tasks.data.manifest import BANDWIDTH, GROUP
from tasks.data.row_schema import CLINICAL_FIELDS
from tasks.data.row_terms import TERMS, RowTerm, categories_of, flagged_terms

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tasks.data.manifest import Utterance


AUDIO_SHA256 = "audio_sha256"
"""The optional field with the hash of a recording's samples, by which two evaluations match."""
MODEL_SHA256 = "model_sha256"
"""The optional field with the hash of the model that wrote the hypothesis."""


class Partition(StrEnum):
    """What a row was to the tuned model. Figures on rows that do not judge are always labelled.

    ``CHOSE_NOTHING`` is a selection row of a run in which too few could choose: the model has not
    seen it, and the run's own verdict, which was to rest on the held-out rows, does not count it.
    """

    HELD_OUT = "held-out"
    CHOSE = "chose"
    CHOSE_NOTHING = "chose-nothing"
    TRAINED = "trained"


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One row of an evaluation.

    Attributes:
        audio_filepath: as the result names the recording.
        ref: the reference.
        hyp: the hypothesis.
        term: the clinical term whose recognition counts for KER; None where the row has none.
        entity_category: of the term.
        ipa_source: where its pronunciation came from.
        voice_id: the speaker or synthetic voice.
        noise_level: as the manifest has it.
        context_type: likewise.
        part: what the row was to the model; None where that is not known.
        group: the row's group, if it names one (tasks/data/manifest.py).
        terms: several clinical terms, where the row lists them; they count in the place of
            ``term`` and ``entity_category``.
        bandwidth: ``narrow`` where the source held a telephone's bandwidth; else None.
        audio_sha256: hash of the recording's samples; None where no recording was read, and in
            evaluations of version 0.2 and older.
        model_sha256: hash of the model, where `asr-flywheel transcribe` decoded the row; else None.
    """

    audio_filepath: str
    ref: str
    hyp: str
    term: str | None = None
    entity_category: str | None = None
    ipa_source: str | None = None
    voice_id: str | None = None
    noise_level: str | None = None
    context_type: str | None = None
    part: Partition | None = None
    group: str | None = None
    terms: tuple[RowTerm, ...] = ()
    bandwidth: str | None = None
    audio_sha256: str | None = None
    model_sha256: str | None = None

    @property
    def flagged(self) -> tuple[RowTerm, ...]:
        """All clinical terms of the row: its list, or its single term."""
        return flagged_terms(self.terms, self.term, self.entity_category)

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories that the row counts for, each once."""
        return categories_of(self.terms, self.entity_category)

    @property
    def first_term(self) -> str | None:
        """The term whose block the row belongs to where rows are drawn: its first."""
        return self.terms[0].term if self.terms else self.term

    @property
    def judges(self) -> bool:
        """Whether the row may judge the model: it was not trained on, and chose nothing.

        True where it is not known what the row was.
        """
        return self.part in {Partition.HELD_OUT, None}

    @property
    def is_unseen(self) -> bool:
        """Whether neither the model's training nor a choice has looked at the row.

        True where it is not known what the row was.
        """
        return self.judges or self.part is Partition.CHOSE_NOTHING

    def as_dict(self) -> dict[str, Any]:
        """Return the row as the file holds it: every field, None as null.

        ``group``, ``terms``, ``bandwidth``, ``audio_sha256`` and ``model_sha256``, which no
        contract has, are there only where the row has them.
        """
        return {
            "audio_filepath": self.audio_filepath,
            "ref": self.ref,
            "hyp": self.hyp,
            **{name: getattr(self, name) for name in CLINICAL_FIELDS},
            **({TERMS: [item.as_dict() for item in self.terms]} if self.terms else {}),
            "part": None if self.part is None else self.part.value,
            **({} if self.group is None else {GROUP: self.group}),
            **({} if self.bandwidth is None else {BANDWIDTH: self.bandwidth}),
            **({} if self.audio_sha256 is None else {AUDIO_SHA256: self.audio_sha256}),
            **({} if self.model_sha256 is None else {MODEL_SHA256: self.model_sha256}),
        }


def hypothesis_for(
    utterance: Utterance,
    hyp: str,
    part: Partition | None = None,
    audio_sha256: str | None = None,
) -> Hypothesis:
    """Return the evaluation row of an utterance that was recognised as ``hyp``."""
    return Hypothesis(
        audio_filepath=utterance.audio_filepath,
        ref=utterance.text,
        hyp=hyp,
        term=utterance.term,
        entity_category=utterance.entity_category,
        ipa_source=utterance.ipa_source,
        voice_id=utterance.voice_id,
        noise_level=utterance.noise_level,
        context_type=utterance.context_type,
        part=part,
        group=utterance.group,
        terms=utterance.terms,
        bandwidth=utterance.bandwidth,
        audio_sha256=audio_sha256,
    )


def write_hypotheses(path: Path, rows: Iterable[Hypothesis]) -> None:
    """Write per-row results as JSONL, atomically."""
    atomic_files.write_jsonl(path, (row.as_dict() for row in rows))
