"""A whole turn of the flywheel: run and demo."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asr_flywheel.config_options import with_options
from asr_flywheel.options import (
    CYCLE,
    DEFAULTS,
    EXIT_REFUSED,
    EpochsOption,
    RecipeOption,
    ReplayShareOption,
    SeedOption,
    validated,
)
from asr_flywheel.run_server import server_answers, start_server_in_background
from asr_flywheel.signal_ends import ended_by_signals, flow_ended_by_signals
from flows.config import CycleConfig
from tasks.training.recipes import RecipeName

if TYPE_CHECKING:
    from flows.finetune_cycle import CycleOutcome

app = typer.Typer()


@app.command()
@with_options(CYCLE)
def run(**given: Any) -> None:  # noqa: ANN401 - the options of CYCLE
    """Run one cycle: gate, split, SFT, transcribe, score, decide."""
    turn_flywheel(CYCLE.parameters(given))


@app.command()
def demo(
    directory: Annotated[Path, typer.Option("--dir", help="Where the demo's cycles go.")] = Path(
        "demo-run"
    ),
    seed: SeedOption = DEFAULTS.seed,
    recipe: RecipeOption = RecipeName.DISTILLED,
    epochs: EpochsOption = DEFAULTS.epochs,
    replay_share: ReplayShareOption = DEFAULTS.replay_share,
) -> None:
    """Run a whole cycle on synthetic clinical speech and the embedded base, without a GPU."""
    from asr_flywheel.demo.prepare import (
        prepare_baseline,
        prepare_cycle,
        prepare_general,
        speakers,
    )
    from flows.console import print_stage
    from tasks.runtimes.hardware import detect
    from tasks.runtimes.local import LocalRuntime

    began = time.monotonic()
    if not directory.exists():
        LocalRuntime(detect()).import_early()
    with server_answers(), ended_by_signals(server_apart=False), speakers() as pool:
        cycle = prepare_cycle(directory, pool, seed=seed)
        # The baseline waits until NeMo is imported, and the run for the server; speech does not.
        with start_server_in_background():
            general = prepare_general(directory, pool)
            spoken = time.monotonic()
            prepare_baseline(cycle)
    ready = time.monotonic()
    turn_flywheel(
        {
            "cycle": cycle,
            "general": general,
            "base": "embedded",
            "recipe": recipe,
            "epochs": epochs,
            "seed": seed,
            "replay_share": replay_share,
            "audio": True,  # of synthetic voices
        }
    )
    print_stage(
        "demo",
        f"{time.monotonic() - began:.0f} s, of which {spoken - began:.0f} s speech, "
        f"{ready - spoken:.0f} s baseline",
    )


def turn_flywheel(parameters: dict[str, Any]) -> CycleOutcome:
    """Run one cycle by the values of its form.

    Raises:
        typer.Exit: the gate refused it.
    """
    config = validated(CycleConfig, parameters)
    from tasks.data.cycle_folder import open_cycle
    from tasks.data.manifest import require_content

    # Before a server starts. Without any manifest the gate says where to go.
    if (path := open_cycle(config.cycle).manifest).exists():
        require_content(path)
    from flows.finetune_cycle import finetune_cycle

    with flow_ended_by_signals():
        outcome = finetune_cycle(config)
    if outcome.decision is None:
        raise typer.Exit(EXIT_REFUSED)
    return outcome
