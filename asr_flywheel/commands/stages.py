"""One stage at a time: gate, preflight, split, paths, score, diff."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asr_flywheel.options import (
    DEFAULT_PRIORITY,
    DEFAULTS,
    EXIT_REFUSED,
    AudioRootOption,
    BaselineOption,
    BaseOption,
    CycleArgument,
    DisjointOption,
    FractionOption,
    GeneralLimitOption,
    HoldOutTermsOption,
    JsonOption,
    KeepStyleOption,
    MaxDurationOption,
    MethodOption,
    PriorityOption,
    RecipeOption,
    SeedOption,
    SelectionShareOption,
    SpeechOption,
    TrustOption,
    TwoPartOption,
    check_options,
    print_json,
)
from tasks.common.counted import agreed, counted
from tasks.data.transcript_tags import TagChoice
from tasks.training import recipes
from tasks.training.recipes import Recipe, RecipeName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.data.cycle_folder import Cycle

app = typer.Typer()


def _limited(name: RecipeName, max_duration: float | None) -> Recipe:
    found = recipes.recipe(name)
    changes = {} if max_duration is None else {"max_duration": max_duration}
    return found.model_copy(update=changes)


def _check_first(
    cycle: Cycle, base: str, recipe: Recipe, audio_roots: Sequence[Path] | None
) -> None:
    """Check what needs no base before a base is fetched."""
    from tasks.data.early_checks import check_before_base

    check_before_base(
        base, [cycle.manifest], audio_roots or (), recipe.min_duration, recipe.max_duration
    )


@app.command()
def gate(
    cycle: CycleArgument,
    base: BaseOption = DEFAULTS.base,
    priority: PriorityOption = DEFAULT_PRIORITY,
    baseline: BaselineOption = None,
    method: MethodOption = DEFAULTS.method,
    *,
    as_json: JsonOption = False,
) -> None:
    """Say whether tuning is worth it, and where to go if not."""
    from tasks.data.cycle_folder import open_cycle
    from tasks.decision.gate_policy import GatePolicy
    from tasks.evaluation import baseline as baselines
    from tasks.stages import prepare

    check_options(cycle, base=base, priority=priority, method=method)
    folder = open_cycle(cycle)
    verdict = prepare.run_gate(
        folder,
        base,
        GatePolicy(priority=tuple(priority)),
        baselines.find_baseline(folder, baseline),
        method,
    )
    if as_json:
        print_json(verdict.as_dict())
    else:
        typer.echo(("passed" if verdict.passed else "refused") + f": {verdict.action.value}")
        for reason in verdict.reasons:
            typer.echo(f"- {reason.message}")
        for warning in verdict.warnings:
            typer.echo(f"- warning: {warning}")
        if verdict.boosting is not None:
            typer.echo(f"- {verdict.boosting.outcome.value}: {verdict.boosting.message}")
    if not verdict.passed:
        if not as_json:
            typer.echo("- docs/gate.md has the limits, and what each name with a slash is.")
        raise typer.Exit(EXIT_REFUSED)


@app.command()
def preflight(
    cycle: CycleArgument,
    base: BaseOption = DEFAULTS.base,
    recipe: RecipeOption = DEFAULTS.recipe,
    audio_root: AudioRootOption = None,
    *,
    max_duration: MaxDurationOption = None,
    keep_style: KeepStyleOption = False,
    speech: SpeechOption = False,
    trust: TrustOption = False,
) -> None:
    """Check manifest, audio and text before anything is spent; writes nothing."""
    from tasks.data.cycle_folder import open_cycle
    from tasks.data.findings import summarise
    from tasks.data.speech_check import SileroDetector, check_speech
    from tasks.models import catalog
    from tasks.stages import prepare

    check_options(cycle, base=base, recipe=recipe, max_duration=max_duration)
    folder, limited = open_cycle(cycle), _limited(recipe, max_duration)
    detector = SileroDetector() if speech else None
    _check_first(folder, base, limited, audio_root)
    result = prepare.check(
        folder,
        catalog.resolve(base, trust=trust),
        limited,
        audio_root or [],
        keep_style=keep_style,
    )
    warnings = result.warnings
    if detector is not None:
        spoken = check_speech(result.rows, detector, lambda line: typer.echo(line, err=True))
        typer.echo(str(spoken))
        warnings += spoken.findings
    typer.echo(f"{counted(len(result.rows), 'row')} checked, {counted(len(warnings), 'warning')}")
    if warnings:
        typer.echo(summarise(warnings))


@app.command()
def split(
    cycle: CycleArgument,
    *,
    base: BaseOption = DEFAULTS.base,
    fraction: FractionOption = DEFAULTS.validation_fraction,
    seed: SeedOption = DEFAULTS.seed,
    recipe: RecipeOption = DEFAULTS.recipe,
    audio_root: AudioRootOption = None,
    max_duration: MaxDurationOption = None,
    keep_style: KeepStyleOption = False,
    selection_share: SelectionShareOption = DEFAULTS.selection_share,
    two_part: TwoPartOption = False,
    hold_out_terms: HoldOutTermsOption = False,
    disjoint: DisjointOption = DEFAULTS.disjoint,
    trust: TrustOption = False,
    again: Annotated[
        bool, typer.Option("--again", help="Keep this split apart, in splits/ of the cycle.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write train.jsonl, selection.jsonl and validation.jsonl beside the manifest."""
    from tasks.data.cycle_folder import open_cycle
    from tasks.data.cycle_lock import lock_cycle
    from tasks.data.training_set import counts, split_checked
    from tasks.models import catalog
    from tasks.privacy.keyed_hashes import seen_before
    from tasks.stages import prepare
    from tasks.stages.split_command import write_split

    config = check_options(
        cycle,
        base=base,
        recipe=recipe,
        max_duration=max_duration,
        validation_fraction=fraction,
        selection_share=selection_share,
        two_part=two_part,
        seed=seed,
    )
    folder, limited = open_cycle(cycle), _limited(recipe, max_duration)
    _check_first(folder, base, limited, audio_root)
    model = catalog.resolve(base, trust=trust)
    checked = prepare.check(
        folder,
        model,
        limited,
        audio_root or [],
        keep_style=keep_style,
    )
    parts = split_checked(
        checked.rows,
        fraction=fraction,
        seed=seed,
        seen_before=seen_before(model, folder.path.parent, checked.rows),
        by_term=hold_out_terms,
        selection=config.selection,
        disjoint=disjoint,
    )
    with lock_cycle(folder):
        data = write_split(folder, checked.rows, parts, again=again)
    if as_json:
        print_json(
            {
                "train": str(data.train),
                "selection": None if data.selection is None else str(data.selection),
                "validation": str(data.validation),
                "disjoint": str(data.split.disjoint),
                "hold_out_terms": data.split.by_term,
                "counts": counts(checked.rows, data.split),
                "warnings": list(data.split.warnings),
                "content_sha256": data.content,
            }
        )
        return
    typer.echo(f"{data.train}: {counted(len(data.split.train), 'row')}")
    if data.selection is not None:
        typer.echo(f"{data.selection}: {counted(len(data.split.selection), 'row')}")
    typer.echo(f"{data.validation}: {counted(len(data.split.validation), 'row')}")
    for warning in data.split.warnings:
        typer.echo(f"warning: {warning}")


@app.command()
def paths(
    manifest: Annotated[Path, typer.Argument(help="The manifest to copy.")],
    out: Annotated[Path, typer.Option("--out", help="Where the copy goes.")],
    mapping: Annotated[
        list[str], typer.Option("--map", help="FOLDER=ITS-NEW-PLACE; may be repeated.")
    ],
) -> None:
    """Copy a manifest with audio paths for a container or another host."""
    from tasks.data import path_mapping

    rows = path_mapping.rewrite(manifest, out, [path_mapping.parse_mapping(one) for one in mapping])
    typer.echo(f"{out}: {counted(rows, 'row')}")


@app.command()
def tags(
    manifest: Annotated[Path, typer.Argument(help="The manifest to copy.")],
    out: Annotated[Path, typer.Option("--out", help="Where the copy goes.")],
    drop: Annotated[TagChoice, typer.Option("--drop", help="The tag, or the row that holds it.")],
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", help="Only rows with this tag, such as '<UNIN/>'. Repeatable."),
    ] = None,
) -> None:
    """Copy a manifest without tags such as (noise), (inaudible) and speakers' labels."""
    from tasks.data import transcript_tags

    only = frozenset(name.casefold() for name in tag or ())
    tagged, rows = transcript_tags.rewrite(manifest, out, drop, only)
    typer.echo(
        f"{out}: {counted(rows, 'row')}; {counted(tagged, 'row')} of {manifest.name} held a tag"
    )


@app.command()
def score(
    hyps: Annotated[Path, typer.Argument(help="offline_hyps.jsonl or per_sample.json.")],
    *,
    worst: Annotated[int, typer.Option(min=0, help="Show this many of the worst rows.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Score per-row results of any length: WER, CER, KER, SER, pooled WER, and KER by field."""
    from tasks.evaluation.incremental_scoring import score_file
    from tasks.evaluation.score_summary import summary_as_dict

    if as_json and worst:
        typer.echo(
            f"warning: --worst {worst} has no effect with --json. Fix: leave one of the two out.",
            err=True,
        )
    summary = score_file(hyps)
    figures = summary_as_dict(summary)
    if as_json:
        print_json(figures)
        return
    for name in ("n", "wer", "cer", "ker", "ser", "pooled_wer"):
        value = figures[name]
        shown = "–" if value is None else f"{value:.4f}" if isinstance(value, float) else value
        typer.echo(
            f"{name:>10}  {shown}" + (f"  of {_with_term(figures)}" if name == "ker" else "")
        )
    spelling = figures["spelling"]
    if spelling["n"]:
        typer.echo(
            f"canonical KER {spelling['canonical_ker']:.4f}, missed by spelling only: "
            f"{spelling['missed_by_spelling_only']} of {summary.counts.canonical_keyword.unit}"
        )
    if spelling["changed_by_hyphens"]:
        typer.echo(
            f"{counted(spelling['changed_by_hyphens'], 'row')} "
            f"{agreed(spelling['changed_by_hyphens'], 'has', 'have')} other figures than to the "
            "letter of the contract: a dash between word characters is read as the hyphen"
        )
    if spelling["format_characters"]:
        typer.echo(
            f"{counted(spelling['format_characters'], 'row')} "
            f"{agreed(spelling['format_characters'], 'holds', 'hold')} invisible format "
            "characters, such as a soft hyphen; they were dropped"
        )
    for note in summary.notes:
        typer.echo(f"note: {note}")
    if worst:
        from tasks.evaluation import alignment
        from tasks.evaluation.result_reading import read_hypotheses
        from tasks.evaluation.scoring import score as score_rows

        for row in alignment.worst(score_rows(read_hypotheses(hyps)), worst):
            terms = [item.term for item in row.row.terms]
            named = f"terms {', '.join(map(repr, terms))}" if terms else f"term {row.row.term!r}"
            typer.echo(f"\n{row.row.audio_filepath}  WER {row.wer:.3f}, {named}")
            typer.echo(alignment.align(row.row))


def _with_term(figures: dict[str, Any]) -> str:
    """Say what KER counts: rows with a term, or terms and their rows."""
    n = figures["n_with_term"]
    return (
        f"{counted(n, 'term')} in {counted(rows, 'row')}"
        if (rows := figures.get("rows_with_term"))
        else f"{counted(n, 'row')} with a term"
    )


@app.command()
def diff(
    before: Annotated[Path, typer.Argument(help="Per-row results, or a cycle folder.")],
    after: Annotated[Path, typer.Argument(help="The same for the later one.")],
    held_out: Annotated[
        Path | None,
        typer.Option(
            "--held-out",
            help="A manifest of the rows that were not trained on, where no mark says it.",
        ),
    ] = None,
    priority: PriorityOption = DEFAULT_PRIORITY,
    *,
    general: Annotated[
        tuple[Path, Path] | None,
        typer.Option(help="General English by the earlier and by the later model: two files."),
    ] = None,
    general_limit: GeneralLimitOption = None,
    model: Annotated[
        Path | None,
        typer.Option("--model", help="The later model (.nemo): its own list of what it has seen."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two evaluations row by row and decide: keep, grow, discard or inconclusive."""
    from tasks.decision.guardrail import GuardrailPolicy
    from tasks.stages import compare

    check_options(Path(), priority=priority, general_limit=general_limit)
    found = compare.compare(
        before,
        after,
        held_out,
        priority,
        general=general,
        limit=GuardrailPolicy.of_points(general_limit),
        model=model,
    )
    if general_limit is not None and found["guardrail"] is None:
        typer.echo(
            f"warning: --general-limit {general_limit:g} has no effect: no general English is "
            "compared. Fix: name two files with --general, or leave --general-limit out.",
            err=True,
        )
    if as_json:
        print_json(found)
        return
    typer.echo(f"{found['decision']} (by {found['basis']} rows)")
    for line in (*found["reasons"], found["fragility"], *found["notes"]):
        typer.echo(f"- {line}")
