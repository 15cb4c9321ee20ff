"""The tasks before a training: gate, preflight, split, and checks of base, host and store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows import artifacts, audit, console, events, resolve_parameters
from flows.boosting_tasks import require_boosting
from flows.config import CycleConfig
from flows.config_fields import BaselineSource
from flows.cycle_run import CycleRun
from tasks.common import hashing
from tasks.common.errors import InputError
from tasks.common.parameter_names import name_of
from tasks.data.cycle_folder import Cycle
from tasks.data.general_english import GeneralSet
from tasks.data.nonspeech import recordings as nonspeech_recordings
from tasks.data.preflight import PreflightResult
from tasks.data.row_reviews import review_files
from tasks.data.training_set import TrainingSet, split_checked
from tasks.decision.gate import GateResult
from tasks.evaluation.baseline import Baseline
from tasks.models import catalog, purge_marks
from tasks.privacy.keyed_hashes import seen_before
from tasks.privacy.returned_recordings import describe_returned, find_returned
from tasks.records import kept_runs, run_record
from tasks.records.audit_log import AuditedAct
from tasks.records.tracking.run_tracker import UNTRACKED, RunTracker
from tasks.runtimes.job_seconds import TimedRuntime
from tasks.stages import prepare
from tasks.training import sft

if TYPE_CHECKING:
    from tasks.data.split_parts import Disjointness, Split
    from tasks.evaluation.scoring import Scores
    from tasks.records.store import Store


def prepare_run(config: CycleConfig, cycle: Cycle, tracker: RunTracker = UNTRACKED) -> CycleRun:
    """Find the base model and the runtime, and refuse a cycle N+1 that holds other work.

    Raises:
        InputError: no such model or block, or results that this run would overwrite.
    """
    run_record.require_free(cycle.next)
    resolve_parameters.check_before_base(config, cycle)
    base_model = purge_marks.require_accepted(
        catalog.resolve(config.base, trust=config.trust), "as a base"
    )
    runtime = resolve_parameters.make_runtime(config, config.stock_script)
    if (kept := kept_runs.before_run(cycle.next)) is not None:
        console.print_stage("kept", kept)
    general = resolve_parameters.general_manifest(config)
    return CycleRun(config, cycle, base_model, TimedRuntime(runtime), general, tracker)


def open_checked_store(config: CycleConfig) -> Store | None:
    """Open the store of the run's files, if one is named, and try it before anything is spent.

    Raises:
        InputError: no store has this name.
        StoreError: objects cannot be written to it.
    """
    if config.store is None:
        return None
    from blocks.stores import open_store  # noqa: PLC0415 - boto3 takes a quarter of all imports

    store = open_store(config.store)
    store.check()
    return store


def check_host(run: CycleRun) -> None:
    """Check that this host can train this base by this recipe, and that the runtime is there.

    Raises:
        InputError: the host is too small for the base, or lacks the recipe's precision.
        FlywheelError: the runtime is not there, or its NeMo cannot boost and the run does.
    """
    hardware = run.runtime.hardware
    sft.check_fit(run.base_model, run.config.base, hardware)
    resolve_parameters.recipe_on(run.config, hardware, ())  # refuses a precision it lacks
    run.runtime.check(lambda line: console.print_stage("runtime", line))
    reads = (run.base_model, *run.audio_roots, nonspeech_recordings()[0].audio.parent)
    run.runtime.share(run.cycle.path, reads, lambda line: console.print_stage("runtime", line))
    require_boosting(run)


def imported_scores(config: CycleConfig, baseline: Baseline | None) -> Scores | None:
    """Return the imported evaluation, where the tuned model is compared with it; else None.

    Raises:
        InputError: the run compares with an imported evaluation, and the cycle has none.
    """
    if config.compare_with is not BaselineSource.IMPORTED:
        return None
    if baseline is None or not baseline.imported:
        raise InputError(
            f"{name_of('compare_with')} is 'imported', but the cycle has no per_sample.json. "
            "Fix: put it into the cycle folder, or compare with 'offline'."
        )
    return baseline.scores


@task(name="gate-check", cache_policy=NO_CACHE)
def check_gate(config: CycleConfig, cycle: Cycle, baseline: Baseline | None) -> GateResult:
    """Decide whether tuning is worth it."""
    policy = resolve_parameters.gate_policy(config)
    result = prepare.run_gate(cycle, config.base, policy, baseline, config.method)
    artifacts.gate(cycle, result)
    events.gate(cycle, result)
    return result


@task(name="preflight", cache_policy=NO_CACHE)
def check_manifest(run: CycleRun) -> PreflightResult:
    """Check every row, its audio and its text before anything is spent."""
    config = run.config
    rows = prepare.check(
        run.cycle,
        run.base_model,
        resolve_parameters.full_recipe(config),
        config.audio_roots,
        keep_style=config.keep_style,
    )
    purged = find_returned(run.clinic, [row.audio_sha256 for row in rows.rows])
    returned = [row.utterance.audio_filepath for row in rows.rows if row.audio_sha256 in purged]
    told = describe_returned(run.cycle.path, returned)
    artifacts.warnings([*told, *(str(finding) for finding in rows.warnings)])
    if rows.set_apart:
        files = {path.name: hashing.sha256_file(path) for path in review_files(run.cycle)}
        audit.record(run.cycle, AuditedAct.REVIEW, files=files, set_apart=dict(rows.set_apart))
    return rows


def known_recordings(run: CycleRun, rows: PreflightResult) -> frozenset[str]:
    """Return the recordings' hashes of rows that must not judge a model tuned from the base."""
    return seen_before(run.base_model, run.clinic, rows.rows)


@task(name="stratified-split", cache_policy=NO_CACHE)
def split_rows(run: CycleRun, rows: PreflightResult, general: GeneralSet | None) -> TrainingSet:
    """Hold out a share of each category, set one apart that chooses, and write all parts."""
    config = run.config
    data = prepare.split(
        run.cycle,
        rows,
        config.validation_fraction,
        config.seed,
        known_recordings(run, rows),
        general,
        by_term=config.hold_out_terms,
        selection=config.selection,
        disjoint=config.disjoint,
    )
    artifacts.split(data.split)
    return data


def require_decidable(
    run: CycleRun,
    rows: PreflightResult,
    data: TrainingSet,
    baseline: Baseline | None,
    *,
    decides: bool,
) -> None:
    """Make sure, before anything is trained, that the decision will have rows to rest on.

    Raises:
        InputError: it will not; says which looser split would have some.
    """
    config, known = run.config, known_recordings(run, rows)

    def split_again(*, by_term: bool, disjoint: Disjointness) -> Split:
        return split_checked(
            rows.rows,
            fraction=config.validation_fraction,
            seed=config.seed,
            seen_before=known,
            by_term=by_term,
            selection=config.selection,
            disjoint=disjoint,
        )

    prepare.require_decidable(
        rows, data, config.priority, baseline, decides=decides, split_again=split_again
    )
