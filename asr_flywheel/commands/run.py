"""A whole turn of the flywheel: run and demo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asr_flywheel.options import (
    DEFAULT_BASE,
    EXIT_REFUSED,
    AudioRootOption,
    BaselineOption,
    BaseOption,
    CycleArgument,
    EpochsOption,
    GeneralLimitOption,
    HoldOutTermsOption,
    KeepStyleOption,
    MaxDurationOption,
    MethodOption,
    PriorityOption,
    RecipeOption,
    SeedOption,
    TrustOption,
    validated,
)
from asr_flywheel.run_server import server_answers, start_server_in_background, without_heartbeat
from tasks.models.catalog import Method
from tasks.training.recipes import Precision, RecipeName

if TYPE_CHECKING:
    from flows.finetune_cycle import CycleOutcome

app = typer.Typer()
ReplayOption = Annotated[
    float, typer.Option("--replay-share", help="Share of general sentences to train on.")
]


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
    batch: Annotated[
        str | None, typer.Option(help="Rows a batch and GPU: a number, or auto; else the recipe's.")
    ] = None,
    precision: Annotated[
        Precision | None, typer.Option(help="On a GPU, instead of the recipe's.")
    ] = None,
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
    gate_policy_block: Annotated[
        str | None, typer.Option(help="A saved Gate Policy block, for other thresholds.")
    ] = None,
    recipe_block: Annotated[
        str | None, typer.Option(help="A saved Tuning Recipe block, instead of --recipe.")
    ] = None,
    when_busy: Annotated[
        str, typer.Option(help="Another run works on the cycle: refuse, or wait for it.")
    ] = "refuse",
    folds: Annotated[
        int,
        typer.Option(min=0, help="Cross-fit: every row decides, scored unseen; 5 is usual."),
    ] = 0,
    hold_out_terms: HoldOutTermsOption = False,
    general: Annotated[
        Path | None,
        typer.Option(help="A manifest of general English: the guardrail against forgetting."),
    ] = None,
    general_limit: GeneralLimitOption = None,
    replay_share: ReplayOption = 0.0,
    trust: TrustOption = False,
) -> None:
    """Turn the flywheel once: gate, split, SFT, transcribe, score, decide."""
    from blocks.parameter_types import store_from_here

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
        batch=batch,
        precision=precision,
        seed=seed,
        validation_fraction=fraction,
        max_duration=max_duration,
        method=method,
        stock_script=stock_script,
        baseline=baseline,
        compare_with=compare_with,
        audio_roots=audio_root or [],
        keep_style=keep_style,
        store=None if store is None else store_from_here(store),
        store_audio=store_audio,
        gate_policy_block=gate_policy_block,
        recipe_block=recipe_block,
        when_busy=when_busy,
        folds=folds,
        hold_out_terms=hold_out_terms,
        general=general,
        general_limit=general_limit,
        replay_share=replay_share,
        trust=trust,
    )


@app.command()
def demo(
    directory: Annotated[Path, typer.Option("--dir", help="Where the demo's cycles go.")] = Path(
        "demo-run"
    ),
    seed: SeedOption = 42,
    recipe: RecipeOption = RecipeName.VERIFIED,
    epochs: EpochsOption = None,
    replay_share: ReplayOption = 0.0,
) -> None:
    """Watch a whole cycle on synthetic clinical speech and the embedded base, without a GPU."""
    from asr_flywheel.demo.prepare import prepare_baseline, prepare_cycle, prepare_general

    cycle = prepare_cycle(directory, seed=seed)
    # Synthesis has every core at work; most of the baseline is one core that imports NeMo.
    with server_answers(), start_server_in_background():
        prepare_baseline(cycle)
    general = prepare_general(directory)
    _turn(
        cycle=cycle,
        general=general,
        base="embedded",
        recipe=recipe,
        epochs=epochs,
        seed=seed,
        replay_share=replay_share,
    )


def _turn(**parameters: Any) -> CycleOutcome:  # noqa: ANN401 - the model checks them
    from flows.config import CycleConfig

    config = validated(CycleConfig, parameters)
    from flows.finetune_cycle import finetune_cycle

    with server_answers(), without_heartbeat():
        outcome = finetune_cycle(config)
    if outcome.decision is None:
        raise typer.Exit(EXIT_REFUSED)
    return outcome
