"""Stages before training: each gathers its input from a cycle's folder and calls its logic.

The flow and the command line both go through here, so that ``asr-flywheel gate`` and the flow's
gate cannot disagree.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.common import atomic_files, hashing
from tasks.common.counted import agreed, counted
from tasks.common.errors import InputError
from tasks.common.schemas import Schema
from tasks.data import manifest
from tasks.data.audio_checks import AudioLimits
from tasks.data.canonical import canonical
from tasks.data.general_english import GeneralSet, divide
from tasks.data.preflight import PreflightResult, preflight
from tasks.data.row_reviews import RowReviews, read_reviews, set_apart
from tasks.data.split_parts import Disjointness
from tasks.data.training_set import TrainingSet, fold_checked, split_checked, write_training_set
from tasks.decision.boosting_gate import answer_on_boosting
from tasks.decision.decision_table import Verdict
from tasks.decision.gate import GateInputs, GateResult, check_gate
from tasks.decision.verdict_rules import require_rows
from tasks.evaluation import diff, row_basis
from tasks.evaluation.scoring import score
from tasks.models import catalog
from tasks.models.nemo_archive import open_archive
from tasks.models.text_style import style_of
from tasks.records import run_record, verdict_ledger
from tasks.stages.evaluated_model import explain_other_model, how_to_evaluate, warn_of_other_base
from tasks.stages.looser_split import require_rows_of_split
from tasks.stages.partition_marks import mark_parts
from tasks.stages.split_command import keep_used_split
from tasks.training import tuned_models
from tasks.transcription.audio_sets import Transcript
from tasks.transcription.rows import hypotheses

BOOSTING_NAME = "boost.json"
"""The record of a measurement of boosting in the cycle's folder."""

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.data.cycle_folder import Cycle
    from tasks.data.manifest import Utterance
    from tasks.data.split_parts import Split
    from tasks.decision.boosting_gate import BoostingAnswer
    from tasks.decision.gate_policy import GatePolicy
    from tasks.evaluation.baseline import Baseline
    from tasks.evaluation.scoring import Scores
    from tasks.models.catalog import Method
    from tasks.stages.looser_split import SplitAgain
    from tasks.training.recipes import Recipe


def run_gate(
    cycle: Cycle, base: str, policy: GatePolicy, baseline: Baseline | None, method: Method
) -> GateResult:
    """Run the gate on a cycle's folder.

    Raises:
        InputError: a file cannot be read, or the base is neither known nor a file.
    """
    previous = cycle.previous
    known_now = cycle.manifest.exists()
    known_before = previous is not None and previous.manifest.is_file()
    other_model = None if baseline is None else explain_other_model(cycle, base, baseline)
    if other_model is not None:
        baseline = None
    if baseline is not None:
        baseline = _known_to_base(cycle, base, baseline)
    reviews = read_reviews(cycle)
    utterances = _reviewed(manifest.read_manifest(cycle.manifest), reviews) if known_now else None
    judging, foreign = (
        (None, ()) if baseline is None else _own_rows(baseline.unseen, utterances or (), reviews)
    )
    described, base_notes = _describe_base(cycle, base)
    evidence = GateInputs(
        utterances=utterances,
        baseline=judging,
        base=described,
        method=method,
        cycle=cycle.number,
        previous_rows=len(manifest.read_manifest(previous.manifest))
        if previous is not None and known_before
        else None,
        baseline_notes=()
        if baseline is None
        else (*warn_of_other_base(cycle, base, baseline), *baseline.notes, *foreign),
        other_model=other_model,
        transcribe=how_to_evaluate(cycle, base),
        base_notes=base_notes,
        holds_evaluation=run_record.is_complete(cycle),
        left_out=None
        if baseline is None
        else baseline.scores.where(lambda row: not row.row.is_unseen),
    )
    return replace(check_gate(evidence, policy), boosting=_boosting_answer(cycle, base, policy))


def _describe_base(cycle: Cycle, base: str) -> tuple[catalog.Base, tuple[str, ...]]:
    """Describe a base, with the verdict that this clinic's own record has on it, and warn of it."""
    described = catalog.describe(base)
    model = Path(base).expanduser()
    found = verdict_ledger.last_on(cycle.clinic, model) if model.is_file() else None
    if found is None:
        return described, ()
    name, row = found
    verdict = f"the verdict {row['verdict']} by {name} ({row['time']})"
    described = replace(described, note=f"a model tuned here, with {verdict}")
    if row["verdict"] == Verdict.KEEP:
        return described, ()
    warning = (
        f"{base} was tuned here and not kept: it has {verdict}. What is tuned from it begins with "
        "what that model has lost. Fix: tune the base that it was tuned from."
    )
    return described, (warning,)


def _known_to_base(cycle: Cycle, base: str, baseline: Baseline) -> Baseline:
    """Mark the rows that a tuned base was trained on, where the evaluation marks nothing."""
    model = Path(base).expanduser()
    unmarked = any(row.row.part is None for row in baseline.scores.rows)
    if not unmarked or tuned_models.folder_of(model, cycle.path.parent) is None:
        return baseline
    try:
        scores, _ = mark_parts(baseline, cycle.path, model, None)
    except InputError:
        note = (
            "The base is a tuned model, and it cannot be told which rows of the baseline it was "
            "trained on: their recordings are not on this host."
        )
        return replace(baseline, notes=(*baseline.notes, note))
    return replace(baseline, scores=scores)


def _boosting_answer(cycle: Cycle, base: str, policy: GatePolicy) -> BoostingAnswer | None:
    """Return what boost.json answers; None without one, or where the manifest has changed since."""
    path = cycle.path / BOOSTING_NAME
    if not path.is_file() or not cycle.manifest.is_file():
        return None
    result = atomic_files.read_json(path)
    Schema.BOOST.check(result, path)
    if result["manifest_sha256"] != hashing.sha256_file(cycle.manifest):
        return None
    return answer_on_boosting(result, base, policy.priority, policy.tune_above)


def _reviewed(utterances: Sequence[Utterance], reviews: RowReviews) -> tuple[Utterance, ...]:
    """Return the rows that no review set apart."""
    return tuple(row for row in utterances if not reviews.sets_apart(row.audio_filepath, row.text))


def _own_rows(
    scores: Scores, utterances: Sequence[Utterance], reviews: RowReviews
) -> tuple[Scores, tuple[str, ...]]:
    """Return the rows of an evaluation that are rows of the manifest, and a note on the others.

    Where none is, all are returned: the gate says that it is another manifest's evaluation. Rows
    that a review set apart are left out, and counted in a note of their own.
    """
    kept = scores.where(lambda row: not reviews.sets_apart(row.row.audio_filepath, row.row.ref))
    notes: tuple[str, ...] = ()
    if kept.n < scores.n:
        apart = scores.n - kept.n
        said = f"{apart} of {counted(scores.n, 'baseline row')} {agreed(apart, 'is', 'are')}"
        notes = (f"{said} set apart by a review and not counted.",)
    scores = kept
    texts = {canonical(utterance.text) for utterance in utterances}
    own = scores.where(lambda row: canonical(row.row.ref) in texts)
    if own.n in {0, scores.n}:
        return scores, notes
    foreign = scores.n - own.n
    note = (
        f"{foreign} of {counted(scores.n, 'row')} of the baseline "
        f"{agreed(foreign, 'is no row', 'are no rows')} of this manifest; "
        f"{agreed(foreign, 'it is', 'they are')} left out of its figures."
    )
    return own, (*notes, note)


def check(
    cycle: Cycle,
    base: Path,
    recipe: Recipe,
    audio_roots: Sequence[Path] = (),
    *,
    keep_style: bool = False,
) -> PreflightResult:
    """Run the preflight of a cycle for training on a base.

    Raises:
        InputError: lists every error that was found.
    """
    archive = open_archive(base)
    if recipe.frozen_share and not recipe.frozen_layers(archive.encoder_layers):
        raise InputError(
            f"{base}: recipe {recipe.name!r} leaves {recipe.frozen_share:.0%} of the encoder's "
            f"layers untrained, and its configuration has {archive.encoder_layers} of them "
            "(encoder.n_layers). Fix: take another recipe, such as verified."
        )
    limits = AudioLimits(
        archive.sample_rate, tuple(audio_roots), recipe.min_duration, recipe.max_duration
    )
    result = preflight(cycle.manifest, limits, style_of(archive), restyle=not keep_style)
    result.raise_errors()
    return set_apart(result, read_reviews(cycle))


def general_set(
    general: Path,
    base: Path,
    recipe: Recipe,
    checked: PreflightResult,
    *,
    clinic: Path,
    audio_roots: Sequence[Path] = (),
    replay: int = 0,
    chooses: bool = False,
    keep_style: bool = False,
) -> GeneralSet:
    """Prepare the general English that guards a cycle, chooses, and is used in training.

    Args:
        general: its manifest.
        base: what is tuned.
        recipe: whose limits of length count, and which may teach the base's outputs on a share.
        checked: the cycle's rows.
        clinic: the folder of the clinic's cycles, among which a tuned base is known.
        audio_roots: folders under which recordings may lie.
        replay: how many sentences are trained on.
        chooses: whether a share of the others chooses.
        keep_style: whether texts stay as they are written.

    Raises:
        InputError: lists every error of the set's manifest and audio; or it is too small, or
            shares a recording with the cycle.
    """
    archive = open_archive(base)
    manifest_path = general.expanduser().resolve()
    checked_general = preflight(
        manifest_path,
        AudioLimits(archive.sample_rate, tuple(audio_roots), recipe.min_duration, math.inf),
        style_of(archive),
        restyle=not keep_style,
    )
    checked_general.raise_errors()
    return divide(
        manifest_path,
        checked_general.rows,
        checked.rows,
        replay=replay,
        longest=recipe.max_duration,
        seen_before=tuned_models.roles_of(base, clinic).seen,
        chooses=chooses,
        distills=bool(recipe.distillation),
    )


def split(
    cycle: Cycle,
    checked: PreflightResult,
    fraction: float,
    seed: int,
    seen_before: frozenset[str] = frozenset(),
    general: GeneralSet | None = None,
    *,
    by_term: bool = False,
    selection: float = 0.0,
    disjoint: Disjointness = Disjointness.ROW,
) -> TrainingSet:
    """Hold out a share of each category and one that chooses; write the files of each part."""
    parts = split_checked(
        checked.rows,
        fraction=fraction,
        seed=seed,
        seen_before=seen_before,
        by_term=by_term,
        selection=selection,
        disjoint=disjoint,
    )
    if (note := keep_used_split(cycle, checked.rows, parts)) is not None:
        parts = replace(parts, warnings=(*parts.warnings, note))
    return _write(cycle.path, checked, parts, general)


def _write(
    folder: Path, checked: PreflightResult, parts: Split, general: GeneralSet | None
) -> TrainingSet:
    """Write a training set with the general English that training uses."""
    if general is None:
        return write_training_set(folder, checked.rows, parts)
    return write_training_set(
        folder, checked.rows, parts, replay=general.replay, distilled=general.distilled
    )


def with_replay(data: TrainingSet, checked: PreflightResult, general: GeneralSet) -> TrainingSet:
    """Write the files of a training set anew, with other general English replayed."""
    return _write(data.train.parent, checked, data.split, general)


def folds(
    cycle: Cycle,
    checked: PreflightResult,
    number: int,
    seed: int,
    seen_before: frozenset[str] = frozenset(),
    general: GeneralSet | None = None,
    *,
    by_term: bool = False,
    selection: float = 0.0,
    disjoint: Disjointness = Disjointness.ROW,
) -> list[TrainingSet]:
    """Deal the rows into folds; each has the files of its parts under folds/."""
    parts = fold_checked(
        checked.rows,
        number,
        seed=seed,
        seen_before=seen_before,
        by_term=by_term,
        selection=selection,
        disjoint=disjoint,
    )
    return [
        _write(cycle.path / "folds" / f"{place}of{number}", checked, part, general)
        for place, part in enumerate(parts, start=1)
    ]


def require_decidable(
    checked: PreflightResult,
    data: TrainingSet,
    priority: Sequence[str],
    baseline: Baseline | None,
    *,
    decides: bool = False,
    split_again: SplitAgain | None = None,
) -> None:
    """Make sure, before anything is trained, that the decision will have rows to rest on.

    Args:
        checked: the cycle's rows.
        data: its split.
        priority: the categories that the decision looks at.
        baseline: the cycle's evaluation; an imported one will stand on the leaderboard.
        decides: whether the tuned model will be compared with the imported one.
        split_again: makes the split anew, to find one that has such rows.

    Raises:
        InputError: a priority category has no held-out row with a term, or the imported
            evaluation lacks it, or has no row of this cycle at all.
    """
    silent = Transcript(data.train, ("",) * len(checked.rows), 0, 0.0, 0.0)

    def check(parts: Split) -> None:
        planned = score(hypotheses(checked.rows, silent, parts))
        pairing = diff.pair(planned, planned)
        if baseline is not None and baseline.imported:
            hosted = diff.pair(baseline.scores, planned)
            pairing = hosted if decides else pairing
        require_rows(pairing.held_out.by_category, priority, row_basis.HELD_OUT)

    require_rows_of_split(check, data.split, split_again)
