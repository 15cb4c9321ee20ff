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
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files, hashing
from tasks.common.errors import InputError
from tasks.common.schemas import Schema
from tasks.data.canonical_terms import SpokenText
from tasks.data.distractors import FEWEST, choose_distractors
from tasks.data.split import Split
from tasks.data.text_normalizer import normalise_term
from tasks.data.training_set import held_out_rows, split_checked
from tasks.decision import boosting_choice, mixture_choice
from tasks.decision.evidence import evidence
from tasks.decision.guardrail import GuardrailPolicy, check_guardrail
from tasks.decision.mixture_choice import Candidate
from tasks.decision.verdict import decide, require_rows
from tasks.evaluation import diff, row_basis, statistics
from tasks.evaluation.false_keywords import TermIndex, index_terms
from tasks.evaluation.hypotheses import Partition, hypothesis_for
from tasks.evaluation.outside_terms import errors_outside_terms
from tasks.evaluation.row_matching import keys
from tasks.evaluation.scoring import Proportion, canonical_errors, score
from tasks.models.nemo_archive import open_archive
from tasks.models.text_style import style_of
from tasks.stages.choose import LEADS
from tasks.transcription import boosting
from tasks.transcription.boosting import BASE, BoostedCandidate, CandidatesWanted
from tasks.transcription.boosting_phrases import (
    PhraseLine,
    PhraseList,
    phrase_list,
    read_formulary,
)
from tasks.transcription.mixtures import ChoosingAudio
from tasks.transcription.rows import audio_set

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from tasks.data.cycle_folder import Cycle
    from tasks.data.general_english import GeneralSet
    from tasks.data.preflight import CheckedRow
    from tasks.decision.boosting_choice import StrengthChoice
    from tasks.decision.guardrail import Guardrail
    from tasks.decision.verdict import Decision
    from tasks.evaluation.scoring import Scores, UtteranceScore
    from tasks.evaluation.statistics import Interval
    from tasks.runtimes.base import Runtime
    from tasks.transcription.boosting import BoostedTexts, BoostingTimes

RESULT_NAME = "boost.json"
PHRASES_NAME = "phrases.txt"
JUDGED = "judged list"
"""The name of the list that the verdict is on."""
ORACLE = "oracle list"
"""The name of the cycle's terms alone."""
_HELD_OUT = "held-out"
_GENERAL_CHOOSES = "general/choosing"
_GENERAL_JUDGES = "general/judging"
_FALSE_KEYWORD_ROWS = 50


@dataclass(frozen=True)
class BoostingLists:
    """The lists that are tried.

    Attributes:
        judged: the formulary, or the cycle's terms among distractors.
        oracle: the cycle's terms alone.
        kept: what a clinic would use of the judged list: all but distractors.
        distractors: how many of the judged list are distractors.
        formulary: the file of the judged list, or "".
    """

    judged: PhraseList
    oracle: PhraseList
    kept: tuple[str, ...]
    distractors: int
    formulary: str = ""

    @property
    def kind(self) -> str:
        """What the judged list is, in words."""
        if self.formulary:
            return f"formulary, {len(self.judged.phrases)} phrases"
        if self.distractors < FEWEST:
            return f"the cycle's terms, with {self.distractors} distractors only"
        return f"the cycle's terms and {self.distractors} distractors"

    def phrases(self) -> dict[str, tuple[str, ...]]:
        """Return the phrases of each list, by its name."""
        return {JUDGED: self.judged.phrases, ORACLE: self.oracle.phrases}


@dataclass(frozen=True)
class BoostingRows:
    """The rows that choose and the rows that judge.

    Attributes:
        selection: rows of selection.jsonl of the priority categories, with a term.
        held_out: rows of validation.jsonl.
        general: general English, divided; None without a set.
        priority: the categories that decide.
        policy: the guardrail's limit.
        roots: the folders that hold all audio.
    """

    selection: tuple[CheckedRow, ...]
    held_out: tuple[CheckedRow, ...]
    general: GeneralSet | None
    priority: tuple[str, ...]
    policy: GuardrailPolicy
    roots: tuple[Path, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Selection rows of each priority category."""
        found = Counter(row.utterance.entity_category or "" for row in self.selection)
        return {category: found[category] for category in self.priority}

    @property
    def enough(self) -> bool:
        """Whether these rows may choose."""
        return mixture_choice.enough_rows(self.counts, self.priority, boosting_choice.RULE)

    @property
    def judging(self) -> tuple[CheckedRow, ...]:
        """The sentences of general English that judge."""
        return () if self.general is None else self.general.guardrail

    @property
    def choosing(self) -> tuple[CheckedRow, ...]:
        """The sentences of general English that choose."""
        return () if self.general is None else self.general.choosing


def make_lists(
    rows: Sequence[CheckedRow],
    general: Sequence[CheckedRow],
    base: Path,
    formulary: Path | None,
    priority: Sequence[str],
) -> BoostingLists:
    """Make the lists that are tried, as the base writes.

    Args:
        rows: the cycle's rows, all parts.
        general: the sentences of general English, all parts.
        base: the .nemo.
        formulary: the clinic's list; None for none.
        priority: the categories that decide.

    Raises:
        InputError: a list cannot be read or holds nothing that the base can spell.
    """
    style = style_of(open_archive(base))
    written = dict.fromkeys(row.utterance.term for row in rows if row.utterance.term)
    terms = phrase_list((PhraseLine(term) for term in written), style)
    if not terms.phrases:
        raise InputError(
            "no term of the cycle can be boosted: the base can spell none. Fix: fill in `term` in "
            "the manifest, or name a base that writes these letters."
        )
    if formulary is not None:
        lines, comments, empty = read_formulary(formulary)
        judged = phrase_list(lines, style, comments=comments, empty=empty)
        if not judged.phrases:
            raise InputError(
                f"{formulary}: the base can spell none of its {len(lines)} phrases. Fix: name a "
                "base that writes these letters."
            )
        return BoostingLists(judged, terms, judged.phrases, 0, str(formulary))
    categories = {row.utterance.entity_category or "" for row in rows} | {*priority}
    texts = (row.utterance.text for row in (*rows, *general))
    names = choose_distractors(categories, texts)
    among = phrase_list([*map(PhraseLine, terms.phrases), *map(PhraseLine, names)], style)
    distractors = len(among.phrases) - len(terms.phrases)
    return BoostingLists(among, terms, terms.phrases, distractors)


def find_split(cycle: Cycle, rows: tuple[CheckedRow, ...]) -> Split | None:
    """Return the split that lies beside the manifest; None where there is none.

    Raises:
        InputError: it is of another manifest.
    """
    validation, selection = (cycle.path / f"{name}.jsonl" for name in ("validation", "selection"))
    if not validation.is_file():
        return None
    parts = [held_out_rows(path) if path.is_file() else [] for path in (validation, selection)]
    own = [(str(row.audio), row.utterance.text) for row in rows]
    own_keys, *part_keys = keys(own, *([(audio, text or "") for audio, text in p] for p in parts))
    numbers = {key: row.utterance.row for key, row in zip(own_keys, rows, strict=True)}
    if any(key not in numbers for found in part_keys for key in found):
        raise InputError(
            f"{validation}: holds rows that the manifest does not hold. Fix: remove it, or make "
            "the split anew with `asr-flywheel split`."
        )
    judges, chooses = (tuple(numbers[key] for key in found) for found in part_keys)
    apart = {*judges, *chooses}
    train = tuple(row.utterance.row for row in rows if row.utterance.row not in apart)
    return Split(train=train, validation=judges, warnings=(), selection=chooses)


def make_split(
    cycle: Cycle,
    rows: tuple[CheckedRow, ...],
    *,
    fraction: float,
    seed: int,
    seen_before: frozenset[str],
    by_term: bool,
    selection: float,
) -> Split:
    """Return the split of the cycle: the one that lies there, or the one that a run would make."""
    found = find_split(cycle, rows)
    if found is not None:
        return found
    return split_checked(
        rows,
        fraction=fraction,
        seed=seed,
        seen_before=seen_before,
        by_term=by_term,
        selection=selection,
    )


def divide_rows(
    rows: Sequence[CheckedRow],
    split: Split,
    general: GeneralSet | None,
    priority: Sequence[str],
    policy: GuardrailPolicy,
    roots: tuple[Path, ...],
    seen_before: frozenset[str] = frozenset(),
) -> BoostingRows:
    """Divide the rows into those that choose and those that judge.

    Raises:
        InputError: a priority category has no held-out row with a term.
    """
    selection = tuple(
        row
        for row in rows
        if row.utterance.row in split.chooses
        and row.utterance.term
        and row.utterance.entity_category in priority
    )
    held_out = tuple(row for row in rows if row.utterance.row in split.held_out)
    divided = BoostingRows(selection, held_out, general, tuple(priority), policy, roots)
    silent = score(hypothesis_for(row.utterance, "", Partition.HELD_OUT) for row in held_out)
    require_rows(diff.pair(silent, silent).by_category, priority, row_basis.HELD_OUT)
    if general is not None and not divided.enough:
        general = general.without_choice(seen_before)
        divided = BoostingRows(selection, held_out, general, tuple(priority), policy, roots)
    return divided


@dataclass(frozen=True)
class BoostedModel:
    """The base with one list at one strength, as the rows that judge see it.

    Attributes:
        choice: of its strength.
        decision: by the rule that tuned models get.
        figures: for people and programs.
    """

    choice: StrengthChoice
    decision: Decision
    figures: dict[str, Any]


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
    """

    lists: BoostingLists
    rows: BoostingRows
    base: dict[str, Any]
    boosted: Mapping[str, BoostedModel]
    times: BoostingTimes
    false_keywords: tuple[dict[str, object], ...]

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
            "base": self.base,
            "boosted": {
                name: {
                    "choice": one.choice.as_dict(),
                    "decision": one.decision.verdict.value,
                    **one.figures,
                }
                for name, one in self.boosted.items()
            },
            "false_keyword_rows": list(self.false_keywords),
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
    dialogue = _Dialogue(lists, rows, strength)
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
    base = _judged_scores(rows, texts[BASE])
    boosted = {}
    for name, choice in dialogue.chosen.items():
        after = _judged_scores(rows, texts[BoostedCandidate(name, choice.strength)])
        boosted[name] = _judge(rows, choice, base, after, vocabulary, index)
    last = _judged_scores(rows, texts[BoostedCandidate(JUDGED, dialogue.chosen[JUDGED].strength)])
    return BoostingResult(
        lists,
        rows,
        _figures(rows, *base, index),
        boosted,
        times,
        tuple(_false_keyword_rows([*last[0].rows, *last[1].rows], index)),
    )


class _Dialogue:
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
        if not self.chosen:
            wanted = self._wanted(texts)
            if wanted:
                return CandidatesWanted(wanted, self._choosing_sets())
            self.chosen = {
                name: boosting_choice.choose_strength(*self._tried(texts, name))
                for name in self._names
            }
        judged = (
            BASE,
            *(BoostedCandidate(name, one.strength) for name, one in self.chosen.items()),
        )
        general = (_GENERAL_JUDGES,) if self._rows.judging else ()
        return CandidatesWanted(judged, (_HELD_OUT, *general))

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
        rows = self._rows.selection
        missed = [0] * len(rows)
        for lead in LEADS:
            scored = _scores(rows, texts[f"selection/{lead}"])
            for place, row in enumerate(scored.rows):
                missed[place] += bool(row.term_missed) or bool(_false_terms(row, self._index))
        general = [
            canonical_errors(row)
            for row in _scores(self._rows.choosing, texts.get(_GENERAL_CHOOSES, ())).rows
        ]
        return Candidate(
            boosting_choice.value_of(candidate.strength),
            tuple(count / len(LEADS) for count in missed),
            tuple(normalise_term(row.utterance.term or "") for row in rows),
            tuple(edits for edits, _ in general),
            tuple(words for _, words in general),
        )


def _scores(
    rows: Sequence[CheckedRow], texts: Sequence[str], part: Partition | None = None
) -> Scores:
    return score(
        hypothesis_for(row.utterance, text, part) for row, text in zip(rows, texts, strict=True)
    )


def _judged_scores(
    rows: BoostingRows, texts: Mapping[str, tuple[str, ...]]
) -> tuple[Scores, Scores]:
    """Return the scores of the held-out rows and of general English."""
    held_out = _scores(rows.held_out, texts[_HELD_OUT], Partition.HELD_OUT)
    return held_out, _scores(rows.judging, texts.get(_GENERAL_JUDGES, ()))


def _false_terms(row: UtteranceScore, index: TermIndex) -> tuple[str, ...]:
    return index.false_in(SpokenText(row.row.ref), SpokenText(row.row.hyp))


def _judge(
    rows: BoostingRows,
    choice: StrengthChoice,
    before: tuple[Scores, Scores],
    after: tuple[Scores, Scores],
    vocabulary: Sequence[str],
    index: TermIndex,
) -> BoostedModel:
    """Judge a boosted base by the rule that tuned models get."""
    guardrail = _guardrail(rows, before[1], after[1])
    pairing = diff.pair(before[0], after[0])
    decision = decide(evidence(pairing, guardrail=guardrail, vocabulary=vocabulary), rows.priority)
    figures = _figures(rows, *after, index)
    figures["general"] = None if guardrail is None else guardrail.as_dict()
    false_rows = [
        [bool(_false_terms(row, index)) for row in scores.rows]
        for scores in (before[0], after[0], before[1], after[1])
    ]
    figures["false_keywords"] = {
        name: _paired(*false_rows[start : start + 2])
        for name, start in (("held_out", 0), ("general", 2))
    }
    return BoostedModel(choice, decision, figures)


def _paired(before: Sequence[bool], after: Sequence[bool]) -> dict[str, object]:
    """Return how many rows hold a false keyword before and after, and how sure the change is."""
    gone = sum(b and not a for b, a in zip(before, after, strict=True))
    new = sum(a and not b for b, a in zip(before, after, strict=True))
    return {
        "rows": len(before),
        "before": sum(before),
        "after": sum(after),
        "p": statistics.mcnemar_mid_p(gone, new) if before else None,
    }


def _guardrail(rows: BoostingRows, before: Scores, after: Scores) -> Guardrail | None:
    if rows.general is None:
        return None
    return check_guardrail(before, after, rows.policy, synthetic=rows.general.synthetic)


def _figures(
    rows: BoostingRows, held_out: Scores, general: Scores, index: TermIndex
) -> dict[str, Any]:
    """Return a model's figures on the rows that judge, each with its 95 % interval."""
    ker = {
        category: held_out.where(
            lambda row, category=category: row.row.entity_category == category  # type: ignore[misc]
        ).keyword
        for category in rows.priority
    }
    false = [bool(_false_terms(row, index)) for row in held_out.rows]
    general_false = [bool(_false_terms(row, index)) for row in general.rows]
    blocks = held_out.blocks
    wer_ci = statistics.rate_interval(
        statistics.by_block(
            range(len(blocks)), [one.wer_sum for one in blocks], [one.n for one in blocks]
        )
    )
    outside = errors_outside_terms(held_out, index)
    errors = [canonical_errors(row) for row in general.rows]
    edits, words = [pair[0] for pair in errors], [pair[1] for pair in errors]
    general_ci = None
    if errors:
        general_ci = statistics.rate_interval(statistics.by_block(range(len(errors)), edits, words))
    return {
        "ker": {category: _share(proportion) for category, proportion in ker.items()},
        "ker_all": _share(held_out.keyword),
        "fkr": _share(Proportion(sum(false), len(false))),
        "wer": _rate(held_out.wer, wer_ci),
        "u_wer": _rate(outside.rate, outside.interval),
        "general_wer": _rate(sum(edits) / sum(words) if errors else None, general_ci),
        "general_fkr": _share(Proportion(sum(general_false), len(general_false))),
    }


def _share(proportion: Proportion) -> dict[str, object]:
    return {
        **_rate(proportion.rate, proportion.interval),
        "hits": proportion.hits,
        "n": proportion.n,
    }


def _rate(rate: float | None, interval: Interval | None) -> dict[str, object]:
    return {"rate": rate, "ci": None if interval is None else interval.as_list()}


def _false_keyword_rows(
    rows: Iterable[UtteranceScore], index: TermIndex
) -> Iterable[dict[str, object]]:
    shown = 0
    for row in rows:
        if shown < _FALSE_KEYWORD_ROWS and (terms := _false_terms(row, index)):
            shown += 1
            yield {
                "audio_filepath": row.row.audio_filepath,
                "terms": list(terms),
                "ref": row.row.ref,
                "hyp": row.row.hyp,
            }


def write_result(cycle: Cycle, base: str, model: Path, result: BoostingResult) -> dict[str, Any]:
    """Write boost.json and phrases.txt into the cycle's folder.

    Returns:
        The content of boost.json.
    """
    phrases = cycle.path / PHRASES_NAME
    atomic_files.write_text(phrases, "".join(f"{phrase}\n" for phrase in result.lists.kept))
    content = Schema.BOOST.mark(
        {
            "cycle": cycle.number,
            "base": base,
            "base_sha256": hashing.sha256(model),
            "phrases": PHRASES_NAME,
            "phrases_sha256": hashing.sha256_file(phrases),
            **result.as_dict(),
        }
    )
    atomic_files.write_json(cycle.path / RESULT_NAME, content)
    return content


def table(result: BoostingResult) -> list[str]:
    """Return the figures as lines of a table: base, boosted base, and the oracle list."""
    columns = {"base": result.base}
    for name, one in result.boosted.items():
        columns[f"{name}, {one.choice.strength:g}"] = one.figures
    measures = [(f"KER {category}", ("ker", category)) for category in result.rows.priority]
    measures += [
        ("FKR", ("fkr",)),
        ("WER", ("wer",)),
        ("U-WER", ("u_wer",)),
    ]
    if result.rows.judging:
        measures += [("general WER", ("general_wer",)), ("general FKR", ("general_fkr",))]
    width = max(len(name) for name, _ in measures) + 2
    lines = ["".ljust(width) + "".join(name.ljust(26) for name in columns).rstrip()]
    for name, path in measures:
        cells = (_cell(_at(figures, path)) for figures in columns.values())
        lines.append(name.ljust(width) + "".join(cell.ljust(26) for cell in cells).rstrip())
    return lines


def _at(figures: Mapping[str, Any], path: Sequence[str]) -> Mapping[str, Any]:
    found: Any = figures
    for key in path:
        found = found[key]
    return dict(found)


def _cell(figure: Mapping[str, Any]) -> str:
    if figure["rate"] is None:
        return "-"
    interval = figure["ci"]
    between = "" if interval is None else f" ({interval[0]:.3f} to {interval[1]:.3f})"
    return f"{figure['rate']:.3f}{between}"
