"""The lists and the rows of a measurement of boosting."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tasks.common.counted import agreed, counted
from tasks.common.errors import InputError
from tasks.data.distractors import FEWEST, choose_distractors
from tasks.data.split_parts import Disjointness, Split
from tasks.data.text_normalizer import normalise_term
from tasks.data.training_set import held_out_rows, split_checked
from tasks.decision import boosting_choice, mixture_choice
from tasks.decision.verdict_rules import require_rows
from tasks.evaluation import diff, row_basis
from tasks.evaluation.hypotheses import Partition, hypothesis_for
from tasks.evaluation.row_matching import keys
from tasks.evaluation.scoring import score
from tasks.models.nemo_archive import open_archive
from tasks.models.text_style import style_of
from tasks.stages.choosing_rows import count_rows, selection_rows
from tasks.stages.looser_split import require_rows_of_split
from tasks.transcription.boosting_phrases import PhraseLine, PhraseList, phrase_list, read_formulary

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tasks.data.cycle_folder import Cycle
    from tasks.data.general_english import GeneralSet
    from tasks.data.preflight import CheckedRow
    from tasks.decision.guardrail import GuardrailPolicy
    from tasks.stages.looser_split import SplitAgain

JUDGED = "judged list"
"""The name of the list that the verdict is on."""
ORACLE = "oracle list"
"""The name of the cycle's terms alone."""


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
            return f"formulary, {counted(len(self.judged.phrases), 'phrase')}"
        if self.distractors < FEWEST:
            return f"the cycle's terms, with {counted(self.distractors, 'distractor')} only"
        return f"the cycle's terms and {counted(self.distractors, 'distractor')}"

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
        trained_terms: normalised terms of the rows that are trained on.
    """

    selection: tuple[CheckedRow, ...]
    held_out: tuple[CheckedRow, ...]
    general: GeneralSet | None
    priority: tuple[str, ...]
    policy: GuardrailPolicy
    roots: tuple[Path, ...]
    trained_terms: frozenset[str] = frozenset()

    @property
    def counts(self) -> dict[str, int]:
        """Selection rows of each priority category."""
        return count_rows(self.selection, self.priority)

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
    written = dict.fromkeys(item.term for row in rows for item in row.utterance.flagged)
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
    categories = {name for row in rows for name in row.utterance.categories} | {*priority}
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
    trained: frozenset[str],
    by_term: bool,
    selection: float,
    disjoint: Disjointness,
) -> Split:
    """Return the split of the cycle: the one that lies there, or the one that a run would make.

    Args:
        cycle: the cycle.
        rows: its checked rows.
        fraction: share of each category's rows to hold out.
        seed: of the split.
        seen_before: recordings that the model was trained on or chosen by; none of them judges.
        trained: those of them that it was trained on; none of them chooses.
        by_term: whether whole terms are held out.
        selection: share of each category's rows that choose.
        disjoint: what stands on one side only.

    Raises:
        InputError: a split of another manifest lies there, or no row of it may judge.
    """
    found = find_split(cycle, rows)
    if found is not None:
        return _without_seen(cycle, found, rows, seen_before, trained)
    return split_checked(
        rows,
        fraction=fraction,
        seed=seed,
        seen_before=seen_before,
        by_term=by_term,
        selection=selection,
        disjoint=disjoint,
    )


def _without_seen(
    cycle: Cycle,
    split: Split,
    rows: Sequence[CheckedRow],
    seen_before: frozenset[str],
    trained: frozenset[str],
) -> Split:
    """Return a split that neither judges nor chooses by what the model was trained on.

    What chose the model may choose again, and does not judge.

    Raises:
        InputError: no row is left to judge.
    """
    learnt, seen = (
        {row.utterance.row for row in rows if row.audio_sha256 in recordings}
        for recordings in (trained, seen_before)
    )
    judges = tuple(number for number in split.validation if number not in seen)
    chooses = tuple(number for number in split.selection if number not in learnt)
    moved = len(split.validation) + len(split.selection) - len(judges) - len(chooses)
    if not moved:
        return split
    if not judges:
        raise InputError(
            f"{cycle.path / 'validation.jsonl'}: the model was trained on, or chosen by, each of "
            "its rows. Fix: boost the base that it was tuned from, or add rows to the manifest."
        )
    note = (
        f"{counted(moved, 'row')} that {agreed(moved, 'judges or chooses', 'judge or choose')} by "
        f"validation.jsonl and selection.jsonl {agreed(moved, 'is', 'are')} left out: the model "
        f"was trained on {agreed(moved, 'it', 'them')} or chosen by {agreed(moved, 'it', 'them')}"
    )
    train = tuple(sorted({*split.train, *split.validation, *split.selection} - {*judges, *chooses}))
    return replace(
        split, train=train, validation=judges, selection=chooses, warnings=(*split.warnings, note)
    )


def divide_rows(
    rows: Sequence[CheckedRow],
    split: Split,
    general: GeneralSet | None,
    priority: Sequence[str],
    policy: GuardrailPolicy,
    roots: tuple[Path, ...],
    seen_before: frozenset[str] = frozenset(),
    *,
    split_again: SplitAgain | None = None,
) -> BoostingRows:
    """Divide the rows into those that choose and those that judge.

    Args:
        rows: the cycle's checked rows.
        split: of them.
        general: general English, divided; None without a set.
        priority: the categories that decide.
        policy: the guardrail's limit.
        roots: the folders that hold all audio.
        seen_before: recordings that the base was trained on or chosen by.
        split_again: makes the split anew, to find one that has rows to decide on.

    Raises:
        InputError: a priority category has no held-out row with a term.
    """
    selection = selection_rows(rows, split, priority)
    held_out = tuple(row for row in rows if row.utterance.row in split.held_out)
    train = frozenset(split.train)
    trained = frozenset(
        normalise_term(item.term)
        for row in rows
        if row.utterance.row in train
        for item in row.utterance.flagged
    )
    divided = BoostingRows(selection, held_out, general, tuple(priority), policy, roots, trained)

    def check(parts: Split) -> None:
        held_out = [row for row in rows if row.utterance.row in parts.held_out]
        silent = score(hypothesis_for(row.utterance, "", Partition.HELD_OUT) for row in held_out)
        require_rows(diff.pair(silent, silent).by_category, priority, row_basis.HELD_OUT)

    require_rows_of_split(check, split, split_again)
    if general is not None and not divided.enough:
        general = general.without_choice(seen_before)
        divided = replace(divided, general=general)
    return divided
