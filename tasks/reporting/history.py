"""All cycles of a clinic: what each turn gave, the trend of KER, the champion, and when to stop.

A turn is a finished run: it tuned cycle N and left its evaluation in cycle N+1, under whose number
it stands here. Two turns are compared on the rows that both evaluated and neither was trained on;
where their manifests differ, that is said. A folder that cannot be read is told, and stops nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tasks.common import hashing
from tasks.common.errors import InputError
from tasks.data.cycle_folder import open_cycle
from tasks.decision.decision_table import POLICY
from tasks.evaluation import diff
from tasks.evaluation.score_summary import counted_n
from tasks.evaluation.statistics import ends
from tasks.records import cost_ledger, run_record
from tasks.records.purge_notes import describe_purged
from tasks.training.progress import overfit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from tasks.data.cycle_folder import Cycle
    from tasks.evaluation.error_counts import Proportion
    from tasks.evaluation.keyword_change import KeywordErrorChange
    from tasks.evaluation.scoring import Scores
    from tasks.records.served_figures import ServedFigures
    from tasks.training.progress import Epoch

CHAMPION_RULE = (
    "The champion is the newest kept model, unless an earlier kept one misses fewer terms of the "
    "priority categories on the rows that both hold and neither was trained on "
    f"(mid-p < {POLICY.alpha})."
)


@dataclass(frozen=True, slots=True)
class Turn:
    """A finished run.

    Attributes:
        cycle: the number under which its evaluation stands, N+1.
        base: what was tuned, as the user named it.
        recipe: the recipe's name.
        priority: the categories that decided.
        decision: of decision.json.
        bare: the specification's table read over all rows.
        manifest: SHA-256 of the tuned cycle's manifest.
        model: path of the tuned model, as the record has it.
        before: the base's evaluation, marked as the tuned model's is.
        after: the tuned model's.
        epochs: of the training, as its record has them; empty if that is gone.
        seconds: that training took; None if its record is gone.
        usd: what hosts for the tuned cycle have cost; None where nothing was rented.
        value: the tuned model's share of the shipped weights; None in a run of an older version.
        strict_table: which table the strict view read; None in a run of an older version.
        purged: that figures rest on purged recordings, in a sentence; None where they do not.
        served: the figures of its bundles; None where none was validated.
    """

    cycle: int
    base: str
    recipe: str
    priority: tuple[str, ...]
    decision: str
    bare: str
    manifest: str
    model: str
    before: Scores
    after: Scores
    epochs: tuple[Epoch, ...]
    seconds: float | None
    usd: float | None
    value: float | None = None
    strict_table: Mapping[str, str] | None = None
    purged: str | None = None
    served: ServedFigures | None = None

    @property
    def kept(self) -> bool:
        """True if the decision was to keep the model."""
        return self.decision == "keep"

    @property
    def unseen(self) -> Scores:
        """The tuned model on the rows that may judge it."""
        return self.after.where(lambda row: row.row.judges)

    @property
    def ker(self) -> dict[str, Proportion]:
        """Missed terms by category on unseen rows, the priority categories first."""
        groups = self.unseen.by("entity_category")
        by_category = {name: scores.keyword for name, scores in groups.items() if name is not None}
        order = sorted(by_category, key=lambda name: (name not in self.priority, name))
        return {name: by_category[name] for name in order if by_category[name].n}

    @property
    def drops(self) -> dict[str, float | None]:
        """Relative change of each priority category's KER by this turn, on unseen rows."""
        changes = diff.pair(self.before, self.after).judging.by_category
        return {name: changes[name].relative for name in self.priority if name in changes}

    @property
    def at_floor(self) -> bool:
        """True if no priority category dropped by as much as the floor."""
        drops = [drop for drop in self.drops.values() if drop is not None]
        return bool(drops) and all(drop > -POLICY.measurable_change for drop in drops)

    def as_dict(self) -> dict[str, Any]:
        """Return a turn as ``asr-flywheel history --json`` prints it."""
        return {
            "cycle": self.cycle,
            "rows": self.after.n,
            "held_out": self.unseen.n,
            "base": self.base,
            "recipe": self.recipe,
            "decision": self.decision,
            "bare_decision_all_rows": self.bare,
            "ker": {name: _share(share) for name, share in self.ker.items()},
            "wer": self.unseen.wer,
            "usd": self.usd,
            "training_seconds": self.seconds,
            "at_floor": self.at_floor,
            "overfit": overfit(self.epochs),
            "model": self.model,
            "shipped_value": self.value,
            "strict_table": None if self.strict_table is None else dict(self.strict_table),
            "purged": self.purged,
            "served": None if self.served is None else self.served.as_dict(),
        }


def _share(share: Proportion) -> dict[str, Any]:
    interval = share.interval
    return {
        **counted_n(share),
        "missed": share.hits,
        "ker": share.rate,
        "ci": ends(interval),
    }


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
        other_table: that their strict views read different tables, in a sentence; None where they
            read the same, or it is not known.
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
    other_table: str | None = None

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
        tables = "" if self.other_table is None else f" {self.other_table}"
        if not self.common:
            return (
                f"{names} have no row in common that neither was trained on: not compared.{tables}"
            )
        basis = "the same manifest"
        if not self.same_manifest:
            basis = (
                f"different manifests, so only their common rows count ({self.only_earlier} rows "
                f"are only in cycle {self.earlier}, {self.only_later} only in cycle {self.later})"
            )
        return (
            f"{names}: {basis}. On {self.common} rows that neither was trained on, the later model "
            f"found {self.fixed} terms that the earlier one missed, and missed {self.broken} that "
            f"it found (mid-p {self.p:.3g}).{tables}"
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
    """

    turns: tuple[Turn, ...]
    problems: tuple[str, ...]
    comparisons: tuple[ChampionComparison, ...] = ()
    champion: Turn | None = None
    advice: tuple[str, ...] = ()
    rule: str = field(default=CHAMPION_RULE)

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
                category: {str(cycle): _share(share) for cycle, share in by_cycle.items()}
                for category, by_cycle in self.trend().items()
            },
            "comparisons": [comparison.as_dict() for comparison in self.comparisons],
            "champion": None if self.champion is None else self.champion.as_dict(),
            "champion_rule": self.rule,
            "stopping": list(self.advice),
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
    turns = []
    for cycle in sorted(cycles, key=lambda cycle: cycle.number):
        try:
            if (turn := _read_turn(cycle, costs, problems)) is not None:
                turns.append(turn)
        except InputError as damaged:
            problems.append(str(damaged))
    return History(
        tuple(turns),
        tuple(problems),
        tuple(compare(earlier, later) for earlier, later in pairwise(turns)),
        find_champion(turns),
        tuple(_advise(turns)),
    )


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
            model=record["sft"]["model"],
            before=evidence.pairing.before,
            after=evidence.pairing.after,
            epochs=evidence.epochs,
            seconds=evidence.training.get("wall_seconds"),
            usd=costs.get(cycle.number - 1),
            value=record["sft"].get("value"),
            strict_table=record.get("strict_table"),
            purged=describe_purged(record),
            served=evidence.served,
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
    except InputError:
        return ChampionComparison(earlier.cycle, later.cycle, same, 0, other_table=tables)
    priority = {*earlier.priority, *later.priority}
    unseen = pairing.where(lambda pair: pair.before.row.judges and pair.after.row.judges)
    change = unseen.change_in(priority)
    return ChampionComparison(
        earlier.cycle,
        later.cycle,
        same,
        change.rows,
        fixed=change.fixed,
        broken=change.broken,
        only_earlier=pairing.only_before,
        only_later=pairing.only_after,
        change=change,
        other_table=tables,
    )


def find_champion(turns: Sequence[Turn]) -> Turn | None:
    """Return the turn whose model to use; see ``CHAMPION_RULE``."""
    champion: Turn | None = None
    for turn in turns:
        if turn.kept and not (champion and compare(champion, turn).earlier_is_better):
            champion = turn
    return champion


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
