"""All cycles of a clinic: what each turn gave, the trend of KER, the champion, and when to stop.

A turn is a finished run: it tuned cycle N and left its evaluation in cycle N+1, under whose number
it stands here. Two turns are compared on the rows that both evaluated and neither was trained on;
where their manifests differ, that is said. A folder that cannot be read is told, and stops nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.common import hashing
from tasks.common.counted import counted
from tasks.common.errors import InputError
from tasks.data.cycle_folder import open_cycle
from tasks.decision.decision_table import POLICY
from tasks.evaluation import diff
from tasks.records import cost_ledger, kept_runs, run_record
from tasks.records.purge_notes import describe_purged
from tasks.reporting.turn import Turn, share_as_dict
from tasks.training.progress import overfit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tasks.data.cycle_folder import Cycle
    from tasks.evaluation.error_counts import Proportion
    from tasks.evaluation.keyword_change import KeywordErrorChange

CHAMPION_RULE = (
    "The champion is the newest kept model, unless an earlier kept one misses fewer terms of the "
    "priority categories on the rows that both hold and neither was trained on "
    f"(mid-p < {POLICY.alpha})."
)


@dataclass(frozen=True, slots=True)
class ChampionComparison:
    """Two turns' models on the rows that both hold and neither was trained on.

    Attributes:
        earlier: its cycle.
        later: its cycle.
        same_manifest: whether both tuned the same manifest.
        common: rows with a term of a priority category; 0 where nothing can be compared.
        fixed: terms that the earlier model missed and the later one found.
        broken: the reverse.
        only_earlier: rows that only the earlier evaluation has.
        only_later: rows that only the later one has.
        change: over those terms; None where nothing can be compared.
        reason: why nothing can be compared, in a sentence; None where something is.
        converted: that rows were matched by their names alone, in a sentence; else None.
        other_table: that their strict views read different tables, in a sentence; None where they
            read the same, or it is not known.
        categories: whose terms count, the priority categories of both.
    """

    earlier: int
    later: int
    same_manifest: bool
    common: int
    fixed: int = 0
    broken: int = 0
    only_earlier: int = 0
    only_later: int = 0
    change: KeywordErrorChange | None = None
    reason: str | None = None
    converted: str | None = None
    other_table: str | None = None
    categories: tuple[str, ...] = ()

    @property
    def p(self) -> float | None:
        """The mid-p value; None without rows."""
        return None if self.change is None else self.change.p

    @property
    def earlier_is_better(self) -> bool:
        """True if the earlier model is shown to miss fewer terms."""
        return self.broken > self.fixed and self.p is not None and self.p < POLICY.alpha

    def __str__(self) -> str:
        names = f"Cycles {self.earlier} and {self.later}"
        tables = "".join(f" {one}" for one in (self.converted, self.other_table) if one is not None)
        if not self.common:
            return f"{names} are not compared: {self.reason}{tables}"
        basis = "the same manifest"
        if not self.same_manifest:
            basis = (
                f"different manifests, so only their common rows count ({self.only_earlier} "
                f"only in cycle {self.earlier}, {self.only_later} only in cycle {self.later})"
            )
        return (
            f"{names}: {basis}. On {counted(self.common, 'row')} with a term of "
            f"{' or '.join(self.categories)} that neither was trained on, the later "
            f"model found {counted(self.fixed, 'term')} that the earlier one missed, and "
            f"missed {self.broken} that it found (mid-p {self.p:.3g}).{tables}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison as ``--json`` prints it."""
        return {
            **{name: getattr(self, name) for name in self.__dataclass_fields__ if name != "change"},
            "p": self.p,
            "text": str(self),
        }


@dataclass(frozen=True, slots=True)
class History:
    """All cycles of a folder.

    Attributes:
        turns: the finished runs, the oldest first.
        problems: a sentence for each folder that could not be read.
        comparisons: each turn with the one before it.
        champion: the turn whose model to use; None where none was kept.
        advice: what the stopping rules say, in sentences.
        preserved: kept runs whose place a later run of the same cycle took, the oldest first.
        champion_notes: where the champion is one without having been compared, in sentences.
    """

    turns: tuple[Turn, ...]
    problems: tuple[str, ...]
    comparisons: tuple[ChampionComparison, ...] = ()
    champion: Turn | None = None
    advice: tuple[str, ...] = ()
    rule: str = field(default=CHAMPION_RULE)
    preserved: tuple[Turn, ...] = ()
    champion_notes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether no run has finished."""
        return not self.turns and not self.preserved

    @property
    def kept(self) -> tuple[Turn, ...]:
        """The runs that kept a model, the oldest first, also those that were preserved."""
        return tuple(turn for turn in _in_order(self.turns, self.preserved) if turn.kept)

    def trend(self) -> dict[str, dict[int, Proportion]]:
        """Return each category's KER on unseen rows by cycle; a category may lack cycles."""
        by_category: dict[str, dict[int, Proportion]] = {}
        for turn in self.turns:
            for category, share in turn.ker.items():
                by_category.setdefault(category, {})[turn.cycle] = share
        return by_category

    def as_dict(self) -> dict[str, Any]:
        """Return the history as ``asr-flywheel history --json`` prints it."""
        return {
            "turns": [turn.as_dict() for turn in self.turns],
            "trend": {
                category: {str(cycle): share_as_dict(share) for cycle, share in by_cycle.items()}
                for category, by_cycle in self.trend().items()
            },
            "comparisons": [comparison.as_dict() for comparison in self.comparisons],
            "champion": None if self.champion is None else self.champion.as_dict(),
            "champion_rule": self.rule,
            "champion_notes": list(self.champion_notes),
            "stopping": list(self.advice),
            "preserved": [turn.as_dict() for turn in self.preserved],
            "problems": list(self.problems),
        }


def read_history(root: Path) -> History:
    """Read every cycle below a folder.

    Raises:
        InputError: there is no such folder, or no cycle in it.
    """
    if not root.is_dir():
        raise InputError(f"{root}: there is no such folder. Fix: name the one that holds cycle1.")
    cycles: list[Cycle] = []
    for path in root.iterdir():
        try:
            cycles.append(open_cycle(path))
        except InputError:
            continue  # some other file or folder
    if not cycles:
        raise InputError(f"{root}: holds no cycle. Fix: name the folder that holds cycle1.")
    problems: list[str] = []
    costs = _read_costs(root, problems)
    turns: list[Turn] = []
    preserved: list[Turn] = []
    for cycle in sorted(cycles, key=lambda cycle: cycle.number):
        try:
            if (turn := _read_turn(cycle, costs, problems)) is not None:
                turns.append(turn)
            preserved += _read_preserved(cycle, problems)
        except InputError as damaged:
            problems.append(str(damaged))
    champion, champion_notes = find_champion(_in_order(turns, preserved))
    return History(
        tuple(turns),
        tuple(problems),
        tuple(compare(earlier, later) for earlier, later in pairwise(turns)),
        champion,
        tuple(_advise(turns)),
        preserved=tuple(preserved),
        champion_notes=champion_notes,
    )


def _in_order(turns: Iterable[Turn], preserved: Iterable[Turn]) -> list[Turn]:
    """Return runs in the order in which they were made."""
    return sorted([*preserved, *turns], key=lambda turn: (turn.cycle, turn.preserved is None))


def _read_preserved(cycle: Cycle, problems: list[str]) -> Iterable[Turn]:
    """Yield the kept runs of a cycle whose place a later run took."""
    for kept in kept_runs.preserved_in(cycle):
        turn = _read_turn(kept.evaluated, {}, problems)
        if turn is not None:
            folder = kept.evaluated.path.parent
            yield replace(turn, model=str(kept.model), preserved=folder)


def _read_costs(root: Path, problems: list[str]) -> Mapping[int, float]:
    try:
        ledger = cost_ledger.read(root)
    except InputError as damaged:
        problems.append(str(damaged))
        return {}
    problems += ledger.torn
    return ledger.usd_by_cycle


def _read_turn(cycle: Cycle, costs: Mapping[int, float], problems: list[str]) -> Turn | None:
    """Read the run whose evaluation lies in this folder; None if no run has finished there."""
    # The report needs the same files, and importing it later keeps --help fast.
    from tasks.reporting.html.report_data import gather  # noqa: PLC0415

    if not run_record.is_complete(cycle):
        if run_record.was_begun(cycle):
            problems.append(
                f"{cycle.path}: a run has begun to write here and has not finished: it still "
                "goes on, or it was broken off. A new run of the cycle before replaces it."
            )
        return None
    record = run_record.read(cycle)
    for name, sha256 in record.get("files", {}).items():
        path = cycle.path / name
        if not path.is_file():
            problems.append(f"{path}: the run's record has it, and it is gone.")
        elif hashing.sha256_file(path) != sha256:
            problems.append(f"{path}: is not what the run wrote; it was changed since.")
    try:
        evidence = gather(cycle, record)
        return Turn(
            cycle=cycle.number,
            base=record["config"]["base"],
            recipe=str(record["config"]["recipe"]),
            priority=evidence.priority,
            decision=str(evidence.decision["decision"]),
            bare=str(evidence.decision["all_rows"]["decision"]),
            manifest=record["preflight"]["manifest_sha256"],
            model=str(run_record.trained_file(cycle, Path(record["sft"]["model"]))),
            before=evidence.pairing.before,
            after=evidence.pairing.after,
            epochs=evidence.epochs,
            seconds=evidence.training.get("wall_seconds"),
            usd=costs.get(cycle.number - 1),
            value=record["sft"].get("value"),
            strict_table=record.get("strict_table"),
            purged=describe_purged(record),
            served=evidence.served,
            sha256=str(record["sft"]["model_sha256"]),
        )
    except (KeyError, TypeError) as wrong:
        raise InputError(
            f"{cycle.path}: its record lacks what a run writes ({wrong!r}); it may be damaged."
        ) from wrong


def compare(earlier: Turn, later: Turn) -> ChampionComparison:
    """Compare two turns' models on the rows that both hold and that may judge both."""
    same = earlier.manifest == later.manifest
    tables = run_record.other_strict_table(
        {"strict_table": later.strict_table}, {"strict_table": earlier.strict_table}
    )
    try:
        pairing = diff.pair(earlier.after, later.after)
    except InputError as unmatched:
        return ChampionComparison(
            earlier.cycle, later.cycle, same, 0, reason=str(unmatched), other_table=tables
        )
    priority = {*earlier.priority, *later.priority}
    unseen = pairing.where(lambda pair: pair.before.row.is_unseen and pair.after.row.is_unseen)
    change = unseen.change_in(priority)
    reason = None
    if not change.rows:
        reason = (
            f"of {len(pairing.pairs)} common rows, {len(unseen.pairs)} were unseen by both models, "
            f"and none of these has a term of {', '.join(sorted(priority))}. Fix: decode rows that "
            "neither has seen by both models, and compare these with `asr-flywheel diff`."
        )
    return ChampionComparison(
        earlier.cycle,
        later.cycle,
        same,
        change.rows,
        fixed=change.fixed,
        broken=change.broken,
        only_earlier=pairing.only_before,
        only_later=pairing.only_after,
        change=change if change.rows else None,
        reason=reason,
        converted=pairing.converted_note,
        other_table=tables,
        categories=tuple(sorted(priority)),
    )


def find_champion(turns: Sequence[Turn]) -> tuple[Turn | None, tuple[str, ...]]:
    """Return the turn whose model to use, and what a user should know of how it was found.

    See ``CHAMPION_RULE``. A kept model that cannot be compared takes the older one's place.
    """
    champion: Turn | None = None
    notes: list[str] = []
    for turn in turns:
        if not turn.kept:
            continue
        if champion is not None:
            compared = compare(champion, turn)
            if compared.earlier_is_better:
                continue
            if not compared.common:
                notes.append(
                    f"The kept model of cycle {turn.cycle} takes the place of cycle "
                    f"{champion.cycle}'s as the newer one alone: whether it misses fewer terms is "
                    f"not known. {compared}"
                )
        champion = turn
    return champion, tuple(notes)


def _advise(turns: Sequence[Turn]) -> Iterable[str]:
    """Yield the advice of the stopping rules on the newest turns."""
    if not turns:
        return
    if len(turns) > 1 and all(turn.at_floor for turn in turns[-2:]):
        yield (
            f"Floor: two turns in a row (cycles {turns[-2].cycle} and {turns[-1].cycle}) lowered "
            f"the priority KER by less than {POLICY.measurable_change:.0%}. Do not tune again on "
            "this manifest: grow it, or stop."
        )
    if (warning := overfit(turns[-1].epochs)) is not None:
        yield (
            f"Overfit in cycle {turns[-1].cycle}: {warning} The best epoch was taken; grow the "
            "manifest before training longer."
        )
