"""The command line: ``asr-flywheel``.

Exit codes: 0 done (or the gate passed), 1 a run failed, 2 bad input, 3 the gate refused.
Imports that cost time stand inside the commands, so that --help answers at once.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tasks import recipes
from tasks.errors import FlywheelError, InputError
from tasks.recipes import Method, Recipe, RecipeName

if TYPE_CHECKING:
    from flows.finetune_cycle import Outcome

EXIT_FAILED, EXIT_BAD_INPUT, EXIT_REFUSED = 1, 2, 3
DEFAULT_BASE = "nvidia/parakeet-tdt-0.6b-v2"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Fine-tune a speech recogniser on a clinic's vocabulary and prove whether it helped.",
)

CycleArgument = Annotated[Path, typer.Argument(help="A folder cycle<N> with manifest.jsonl.")]
BaseOption = Annotated[
    str, typer.Option("--base", help="A known base, a .nemo file, or 'embedded' (the demo's).")
]
PriorityOption = Annotated[
    list[str] | None, typer.Option("--priority", help="Category that decides; may be repeated.")
]
BaselineOption = Annotated[
    Path | None,
    typer.Option("--baseline", help="per_sample.json or offline_hyps.jsonl, if not the cycle's."),
]
AudioRootOption = Annotated[
    list[Path] | None, typer.Option("--audio-root", help="Another folder audio may lie in.")
]
MaxDurationOption = Annotated[
    float | None, typer.Option("--max-duration", help="Longest row, seconds; else the recipe's.")
]
KeepStyleOption = Annotated[
    bool, typer.Option("--keep-style", help="Train on the text as written.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
MethodOption = Annotated[Method, typer.Option(help="Adapters are always refused.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Seeds the split and training.")]
RecipeOption = Annotated[RecipeName, typer.Option("--recipe", help="Named hyperparameters.")]
EpochsOption = Annotated[
    int | None, typer.Option("--epochs", min=1, help="Instead of the recipe's.")
]


def main() -> None:
    """Run the command line; what the user can mend is printed without a traceback."""
    # The stages print their own lines; Prefect's console log would repeat them.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    try:
        app()
    except InputError as wrong:
        print(f"error: {wrong}", file=sys.stderr)  # noqa: T201
        sys.exit(EXIT_BAD_INPUT)
    except FlywheelError as failed:
        print(f"failed: {failed}", file=sys.stderr)  # noqa: T201
        sys.exit(EXIT_FAILED)


def _limited(name: RecipeName, max_duration: float | None) -> Recipe:
    found = recipes.recipe(name)
    changes = {} if max_duration is None else {"max_duration": max_duration}
    return found.model_copy(update=changes)


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


@app.command()
def gate(
    cycle: CycleArgument,
    base: BaseOption = DEFAULT_BASE,
    priority: PriorityOption = None,
    baseline: BaselineOption = None,
    method: MethodOption = Method.SFT,
    *,
    as_json: JsonOption = False,
) -> None:
    """Say whether tuning is worth it, and where to go if not."""
    from tasks import stages
    from tasks.cycle import open_cycle
    from tasks.gate import GatePolicy

    folder = open_cycle(cycle)
    verdict = stages.judge(
        folder,
        base,
        GatePolicy(priority=tuple(priority or ["drug"])),
        stages.find_baseline(folder, baseline),
        method,
    )
    if as_json:
        _print_json(verdict.as_dict())
    else:
        typer.echo(("passed" if verdict.passed else "refused") + f": {verdict.action.value}")
        for reason in verdict.reasons:
            typer.echo(f"- {reason.message}")
        for warning in verdict.warnings:
            typer.echo(f"- warning: {warning}")
    if not verdict.passed:
        raise typer.Exit(EXIT_REFUSED)


@app.command()
def preflight(
    cycle: CycleArgument,
    base: BaseOption = DEFAULT_BASE,
    recipe: RecipeOption = RecipeName.VERIFIED,
    audio_root: AudioRootOption = None,
    *,
    max_duration: MaxDurationOption = None,
    keep_style: KeepStyleOption = False,
) -> None:
    """Check manifest, audio and text before anything is spent; writes nothing."""
    from tasks import bases, stages
    from tasks.cycle import open_cycle
    from tasks.findings import summarise

    result = stages.check(
        open_cycle(cycle),
        bases.resolve(base),
        _limited(recipe, max_duration),
        audio_root or [],
        keep_style=keep_style,
    )
    typer.echo(f"{len(result.rows)} rows checked, {len(result.warnings)} warnings")
    if result.warnings:
        typer.echo(summarise(result.warnings))


@app.command()
def split(
    cycle: CycleArgument,
    *,
    base: BaseOption = DEFAULT_BASE,
    fraction: Annotated[float, typer.Option(help="Share of each category to hold out.")] = 0.2,
    seed: SeedOption = 42,
    recipe: RecipeOption = RecipeName.VERIFIED,
    audio_root: AudioRootOption = None,
    max_duration: MaxDurationOption = None,
    keep_style: KeepStyleOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write train.jsonl and validation.jsonl beside the manifest."""
    from tasks import bases, stages
    from tasks.cycle import open_cycle
    from tasks.training_set import counts

    folder = open_cycle(cycle)
    checked = stages.check(
        folder,
        bases.resolve(base),
        _limited(recipe, max_duration),
        audio_root or [],
        keep_style=keep_style,
    )
    data = stages.split(folder, checked, fraction, seed)
    if as_json:
        _print_json(
            {
                "train": str(data.train),
                "validation": str(data.validation),
                "counts": counts(checked.rows, data.split),
                "warnings": list(data.split.warnings),
                "content_sha256": data.content,
            }
        )
        return
    typer.echo(f"{data.train}: {len(data.split.train)} rows")
    typer.echo(f"{data.validation}: {len(data.split.validation)} rows")
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
    from tasks import paths as rewriting

    rows = rewriting.rewrite(manifest, out, [rewriting.parse_mapping(one) for one in mapping])
    typer.echo(f"{out}: {rows} rows")


@app.command()
def transcribe(
    cycle: CycleArgument,
    model: Annotated[str, typer.Option("--model", help="A .nemo file, a known base, embedded.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Instead of the cycle's offline_hyps.jsonl.")
    ] = None,
    audio_root: AudioRootOption = None,
) -> None:
    """Decode a cycle offline; without --out the result becomes the cycle's baseline."""
    from tasks import stages
    from tasks.cycle import open_cycle

    written = stages.transcribe_baseline(
        open_cycle(cycle), model, out, audio_root or [], lambda line: typer.echo(line, err=True)
    )
    for path in written:
        typer.echo(str(path))


@app.command()
def score(
    hyps: Annotated[Path, typer.Argument(help="offline_hyps.jsonl or per_sample.json.")],
    *,
    worst: Annotated[int, typer.Option(min=0, help="Show this many of the worst rows.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Score per-row results: WER, CER, KER, SER, pooled WER, and KER by field."""
    from tasks.hypotheses import read_hypotheses
    from tasks.scoring import score as score_rows
    from tasks.scoring import scores_as_dict

    scores = score_rows(read_hypotheses(hyps))
    figures = scores_as_dict(scores)
    if as_json:
        _print_json(figures)
        return
    for name in ("n", "wer", "cer", "ker", "ser", "pooled_wer"):
        value = figures[name]
        typer.echo(
            f"{name:>10}  {value:.4f}" if isinstance(value, float) else f"{name:>10}  {value}"
        )
    if worst:
        from tasks import alignment

        for row in alignment.worst(scores, worst):
            typer.echo(f"\n{row.row.audio_filepath}  WER {row.wer:.3f}, term {row.row.term!r}")
            typer.echo(alignment.align(row.row))


@app.command()
def diff(
    before: Annotated[Path, typer.Argument(help="Per-row results, or a cycle folder.")],
    after: Annotated[Path, typer.Argument(help="The same for the later one.")],
    held_out: Annotated[
        Path | None,
        typer.Option("--held-out", help="A manifest of the rows that were not trained on."),
    ] = None,
    priority: PriorityOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Compare two evaluations row by row and decide: keep, grow or discard."""
    from tasks import stages

    found = stages.compare(before, after, held_out, priority or ["drug"])
    if as_json:
        _print_json(found)
        return
    typer.echo(f"{found['decision']} (by {found['basis']} rows)")
    for line in (*found["reasons"], *found["notes"]):
        typer.echo(f"- {line}")


@app.command()
def run(
    cycle: CycleArgument,
    *,
    base: BaseOption = DEFAULT_BASE,
    runtime: Annotated[str, typer.Option(help="Where training runs: local, container.")] = "local",
    image: Annotated[
        str | None, typer.Option(help="For the container; by default the specification's.")
    ] = None,
    gpus: Annotated[
        str, typer.Option(help="For the container: auto, none, all, count=2, or ids: 0,1.")
    ] = "auto",
    shm_gib: Annotated[int, typer.Option(help="Shared memory of the container, GiB.")] = 8,
    memory_gib: Annotated[
        int | None, typer.Option(help="Memory limit of the container, GiB.")
    ] = None,
    container_block: Annotated[
        str | None, typer.Option(help="A saved NeMo Container block, instead of these four.")
    ] = None,
    recipe: RecipeOption = RecipeName.VERIFIED,
    priority: PriorityOption = None,
    epochs: EpochsOption = None,
    seed: SeedOption = 42,
    fraction: Annotated[float, typer.Option(help="Share of each category to hold out.")] = 0.2,
    max_duration: MaxDurationOption = None,
    method: MethodOption = Method.SFT,
    stock_script: Annotated[
        Path | None, typer.Option(help="Your copy of speech_to_text_finetune.py, run unchanged.")
    ] = None,
    baseline: BaselineOption = None,
    compare_with: Annotated[
        str, typer.Option(help="offline (the base, decoded here) or imported (per_sample.json).")
    ] = "offline",
    audio_root: AudioRootOption = None,
    keep_style: KeepStyleOption = False,
    store: Annotated[
        str | None,
        typer.Option(help="Keep all files there: a folder, s3://bucket/prefix, or a block."),
    ] = None,
    store_audio: Annotated[bool, typer.Option(help="Keep the recordings too.")] = True,
) -> None:
    """Turn the flywheel once: gate, split, SFT, transcribe, score, decide."""
    _turn(
        cycle=cycle,
        base=base,
        runtime=runtime,
        container={
            **({} if image is None else {"image": image}),
            "gpus": gpus,
            "shm_gib": shm_gib,
            "memory_gib": memory_gib,
        },
        container_block=container_block,
        recipe=recipe,
        priority=priority or ["drug"],
        epochs=epochs,
        seed=seed,
        validation_fraction=fraction,
        max_duration=max_duration,
        method=method,
        stock_script=stock_script,
        baseline=baseline,
        compare_with=compare_with,
        audio_roots=audio_root or [],
        keep_style=keep_style,
        store=store,
        store_audio=store_audio,
    )


StoreArgument = Annotated[
    str, typer.Argument(help="A folder, s3://bucket/prefix, or a saved block.", metavar="STORE")
]


@app.command("runs")
def runs_command(
    store: StoreArgument,
    prefix: Annotated[str, typer.Argument(help="Only CLINIC, or CLINIC/cycle<N>.")] = "",
    *,
    as_json: JsonOption = False,
) -> None:
    """List the complete runs of a store, the newest first."""
    from blocks.stores import open_store
    from tasks import archive

    found = [run.as_dict() for run in archive.runs(open_store(store), prefix)]
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for run in found:
        size = f"{run['files']} files, {run['bytes'] / 1e6:.1f} MB"
        typer.echo(
            f"{run['created']}  {run['clinic']}/cycle{run['cycle']}  {run['run']}  "
            f"{run['verdict']}  {size}"
        )


@app.command()
def fetch(
    store: StoreArgument,
    cycle: Annotated[str, typer.Argument(help="CLINIC/cycle<N>, as `runs` lists it.")],
    run: Annotated[str | None, typer.Option(help="A run's id; by default the newest.")] = None,
    directory: Annotated[Path, typer.Option("--dir", help="The cycles' folder.")] = Path(),
) -> None:
    """Bring a cycle's files back from a store, and check every one of them."""
    from blocks.stores import open_store
    from tasks import archive

    place = open_store(store)
    found = [one for one in archive.runs(place, cycle) if run in {None, one.run}]
    if not found:
        raise InputError(
            f"{cycle}: the store has no complete run of it{f' with id {run}' if run else ''}. "
            f"Fix: see what there is with `asr-flywheel runs {store}`."
        )
    archive.fetch(place, found[0], directory, typer.echo)


@app.command()
def demo(
    directory: Annotated[Path, typer.Option("--dir", help="Where the demo's cycles go.")] = Path(
        "demo-run"
    ),
    seed: SeedOption = 42,
    recipe: RecipeOption = RecipeName.VERIFIED,
    epochs: EpochsOption = None,
) -> None:
    """Watch a whole cycle on synthetic clinical speech and the embedded base, without a GPU."""
    from asr_flywheel.demo.prepare import prepare_cycle

    cycle = prepare_cycle(directory, seed=seed)
    _turn(cycle=cycle, base="embedded", recipe=recipe, epochs=epochs, seed=seed)


@app.command()
def worker(
    pool: Annotated[str, typer.Option(help="The work pool.")] = "gpu",
    at_once: Annotated[
        int, typer.Option(min=1, help="Runs in flight; one at a time holds the GPUs.")
    ] = 4,
) -> None:
    """Take runs from a work pool of the server that PREFECT_API_URL names."""
    from asr_flywheel.worker import start

    start(pool, at_once)


PortOption = Annotated[int, typer.Option(min=1, max=65535, help="Of server and UI.")]
SiteOption = Annotated[Path, typer.Option("--dir", help="Database, logs and process ids.")]


@app.command()
def site(
    what: Annotated[str, typer.Argument(metavar="up|down", help="Start it, or end it.")],
    port: PortOption = 4200,
    directory: SiteOption = Path(".site"),
) -> None:
    """A whole site on loopback: server, UI, GPU pool, deployments, blocks and a worker."""
    from asr_flywheel.site import Site
    from flows.publish import stage

    here = Site(directory.resolve(), port)
    if what == "up":
        here.up()
        stage("site", f"{here.url} (files in {here.folder})")
    elif what == "down":
        stage("site", f"ended: {', '.join(here.down()) or 'nothing ran'}")
    else:
        raise InputError(f"site: {what!r} is neither 'up' nor 'down'.")


def _turn(**parameters: Any) -> Outcome:  # noqa: ANN401 - the model checks them
    import pydantic

    from flows.config import CycleConfig

    try:
        config = CycleConfig(**parameters)
    except pydantic.ValidationError as wrong:
        lines = [
            f"{'.'.join(map(str, one['loc']))}: {one['msg']} (got {one['input']!r})"
            for one in wrong.errors()
        ]
        raise InputError("; ".join(lines)) from wrong
    from flows.finetune_cycle import finetune_cycle

    try:
        outcome = finetune_cycle(config)
    except RuntimeError as wrong:
        # Prefect has no class of its own for these two.
        if "Failed to reach API" in str(wrong) or "ephemeral Prefect API" in str(wrong):
            raise FlywheelError(
                f"Prefect: {wrong} Fix: start the server that PREFECT_API_URL names, or unset it; "
                "without a server, PREFECT_HOME must be a folder that you may write to."
            ) from wrong
        raise
    if outcome.decision is None:
        raise typer.Exit(EXIT_REFUSED)
    return outcome


if __name__ == "__main__":
    main()
