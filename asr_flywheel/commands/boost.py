"""Boost a base with phrases: what it gives without training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asr_flywheel.options import (
    CYCLE,
    DEFAULT_PRIORITY,
    DEFAULTS,
    AccountOption,
    AudioRootOption,
    BaseOption,
    CpusOption,
    CycleArgument,
    DisjointOption,
    FractionOption,
    GeneralLimitOption,
    GresOption,
    HoldOutTermsOption,
    ImageOption,
    JsonOption,
    KeepStyleOption,
    MaxDurationOption,
    PartitionOption,
    PriorityOption,
    RecipeOption,
    RuntimeOption,
    SeedOption,
    SelectionShareOption,
    TimeLimitOption,
    TrustOption,
    check_options,
    print_json,
    refuse_with,
    slurm_settings,
    warn_of,
)
from tasks.common.counted import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flows.config import CycleConfig
    from tasks.data.cycle_folder import Cycle
    from tasks.data.split_parts import Disjointness, Split
    from tasks.stages.boost import BoostingResult

app = typer.Typer()

GeneralOption = Annotated[Path | None, CYCLE.declare("general")]
AudioOption = Annotated[bool, CYCLE.declare("audio")]
NoAudioOption = Annotated[bool, CYCLE.declare("no_audio")]


@app.command()
def boost(
    cycle: CycleArgument,
    base: BaseOption = DEFAULTS.base,
    phrases: Annotated[
        Path | None,
        typer.Option(
            "--phrases",
            help="A formulary: a text file with a phrase on each line. By default formulary.txt in "
            "the cycle, or the cycle's terms among distractors.",
        ),
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option("--strength", min=0.01, max=2.0, help="Instead of choosing one by rows."),
    ] = None,
    priority: PriorityOption = DEFAULT_PRIORITY,
    general: GeneralOption = None,
    general_limit: GeneralLimitOption = None,
    *,
    fraction: FractionOption = DEFAULTS.validation_fraction,
    selection_share: SelectionShareOption = DEFAULTS.selection_share,
    hold_out_terms: HoldOutTermsOption = False,
    disjoint: DisjointOption = DEFAULTS.disjoint,
    seed: SeedOption = DEFAULTS.seed,
    recipe: RecipeOption = DEFAULTS.recipe,
    audio_root: AudioRootOption = None,
    max_duration: MaxDurationOption = None,
    keep_style: KeepStyleOption = False,
    runtime: RuntimeOption = DEFAULTS.runtime,
    image: ImageOption = DEFAULTS.container.image,
    partition: PartitionOption = None,
    account: AccountOption = None,
    time_limit: TimeLimitOption = None,
    gres: GresOption = None,
    cpus: CpusOption = None,
    trust: TrustOption = False,
    audio: AudioOption = False,
    no_audio: NoAudioOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure what boosting a base with phrases gives, without training."""
    from flows import resolve_parameters
    from flows.cycle_run import CycleRun
    from tasks.data.cycle_folder import PHRASES_NAME, open_cycle
    from tasks.data.cycle_lock import lock_cycle
    from tasks.models import catalog, purge_marks
    from tasks.privacy.keyed_hashes import seen_before
    from tasks.records import audit_log
    from tasks.records.audit_log import AuditedAct
    from tasks.runtimes.job_seconds import TimedRuntime
    from tasks.stages import boost as boost_stage
    from tasks.stages import boosting_inputs, prepare
    from tasks.training.seen_sound import roles_for_rows

    def say(line: str) -> None:
        if not as_json:
            typer.echo(line, err=True)

    if no_audio:
        refuse_with("--no-audio", {"--audio": audio})
    given = {
        "base": base,
        "priority": tuple(priority),
        "general": general,
        "general_limit": general_limit,
        "validation_fraction": fraction,
        "selection_share": selection_share,
        "hold_out_terms": hold_out_terms,
        "disjoint": disjoint,
        "seed": seed,
        "recipe": recipe,
        "audio_roots": tuple(audio_root or ()),
        "max_duration": max_duration,
        "keep_style": keep_style,
        "runtime": runtime,
        "container": {"image": image},
        "slurm": slurm_settings(partition, account, time_limit, gres, cpus),
        "trust": trust,
    }
    config = check_options(cycle, **given)
    folder = open_cycle(config.cycle)
    full_recipe = resolve_parameters.full_recipe(config)
    formulary = phrases or folder.find_formulary()
    _check_first(config, folder, formulary)
    model = purge_marks.require_accepted(
        catalog.resolve(config.base, trust=config.trust), "for boosting"
    )
    checked = prepare.check(
        folder, model, full_recipe, config.audio_roots, keep_style=config.keep_style
    )
    sentences = resolve_parameters.general_manifest(config)
    general_set = None
    if sentences is not None:
        general_set = prepare.general_set(
            sentences,
            model,
            full_recipe,
            checked,
            clinic=folder.path.parent,
            audio_roots=config.audio_roots,
            chooses=True,
            keep_style=config.keep_style,
        )
    place = resolve_parameters.make_runtime(config, report=say)
    run = CycleRun(config, folder, model, TimedRuntime(place), sentences)
    seen = seen_before(model, run.clinic, checked.rows)

    def make_split(*, by_term: bool, disjoint: Disjointness) -> Split:
        return boosting_inputs.make_split(
            folder,
            checked.rows,
            fraction=config.validation_fraction,
            seed=config.seed,
            seen_before=seen,
            trained=roles_for_rows(run.base_roles(), checked.rows, run.clinic).trained,
            by_term=by_term,
            selection=config.selection,
            disjoint=disjoint,
        )

    split = make_split(by_term=config.hold_out_terms, disjoint=config.disjoint)
    _warn_of_split(config, boosting_inputs.find_split(folder, checked.rows))
    rows = boosting_inputs.divide_rows(
        checked.rows,
        split,
        general_set,
        config.priority,
        resolve_parameters.guardrail_policy(config),
        run.audio_roots,
        seen,
        split_again=make_split,
    )
    said = (*rows.judging, *rows.choosing)
    lists = boosting_inputs.make_lists(checked.rows, said, model, formulary, config.priority)
    for note in (*split.warnings, *lists.judged.notes()):
        say(note)
    place.check(say)
    with lock_cycle(folder):
        audit_log.record(folder.path.parent, AuditedAct.BOOST, folder.path.name, base=config.base)
        result = boost_stage.measure_boosting(
            model,
            lists,
            rows,
            folder.path / ".boosting.work",
            place,
            strength=strength,
            report=say,
        )
        content = boost_stage.write_result(folder, config.base, model, result)
        page = _write_page(folder, content, audio=audio, no_audio=no_audio)
    if as_json:
        print_json(content)
        return
    _print_result(result, (folder.path / prepare.BOOSTING_NAME, folder.path / PHRASES_NAME, page))


def _write_page(folder: Cycle, content: Mapping[str, Any], *, audio: bool, no_audio: bool) -> Path:
    from tasks.common import privacy_settings
    from tasks.reporting.html.boost_page import write_boost_page

    with privacy_settings.applied(no_audio=no_audio, audio=audio):
        return write_boost_page(folder, content)


def _warn_of_split(config: CycleConfig, found: Split | None) -> None:
    """Tell of options of a split, where one lies in the cycle."""
    from flows.parameters_without_effect import SPLIT_RULES
    from tasks.common.effect_rules import find_effectless

    if found is not None:
        warn_of(find_effectless(config, SPLIT_RULES))


def _check_first(config: CycleConfig, cycle: Cycle, formulary: Path | None) -> None:
    """Check what needs no base before a base is fetched."""
    from flows import resolve_parameters
    from tasks.transcription.boosting_phrases import read_formulary

    resolve_parameters.check_before_base(config, cycle)
    if formulary is not None:
        read_formulary(formulary)


def _print_result(result: BoostingResult, written: tuple[Path, ...]) -> None:
    from tasks.stages import boosting_evidence, boosting_figures, boosting_inputs

    lists, rows = result.lists, result.rows
    judged = result.boosted[boosting_inputs.JUDGED]
    typer.echo(
        f"judged list: {lists.kind}; oracle list: {counted(len(lists.oracle.phrases), 'term')}"
    )
    typer.echo(
        f"{counted(len(rows.held_out), 'held-out row')} and "
        f"{counted(len(rows.judging), 'sentence')} of general English judge"
    )
    for line in boosting_figures.table(result.base, result.boosted, rows):
        typer.echo(line)
    if (untrained := result.terms_without_audio) is not None:
        for line in boosting_evidence.describe_untrained(untrained):
            typer.echo(line)
    typer.echo(judged.choice.reason)
    typer.echo(f"{judged.decision.verdict.value} (by {judged.decision.basis} rows)")
    for reason in (*judged.decision.reasons, judged.decision.fragility):
        typer.echo(f"- {reason}")
    for path in written:
        typer.echo(str(path))
