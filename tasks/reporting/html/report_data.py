"""A report's content, gathered from cycle N+1's folder and the record of the run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.common.errors import InputError
from tasks.data.canonical_terms import SpokenText
from tasks.data.cycle_folder import IMPORTED_NAME, OFFLINE_NAME
from tasks.data.manifest import NARROW
from tasks.data.text_normalizer import normalise, normalise_term
from tasks.evaluation import diff
from tasks.evaluation.error_counts import Proportion
from tasks.evaluation.keyword_change import ALL_CATEGORIES
from tasks.evaluation.leaderboard import WIDE
from tasks.evaluation.result_reading import read_hypotheses
from tasks.evaluation.scoring import Scores, score
from tasks.evaluation.secondary_metrics import near_miss
from tasks.records import run_record
from tasks.records.served_figures import read_served
from tasks.training.progress import Epoch
from tasks.training.run import read_info

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.data.cycle_folder import Cycle
    from tasks.evaluation.diff import PairedScores, ScorePair
    from tasks.evaluation.keyword_change import KeywordErrorChange
    from tasks.records.served_figures import ServedFigures


_ROWS_PER_TERM = 2
_FORMS = 3
_NEEDED = ("started", "config", "gate", "preflight", "split", "sft", "versions")


@dataclass(frozen=True, slots=True)
class CategoryChange:
    """KER before and after in one group of rows, the same rows on both sides."""

    name: str
    before: Proportion
    after: Proportion


@dataclass(frozen=True, slots=True)
class TermChange:
    """One term and its misses by both models.

    Attributes:
        term: as the manifest spells it.
        category: its entity_category, or nothing.
        before: judged rows that the base missed.
        after: judged rows that the tuned model missed.
        trained: rows that the tuned model was trained on and missed all the same.
        heard: what the tuned model heard instead, most often first.
    """

    term: str
    category: str
    before: Proportion
    after: Proportion
    trained: Proportion
    heard: tuple[str, ...]

    @property
    def worst_first(self) -> tuple[float, float, float, str]:
        """A key to sort by."""
        return (-(self.after.rate or 0), -self.after.hits, -(self.trained.rate or 0), self.term)


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything that a report shows.

    Attributes:
        cycle: cycle N+1, whose folder gets the report.
        record: what run.json holds, its hashes of files left out.
        decision: what decision.json holds.
        pairing: every row as base and tuned model heard it.
        training: what training_run_info.json holds; empty if that is not to be found.
        crossed: every row by the base and by a model that never saw it; None without folds.
        served: the figures of its bundles; None where none was validated.
    """

    cycle: Cycle
    record: Mapping[str, Any]
    decision: Mapping[str, Any]
    pairing: PairedScores
    training: Mapping[str, Any]
    crossed: PairedScores | None = None
    served: ServedFigures | None = None

    @property
    def base(self) -> str:
        """The base's name."""
        return Path(self.record["config"]["base"]).name

    @property
    def priority(self) -> tuple[str, ...]:
        """The categories that decided."""
        return tuple(self.record["config"]["priority"])

    @property
    def parted(self) -> bool:
        """True if it is known which rows were trained on."""
        return any(pair.after.row.part is not None for pair in self.pairing.pairs)

    @property
    def judged(self) -> PairedScores:
        """The rows that the verdict rests on: held-out ones wherever they are known."""
        if self.crossed is not None:
            return self.crossed
        return self.pairing.held_out if self.parted else self.pairing

    @property
    def trained(self) -> PairedScores:
        """The rows that the tuned model was trained on."""
        return self.pairing.trained

    def deltas(self) -> dict[str, KeywordErrorChange]:
        """Return changes by category: priority ones first, then by name, all together last."""
        changes = self.judged.by_category
        order = [category for category in self.priority if category in changes]
        order += [
            category for category in changes if category not in order and category != ALL_CATEGORIES
        ]
        return {category: changes[category] for category in (*order, ALL_CATEGORIES)}

    def changes(self, dimension: str) -> list[CategoryChange]:
        """Return KER by the values of a field on the judged rows; skip rows without the field."""
        groups = self.judged.before.by(dimension), self.judged.after.by(dimension)
        return [
            CategoryChange(value, groups[0][value].keyword, groups[1][value].keyword)
            for value in sorted((v for v in groups[1] if v is not None), key=_rank_condition)
            if groups[1][value].keyword.n
        ]

    def bandwidths(self) -> list[CategoryChange]:
        """Return KER on narrow and on wide judged rows; nothing where no row is narrow."""
        changes = []
        for value in (NARROW, None):
            # By the later side's marks: an imported evaluation has none.
            pairs = [one for one in self.judged.pairs if one.after.row.bandwidth == value]
            if value == NARROW and not pairs:
                return []
            before = Scores(tuple(one.before for one in pairs)).keyword
            after = Scores(tuple(one.after for one in pairs)).keyword
            if after.n:
                changes.append(CategoryChange(value or WIDE, before, after))
        return changes

    def terms(self) -> list[TermChange]:
        """List every term, worst first by the tuned model on the judged rows."""
        groups: dict[tuple[str, str], tuple[list[ScorePair], list[ScorePair]]] = {}
        for side, pairing in enumerate((self.judged, self.trained)):
            for pair in pairing.pairs:
                for single in pair.by_occurrence():
                    if single.after.term_missed is not None:
                        row = single.after.row
                        key = (normalise_term(row.term or ""), row.entity_category or "")
                        groups.setdefault(key, ([], []))[side].append(single)
        return sorted(
            (_term_change(judged, trained) for judged, trained in groups.values()),
            key=lambda term: term.worst_first,
        )

    def worst_rows(self, n: int) -> list[ScorePair]:
        """Select judged rows to listen to: newly missed, still missed, then by WER.

        At most two of a term, so that one hard word does not fill the list.
        """
        ranked = sorted(
            self.judged.pairs,
            key=lambda pair: (
                not pair.newly_missed,
                not pair.after.term_missed,
                not set(self.priority).intersection(pair.after.row.categories),
                -pair.after.wer,
                pair.after.row.audio_filepath,
            ),
        )
        rows_per_term: Counter[str] = Counter()
        selected = []
        for pair in ranked:
            terms = {normalise(item.term) for item in pair.after.row.flagged}
            if not terms or any(rows_per_term[term] < _ROWS_PER_TERM for term in terms):
                rows_per_term.update(terms)
                selected.append(pair)
        return selected[:n]

    def audio(self, pair: ScorePair) -> Path:
        """Return the path of a row's recording; relative paths are the tuned cycle's."""
        return self.recording(pair.after.row.audio_filepath)

    def recording(self, name: str) -> Path:
        """Return the path of a recording by the name that the manifest gives it."""
        recorded = Path(self.record["config"]["cycle"]) / name
        return recorded if recorded.is_file() else _tuned_folder(self.cycle) / name

    @property
    def epochs(self) -> tuple[Epoch, ...]:
        """The course of training."""
        return tuple(
            Epoch(**{name: epoch.get(name) for name in Epoch.__dataclass_fields__})
            for epoch in self.training.get("epochs", ())
        )


def _rank_condition(value: str) -> tuple[int, str]:
    """Rank a condition: noise from clean to loud, pronunciations from verified to guessed."""
    order = ("clean", "snr_15db", "snr_5db", "override", "merriam-webster", "magpie_g2p")
    return (order.index(value) if value in order else len(order), value)


def _term_change(judged: Sequence[ScorePair], trained: Sequence[ScorePair]) -> TermChange:
    row = (*judged, *trained)[0].after.row
    return TermChange(
        row.term or "",
        row.entity_category or "",
        _share_missed([bool(pair.before.term_missed) for pair in judged]),
        _share_missed([bool(pair.after.term_missed) for pair in judged]),
        _share_missed([bool(pair.after.term_missed) for pair in trained]),
        _misrecognised_forms((*judged, *trained)),
    )


def _misrecognised_forms(pairs: Sequence[ScorePair]) -> tuple[str, ...]:
    forms: Counter[str] = Counter()
    for row in (pair.after.row for pair in pairs if pair.after.term_missed):
        form = near_miss(SpokenText(row.ref), SpokenText(row.hyp), row.term or "")
        if form is not None:
            forms[form] += 1
    return tuple(form for form, _ in forms.most_common(_FORMS))


def _share_missed(rows: Sequence[bool]) -> Proportion:
    return Proportion(sum(rows), len(rows))


def gather(cycle: Cycle, record: Mapping[str, Any]) -> ReportData:
    """Gather a report's content from cycle N+1's folder.

    Args:
        cycle: cycle N+1.
        record: what run.json holds or will hold.

    Raises:
        InputError: a file of the run is not there or cannot be read.
    """
    if lacking := [name for name in _NEEDED if name not in record]:
        raise InputError(
            f"{cycle.path / run_record.RECORD_NAME}: lacks {', '.join(lacking)}; it may be "
            "damaged, or another version's. Fix: run the cycle again; it trains nothing twice."
        )
    before = score(read_hypotheses(_baseline_path(cycle, record)))
    after = score(read_hypotheses(cycle.path / OFFLINE_NAME))
    return ReportData(
        cycle,
        record,
        run_record.read_decision(cycle),
        diff.pair(before, after),
        _read_training_info(cycle, record),
        _read_cross_fitted(cycle, record),
        read_served(cycle, record),
    )


def _read_cross_fitted(cycle: Cycle, record: Mapping[str, Any]) -> PairedScores | None:
    """Pair every row by the base and by its fold's model; None without folds."""
    if not record["config"].get("folds"):
        return None
    base = score(read_hypotheses(cycle.path / run_record.BASELINE_NAME))
    return diff.pair(base, score(read_hypotheses(cycle.path / run_record.CROSS_FITTED_NAME)))


def _baseline_path(cycle: Cycle, record: Mapping[str, Any]) -> Path:
    """Return the path of the evaluation that the tuned model was compared with."""
    config = record["config"]
    if config["compare_with"] != "imported":
        return cycle.path / run_record.BASELINE_NAME
    recorded = config["baseline"]
    return Path(recorded).expanduser() if recorded else _tuned_folder(cycle) / IMPORTED_NAME


def _tuned_folder(cycle: Cycle) -> Path:
    """Return cycle N's folder, beside cycle N+1's, wherever both have been moved to."""
    return cycle.path.parent / f"cycle{cycle.number - 1}"


def _read_training_info(cycle: Cycle, record: Mapping[str, Any]) -> dict[str, Any]:
    """Read training_run_info.json; empty where it is gone."""
    path = run_record.trained_file(cycle, Path(record["sft"]["training_run_info"]))
    return read_info(path) if path.is_file() else {}
