"""Measure what boosting a base with phrases gives, before anything is trained.

The rows are divided as for a training: those of selection.jsonl and the choosing share of general
English choose the strength, the held-out rows and the rest of general English judge it, and what
decides is what decides on a tuned model. The list that is judged is the clinic's formulary, or the
cycle's terms among distractors. The cycle's terms alone stand beside it as the oracle list: a
list that knows what will be said.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from tasks.common import atomic_files, hashing
from tasks.common.schemas import Schema
from tasks.data.cycle_folder import PHRASES_NAME
from tasks.data.text_normalizer import normalise_term
from tasks.decision import boosting_choice
from tasks.decision.mixture_choice import Candidate
from tasks.evaluation.error_counts import Proportion
from tasks.evaluation.false_keywords import index_terms
from tasks.evaluation.scoring import canonical_errors
from tasks.records import verdict_ledger
from tasks.stages.boosting_evidence import (
    count_misses,
    strength_lines,
    terms_without_audio,
    wrongly_written,
)
from tasks.stages.boosting_figures import (
    BoostedModel,
    false_terms,
    figures_of,
    judge,
    score_judged,
    score_texts,
)
from tasks.stages.boosting_inputs import JUDGED, ORACLE, BoostingLists, BoostingRows
from tasks.stages.choosing_rows import LEADS
from tasks.stages.prepare import BOOSTING_NAME
from tasks.transcription import boosting
from tasks.transcription.boosting import BASE, BoostedCandidate, CandidatesWanted
from tasks.transcription.mixtures import ChoosingAudio
from tasks.transcription.rows import audio_set

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tasks.data.cycle_folder import Cycle
    from tasks.decision.boosting_choice import StrengthChoice
    from tasks.evaluation.scoring import Scores
    from tasks.runtimes.base import Runtime
    from tasks.stages.boosting_evidence import FalseKeywordRow, TermMisses
    from tasks.stages.boosting_figures import JudgedScores
    from tasks.transcription.boosting import BoostedTexts, BoostingTimes

_HELD_OUT = "held-out"
_GENERAL_CHOOSES = "general/choosing"
_GENERAL_JUDGES = "general/judging"


@dataclass(frozen=True)
class BoostingResult:
    """What boosting gives.

    Attributes:
        lists: that were tried.
        rows: that chose and judged.
        base: the base's figures.
        boosted: by the list's name.
        times: seconds of the job.
        false_keywords: rows in which the judged list wrote a term that nobody said.
        false_rows: of each candidate, how many rows that choose hold a false keyword.
        judged: the scores of each candidate on the rows that judge.
        tried: the figures of each candidate on the rows that choose.
        vocabulary: every phrase and term that could be a false keyword.
    """

    lists: BoostingLists
    rows: BoostingRows
    base: dict[str, Any]
    boosted: Mapping[str, BoostedModel]
    times: BoostingTimes
    false_keywords: tuple[FalseKeywordRow, ...]
    false_rows: Mapping[BoostedCandidate, Proportion]
    judged: Mapping[BoostedCandidate, JudgedScores]
    tried: Mapping[BoostedCandidate, Candidate]
    vocabulary: tuple[str, ...]

    def strengths(self, name: str) -> list[dict[str, Any]]:
        """Return a list's figures by strength on the rows that choose; [] where none was tried."""
        choice = self.boosted[name].choice
        false_rows = {
            one.strength: share
            for one, share in self.false_rows.items()
            if one.phrases in {name, boosting.UNBOOSTED}
        }
        candidates = cast("list[dict[str, Any]]", choice.as_dict()["candidates"])
        return strength_lines(candidates, false_rows, choice.strength)

    @property
    def judged_boosted(self) -> JudgedScores:
        """The scores of the judged list on the rows that judge."""
        return self.judged[BoostedCandidate(JUDGED, self.boosted[JUDGED].choice.strength)]

    @property
    def _models(self) -> dict[str, Scores]:
        return {"base": self.judged[BASE].held_out, "base boosted": self.judged_boosted.held_out}

    @property
    def term_misses(self) -> tuple[TermMisses, ...]:
        """How often base and boosted base missed each term of the rows that judge."""
        return count_misses(self._models, self.rows.trained_terms)

    @property
    def terms_without_audio(self) -> dict[str, Any] | None:
        """KER on the terms that no row would train; None where there is none."""
        return terms_without_audio(self._models, self.rows.trained_terms, self.rows.priority)

    def as_dict(self) -> dict[str, Any]:
        """Return the result as boost.json holds it."""
        judged = self.boosted[JUDGED]
        return {
            "list": self.lists.kind,
            "formulary": self.lists.formulary or None,
            "distractors": self.lists.distractors,
            "lists": {
                JUDGED: self.lists.judged.as_dict(),
                ORACLE: self.lists.oracle.as_dict(),
            },
            "strength": judged.choice.strength,
            "decision": judged.decision.as_dict(),
            "rows": {
                "selection": len(self.rows.selection),
                "held_out": len(self.rows.held_out),
                "general_choosing": len(self.rows.choosing),
                "general_judging": len(self.rows.judging),
            },
            "unboosted": self.base,
            "boosted": {
                name: {
                    "choice": one.choice.as_dict(),
                    "decision": one.decision.verdict.value,
                    **one.figures,
                }
                for name, one in self.boosted.items()
            },
            "strengths": {name: self.strengths(name) for name in self.boosted},
            "terms": [one.as_dict() for one in self.term_misses],
            "terms_without_audio": self.terms_without_audio,
            "false_keyword_rows": [row.as_dict() for row in self.false_keywords],
            "decoder": self.times.how,
            "seconds": {
                "encoding": self.times.encoding,
                "decoding": [
                    [one.phrases or "base", one.strength, round(seconds, 3)]
                    for one, seconds in self.times.decoding.items()
                ],
            },
        }


def measure_boosting(
    model: Path,
    lists: BoostingLists,
    rows: BoostingRows,
    work: Path,
    runtime: Runtime,
    *,
    strength: float | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> BoostingResult:
    """Choose the strength of each list by the rows that choose, and judge it by the others.

    Args:
        model: the base's .nemo.
        lists: of phrases.
        rows: that choose and judge.
        work: a folder for the job.
        runtime: where it runs.
        strength: instead of a choice.
        report: is called with lines for a person.

    Raises:
        TranscriptionError: this NeMo or this base cannot be boosted, or decoding failed.
    """
    dialogue = _BoostingDialogue(lists, rows, strength)
    sets = [
        ChoosingAudio(_HELD_OUT, audio_set(rows.held_out, rows.roots)),
        *(
            ChoosingAudio(name, audio_set(sentences, rows.roots))
            for name, sentences in (
                (_GENERAL_JUDGES, rows.judging),
                (_GENERAL_CHOOSES, rows.choosing),
            )
            if sentences
        ),
        *(
            ChoosingAudio(f"selection/{lead}", audio_set(rows.selection, rows.roots), lead)
            for lead in (LEADS if rows.selection else ())
        ),
    ]
    texts, times = boosting.decode_boosted(
        model, lists.phrases(), sets, work, runtime, dialogue.answer, report
    )
    vocabulary = dialogue.vocabulary
    index = index_terms(vocabulary)
    judged = {
        one: score_judged(rows, of_one[_HELD_OUT], of_one.get(_GENERAL_JUDGES, ()))
        for one, of_one in texts.items()
        if _HELD_OUT in of_one
    }
    boosted = {
        name: judge(
            rows,
            choice,
            judged[BASE],
            judged[BoostedCandidate(name, choice.strength)],
            vocabulary,
            index,
        )
        for name, choice in dialogue.chosen.items()
    }
    last = judged[BoostedCandidate(JUDGED, dialogue.chosen[JUDGED].strength)]
    wrong = wrongly_written("base boosted", rows, judged[BASE], last, index)
    return BoostingResult(
        lists,
        rows,
        figures_of(rows, judged[BASE], index),
        boosted,
        times,
        wrong,
        dialogue.false_rows(texts),
        judged,
        dialogue.tried(texts),
        vocabulary,
    )


class _BoostingDialogue:
    """What the decoding job is answered; see tasks/transcription/boosting.py."""

    def __init__(self, lists: BoostingLists, rows: BoostingRows, strength: float | None) -> None:
        self._rows = rows
        self._names = tuple(lists.phrases())
        # A false keyword is any phrase that could be written, and any term of the cycle.
        self.vocabulary = tuple(dict.fromkeys((*lists.judged.phrases, *lists.oracle.phrases)))
        self._index = index_terms(self.vocabulary)
        self.chosen: dict[str, StrengthChoice] = {}
        if strength is not None:
            self.chosen = {name: boosting_choice.fixed_strength(strength) for name in self._names}
        elif not rows.enough:
            stated = boosting_choice.stated_strength(rows.counts)
            self.chosen = dict.fromkeys(self._names, stated)
        self._refined = 0

    def answer(self, texts: BoostedTexts) -> CandidatesWanted | None:
        """Say what is decoded next; the rows that judge come last, and once."""
        if any(_HELD_OUT in of_one for of_one in texts.values()):
            return None
        if self.chosen and self._rows.enough and not texts:
            # These strengths are given; what they come to on the rows that choose is told too.
            return CandidatesWanted(self._chosen_candidates(), self._choosing_sets())
        if not self.chosen:
            wanted = self._wanted(texts)
            if wanted:
                return CandidatesWanted(wanted, self._choosing_sets())
            self.chosen = {
                name: boosting_choice.choose_strength(*self._tried(texts, name))
                for name in self._names
            }
        general = (_GENERAL_JUDGES,) if self._rows.judging else ()
        return CandidatesWanted(self._chosen_candidates(), (_HELD_OUT, *general))

    def _chosen_candidates(self) -> tuple[BoostedCandidate, ...]:
        chosen = (BoostedCandidate(name, one.strength) for name, one in self.chosen.items())
        return (BASE, *chosen)

    def tried(self, texts: BoostedTexts) -> dict[BoostedCandidate, Candidate]:
        """Return the figures of the candidates that the rows that choose were decoded by."""
        return {
            one: self._candidate(one, of_one)
            for one, of_one in texts.items()
            if f"selection/{LEADS[0]}" in of_one
        }

    def false_rows(self, texts: BoostedTexts) -> dict[BoostedCandidate, Proportion]:
        """Count the rows that choose in which each candidate wrote a term that nobody said."""
        return {one: self._count_false(texts[one]) for one in self.tried(texts)}

    def _count_false(self, texts: Mapping[str, tuple[str, ...]]) -> Proportion:
        scored = [
            *score_texts(self._rows.selection, texts[f"selection/{LEADS[0]}"]).rows,
            *score_texts(self._rows.choosing, texts.get(_GENERAL_CHOOSES, ())).rows,
        ]
        return Proportion(sum(bool(false_terms(row, self._index)) for row in scored), len(scored))

    def _wanted(self, texts: BoostedTexts) -> tuple[BoostedCandidate, ...]:
        if not texts:
            grid = [
                BoostedCandidate(name, strength)
                for name in self._names
                for strength in boosting_choice.COARSE
            ]
            return (BASE, *grid)
        if self._refined == boosting_choice.RULE.refinements:
            return ()
        self._refined += 1
        return tuple(
            BoostedCandidate(name, strength)
            for name in self._names
            for strength in boosting_choice.refine(*self._tried(texts, name))
        )

    def _choosing_sets(self) -> tuple[str, ...]:
        general = (_GENERAL_CHOOSES,) if self._rows.choosing else ()
        return (*(f"selection/{lead}" for lead in LEADS), *general)

    def _tried(self, texts: BoostedTexts, name: str) -> tuple[list[Candidate], float]:
        """Return the candidates of a list, the base among them, and the guardrail's limit."""
        candidates = [
            self._candidate(one, of_one)
            for one, of_one in texts.items()
            if one.phrases in {name, boosting.UNBOOSTED}
        ]
        base = next(one.general_wer for one in candidates if one.value == 0)
        if base is None:
            # Without general English the base is no candidate: it would have nothing to tell.
            return [one for one in candidates if one.value], self._rows.policy.limit(0.0)
        return candidates, self._rows.policy.limit(base)

    def _candidate(
        self, candidate: BoostedCandidate, texts: Mapping[str, tuple[str, ...]]
    ) -> Candidate:
        missed: Counter[tuple[int, str]] = Counter()
        for lead in LEADS:
            scored = score_texts(self._rows.selection, texts[f"selection/{lead}"])
            for place, row in enumerate(scored.rows):
                wrote_false = bool(false_terms(row, self._index))
                for one in row.occurrences:
                    if one.category in self._rows.priority:
                        missed[place, normalise_term(one.term)] += one.missed or wrote_false
        several = len({place for place, _ in missed}) < len(missed)
        general = [
            canonical_errors(row)
            for row in score_texts(self._rows.choosing, texts.get(_GENERAL_CHOOSES, ())).rows
        ]
        return Candidate(
            boosting_choice.value_of(candidate.strength),
            tuple(count / len(LEADS) for count in missed.values()),
            tuple(term for _, term in missed),
            tuple(edits for edits, _ in general),
            tuple(words for _, words in general),
            tuple(place for place, _ in missed) if several else (),
        )


def write_result(cycle: Cycle, base: str, model: Path, result: BoostingResult) -> dict[str, Any]:
    """Write boost.json and phrases.txt into the cycle's folder; the verdict is counted.

    Returns:
        The content of boost.json.
    """
    phrases = cycle.path / PHRASES_NAME
    atomic_files.write_text(phrases, "".join(f"{phrase}\n" for phrase in result.lists.kept))
    judged = result.boosted[JUDGED]
    verdicts = verdict_ledger.record(
        cycle,
        (row.audio_sha256 for row in result.rows.held_out),
        hashing.fingerprint(
            [hashing.sha256(model), judged.choice.strength, *result.lists.judged.phrases]
        ),
        judged.decision.verdict.value,
    )
    content = Schema.BOOST.mark(
        {
            "cycle": cycle.number,
            "base": base,
            "base_sha256": hashing.sha256(model),
            "manifest_sha256": hashing.sha256_file(cycle.manifest),
            "phrases": PHRASES_NAME,
            "phrases_sha256": hashing.sha256_file(phrases),
            "verdicts": verdicts,
            **result.as_dict(),
        }
    )
    atomic_files.write_json(cycle.path / BOOSTING_NAME, content)
    return content
