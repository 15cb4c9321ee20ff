"""Cycle N+1's leaderboard, put together: who stands on it, and what a reader must know of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.common.counted import agreed, counted
from tasks.common.errors import InputError
from tasks.data.cycle_folder import OFFLINE_NAME, open_cycle
from tasks.data.row_reviews import describe_set_apart
from tasks.data.split_parts import Disjointness
from tasks.decision.evidence import evidence, judged_rows, read_all_rows
from tasks.decision.gate_policy import GatePolicy
from tasks.decision.guardrail import GuardrailPolicy, check_guardrail
from tasks.decision.verdict import decide
from tasks.decision.verdict_rules import SPELLING_BLIND, UNCHECKED
from tasks.evaluation import diff, leaderboard, row_basis
from tasks.evaluation.baseline import find_baseline, read_baseline
from tasks.evaluation.hypotheses import Partition
from tasks.evaluation.keyword_change import ALL_CATEGORIES, KeywordErrorChange
from tasks.evaluation.leaderboard import Leaderboard, LeaderboardEntry
from tasks.evaluation.metric_changes import metric_changes
from tasks.evaluation.result_reading import read_hypotheses
from tasks.evaluation.scoring import score
from tasks.evaluation.training_exposure import changes_by_exposure
from tasks.records import run_record
from tasks.stages.boosted_arms import BASE_BOOSTED, TUNED_BOOSTED
from tasks.stages.fair_pairs import fair_pairs
from tasks.stages.partition_marks import mark_parts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tasks.decision.guardrail import Guardrail
    from tasks.decision.harm_check import HarmCheck
    from tasks.decision.nonspeech_check import NonspeechCheck
    from tasks.evaluation.baseline import Baseline
    from tasks.evaluation.scoring import Scores
    from tasks.stages.boosted_arms import BoostedArms
    from tasks.stages.shipped_model import ShippedModel


_CHECK_BY_DIFF = (
    "write a manifest of ordinary sentences, as general/cycle1/manifest.jsonl; run `asr-flywheel "
    "transcribe general/cycle1 --model BEFORE.nemo --out before_general.jsonl` and `asr-flywheel "
    "transcribe general/cycle1 --model AFTER.nemo --out after_general.jsonl`; then add `--general "
    "before_general.jsonl after_general.jsonl` to this diff."
)


@dataclass(frozen=True)
class SupplementaryResults:
    """Results besides those of the split's rows.

    Attributes:
        guardrails: general English before and after, by the shipped model and, where that is a
            mixture, by the plain tuned one; empty without a set.
        cross_fitted: every row by a model that never saw it; None without folds.
        folds: how many there are.
        nonspeech: words found where nobody speaks; None where that was not looked at.
        harm_checks: what else was looked at for harm.
        shipped: the model that is judged; None where there was no choice.
        unmixed: the plain tuned model's scores, where a mixture is shipped.
        boosted: base and tuned model with and without phrases; None where nothing was boosted.
    """

    guardrails: tuple[Guardrail, ...]
    cross_fitted: diff.PairedScores | None
    folds: int
    nonspeech: NonspeechCheck | None = None
    harm_checks: tuple[HarmCheck, ...] = ()
    shipped: ShippedModel | None = None
    unmixed: Scores | None = None
    boosted: BoostedArms | None = None

    @property
    def guardrail(self) -> Guardrail | None:
        """The shipped model's."""
        return self.guardrails[0] if self.guardrails else None

    @property
    def unmixed_guardrail(self) -> Guardrail | None:
        """The plain tuned model's, where a mixture is shipped and that model was decoded too."""
        return self.guardrails[1] if len(self.guardrails) > 1 else None

    def shipping(self) -> dict[str, Any] | None:
        """Return what is shipped as decision.json holds it, the plain tuned model's guard too."""
        if self.shipped is None:
            return None
        unmixed = self.unmixed_guardrail
        return {
            **self.shipped.as_dict(),
            "unmixed_guardrail": None if unmixed is None else unmixed.as_dict(),
        }


def build_leaderboard(
    cycle: int,
    names: tuple[str, str],
    before: Scores,
    after: Scores,
    baseline: Baseline | None,
    imported: Scores | None,
    supplementary: SupplementaryResults,
    *,
    set_apart: Mapping[str, int] | None = None,
    disjoint: Disjointness = Disjointness.ROW,
    by_term: bool = False,
) -> tuple[Leaderboard, diff.PairedScores]:
    """Build a tuned cycle's leaderboard, and the comparison that decides.

    Args:
        cycle: the number of the cycle whose leaderboard it is.
        names: of base and tuned model.
        before: the base's scores; both sides' rows say whether they were trained on.
        after: the tuned model's.
        baseline: the evaluation that the cycle came with; an imported one stands on the board.
        imported: its scores, where the tuned model is compared with it and not with the base.
        supplementary: general English and cross-fitted rows.
        set_apart: rows that reviews left out, by their mark.
        disjoint: what the split has on one side only.
        by_term: whether terms are, too.
    """
    base, tuned = names
    entries = leaderboard.tuned_entries(base, before, tuned, after)
    held_out = sum(row.row.part is Partition.HELD_OUT for row in after.rows)
    trust = (
        f"{counted(held_out, 'row')} {agreed(held_out, 'was', 'were')} held out from training: "
        f"{agreed(held_out, 'its figures are those', 'theirs are the figures')} to trust."
    )
    notes = [f"{trust} The split is {disjoint.summary(by_term=by_term)}."]
    notes.append(UNCHECKED if supplementary.guardrail is None else str(supplementary.guardrail))
    if supplementary.nonspeech is not None:
        notes.append(str(supplementary.nonspeech))
    notes += map(str, supplementary.harm_checks)
    if (shipped := supplementary.shipped) is not None and shipped.mixed:
        notes.append(
            f"{tuned} is a mixture: {shipped.value:g} of the tuned model's weights and "
            f"{1 - shipped.value:g} of the base's. {shipped.choice['reason']}"
        )
    if supplementary.unmixed is not None:
        entries += leaderboard.partition_entries(f"{tuned}, unmixed", supplementary.unmixed)
        if supplementary.unmixed_guardrail is not None:
            notes.append(f"Unmixed: {supplementary.unmixed_guardrail}")
    if (arms := supplementary.boosted) is not None:
        entries += tuple(
            LeaderboardEntry(f"{name}, boosted", row_basis.HELD_OUT, arms.scores[arm].held_out)
            for arm, name in ((BASE_BOOSTED, base), (TUNED_BOOSTED, tuned))
        )
        notes += arms.notes()
    pairing = diff.pair(before, after)
    if baseline is not None and baseline.imported:
        hosted = diff.pair(baseline.scores, after)
        entries += leaderboard.partition_entries(baseline.label, hosted.before)
        notes.append(
            f"{baseline.path.name} was made by another decoder than this tool's; "
            f"{counted(hosted.only_after, 'row')} of this cycle "
            f"{agreed(hosted.only_after, 'is', 'are')} not in it."
        )
    if imported is not None:
        pairing = diff.pair(imported, after)
        notes.append("The decision compares two decoders as well as two models.")
    if (crossed := supplementary.cross_fitted) is not None:
        entries += (
            LeaderboardEntry(tuned, row_basis.CROSS_FITTED, crossed.after),
            LeaderboardEntry(base, row_basis.CROSS_FITTED, crossed.before),
        )
        notes.append(
            f"Cross-fitted over {counted(supplementary.folds, 'fold')}: each row was scored by a "
            "model that had not seen it. That grades the recipe; the model that is shipped was "
            "trained on the split."
        )
    notes += filter(None, (hyphen_note(before, after), describe_set_apart(set_apart or {})))
    changes, exposure = metric_changes(pairing.held_out), changes_by_exposure(pairing)
    return Leaderboard(cycle, entries, tuple(notes), changes, exposure), pairing


def guardrail_of(
    after: Path, general: tuple[Path, Path] | None, policy: GuardrailPolicy
) -> Guardrail | None:
    """Check the guardrail of a comparison on the two named files, or on the later cycle's.

    Raises:
        InputError: a file cannot be read, or the two have no sentence in common.
    """
    paths = general or tuple(after / name for name in run_record.GENERAL_NAMES)
    if general is None and not all(path.is_file() for path in paths):
        return None
    base, tuned = (score(read_hypotheses(path)) for path in paths)
    pairing = diff.pair(base, tuned)
    return check_guardrail(pairing.before, pairing.after, policy)


def compare(
    before: Path,
    after: Path,
    held_out: Path | None,
    priority: Sequence[str],
    *,
    general: tuple[Path, Path] | None = None,
    limit: GuardrailPolicy | None = None,
    model: Path | None = None,
) -> dict[str, Any]:
    """Compare two evaluations row by row and decide; what ``asr-flywheel diff --json`` prints.

    The later evaluation's marks say which rows were held out, then the model's own list of
    recordings, and only then a manifest. Where nothing says it, the answer says that all rows were
    counted.

    Args:
        before: the earlier evaluation: a file of per-row results, or a cycle's folder.
        after: the later one.
        held_out: a manifest of held-out rows; None for none.
        priority: the categories that decide.
        general: general English by the earlier and by the later model.
        limit: of the guardrail.
        model: the later model, whose list says what it was trained on; None for that of the run
            that made the later cycle.

    Raises:
        InputError: a file cannot be read, or there is nothing to compare.
    """
    GatePolicy(priority=tuple(priority))  # names a misspelt category
    earlier, later = _read_evaluation(before), _read_evaluation(after)
    known, _ = mark_parts(earlier, before, None, None)
    scores, mark_notes = mark_parts(later, after, model, held_out)
    pairing, unfair_notes = fair_pairs(diff.pair(known, scores), before, after)
    grounds = evidence(pairing, guardrail=guardrail_of(after, general, limit or GuardrailPolicy()))
    decided = decide(grounds, priority, how_to_check=_CHECK_BY_DIFF)
    notes = [
        f"{evaluation.path.name}: {evaluation.label}."
        for evaluation in (earlier, later)
        if evaluation.imported
    ]
    notes += [*mark_notes, *unfair_notes]
    notes += [f"{one.path.name}: {note}" for one in (earlier, later) for note in one.notes]
    if pairing.only_before or pairing.only_after:
        notes.append(
            f"{counted(pairing.only_before, 'row')} {agreed(pairing.only_before, 'is', 'are')} "
            f"only in the earlier evaluation and {pairing.only_after} only in the later one; they "
            "are not compared."
        )
    if (converted := pairing.converted_note) is not None:
        notes.append(converted)
    if grounds.basis == row_basis.UNTUNED:
        notes.append(
            "It is not known which rows were trained on: name the others with --held-out MANIFEST."
        )
    if (note := hyphen_note(pairing.before, pairing.after)) is not None:
        notes.append(note)
    return {
        **decided.as_dict(),
        "all_rows": read_all_rows(pairing, priority).as_dict(),
        "notes": notes,
        "rows": len(judged_rows(pairing)[0].pairs),
        "only_in_a": pairing.only_before,
        "only_in_b": pairing.only_after,
        **_differences_as_dict(grounds.judged, grounds.views[SPELLING_BLIND].judged),
    }


def hyphen_note(*evaluations: Scores) -> str | None:
    """Say where the one correction of the contract changes a figure; None where it does not."""
    rows = sum(scores.changed_by_hyphens for scores in evaluations)
    if not rows:
        return None
    return (
        f"{counted(rows, 'scored text')} {agreed(rows, 'has', 'have')} other figures than to the "
        "letter of the contract: a dash (U+2010 to U+2013, U+2212) between word characters is "
        "read as the hyphen."
    )


def _differences_as_dict(
    changes: Mapping[str, KeywordErrorChange], canonical: Mapping[str, KeywordErrorChange]
) -> dict[str, object]:
    """Return the differences by category, and of all categories together."""
    by_category = {
        category: {
            **delta.as_dict(),
            "canonical_ker_a": canonical[category].before.rate,
            "canonical_ker_b": canonical[category].after.rate,
            "missed_by_spelling_only_a": delta.before.hits - canonical[category].before.hits,
            "missed_by_spelling_only_b": delta.after.hits - canonical[category].after.hits,
        }
        for category, delta in changes.items()
    }
    return {"overall": by_category.pop(ALL_CATEGORIES), "by": by_category}


def _read_evaluation(path: Path) -> Baseline:
    """Read a file, or a cycle's evaluation; prefer this tool's own hypotheses."""
    if not path.is_dir():
        return read_baseline(path)
    cycle = open_cycle(path)
    offline = cycle.path / OFFLINE_NAME
    baseline = read_baseline(offline) if offline.is_file() else find_baseline(cycle, None)
    if baseline is None:
        raise InputError(
            f"{cycle.path}: there is no evaluation result in this cycle. Fix: run "
            "`asr-flywheel transcribe`, or put per_sample.json there."
        )
    return baseline
