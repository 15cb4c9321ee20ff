"""What a person sees of a training and of the choice after it."""

from __future__ import annotations

import base64
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from flows.artifacts import artifact_key, figure
from flows.console import console, print_stage
from tasks.common.counted import counted
from tasks.reporting import training_curve as training_curves

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from uuid import UUID

    from tasks.data.cycle_folder import Cycle
    from tasks.stages.shipped_model import Attempt, ShippedModel
    from tasks.training.progress import TrainingProgress
    from tasks.training.recipes import Recipe
    from tasks.training.remedies import FurtherTraining
    from tasks.training.run import SftResult

_ARTIFACT_EVERY_S = 2.0


def remedy(further: FurtherTraining, attempt: Attempt) -> None:
    """What is tried since no mixture holds."""
    print_stage("remedy", f"{attempt.reason} Next: {further.remedy.value}.")


def choice(cycle: Cycle, shipped: ShippedModel) -> None:
    """Which mixture is shipped, and every candidate's figures on the rows that choose."""
    print_stage("choose", shipped.reason)
    candidates = shipped.choice.get("candidates", [])
    if not candidates:
        return
    create_markdown_artifact(
        key=artifact_key(cycle, "choice"),
        description=f"Mixture of base and tuned model, cycle {cycle.number}",
        markdown="\n".join(
            [
                f"# Shipped: value {shipped.value:g}",
                "",
                shipped.reason,
                "",
                "| value | KER on selection rows | standard error | general WER | rise |",
                "| ---: | ---: | ---: | ---: | ---: |",
                *(_candidate_line(figures) for figures in candidates),
            ]
        ),
    )


def _candidate_line(figures: Mapping[str, Any]) -> str:
    cells = [
        "–" if figures[name] is None else f"{figures[name]:.4f}"
        for name in ("ker", "ker_standard_error", "general_wer", "general_rise")
    ]
    return f"| {figures['value']:g} | {' | '.join(cells)} |"


@contextmanager
def training(recipe: Recipe, gpus: int) -> Iterator[Callable[[TrainingProgress], None]]:
    """Yield a function that shows training progress, on the terminal and as an artifact."""
    epochs = f"{recipe.epochs} epochs" if recipe.epochs > 1 else "one epoch"
    rows = recipe.effective_batch * max(1, gpus)
    print_stage(
        "sft", f"{epochs}, {counted(rows, 'row')} a step" + (f" on {gpus} GPUs" if gpus > 1 else "")
    )
    # In a synchronous flow it answers at once; its published type allows for a coroutine.
    artifact = cast("UUID", create_progress_artifact(progress=0.0, description="SFT"))
    bar = Bar(
        TextColumn("             "),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=console,
        # Where nothing moves, it would repeat the last line at its end.
        disable=not console.is_terminal,
    )
    last_update = 0.0
    validated = 0
    with bar:
        line = bar.add_task("starting", total=None)

        def report(now: TrainingProgress) -> None:
            nonlocal last_update, validated
            loss = "" if now.loss is None else f", loss {now.loss:.3f}"
            wer = "" if now.val_wer is None else f", validation WER {now.val_wer:.3f}"
            memory = f", GPU {now.gpu_memory_mib} MiB" if now.gpu_memory_mib else ""
            text = "starting"
            if now.batch:
                done = f"epoch {now.epoch + 1} of {now.epochs}, batch {now.batch} of {now.batches}"
                text = f"{done}{loss}{wer}{memory}"
            bar.update(line, total=now.batches or None, completed=now.batch, description=text)
            if now.validated > validated:
                validated = now.validated
                if not console.is_terminal:
                    print_stage("", text)
            if time.monotonic() - last_update > _ARTIFACT_EVERY_S:
                last_update = time.monotonic()
                update_progress_artifact(artifact, progress=100 * now.share, description=text)

        yield report
    update_progress_artifact(artifact, progress=100.0, description="SFT finished")


def training_curve(cycle: Cycle, trained: SftResult) -> None:
    """Loss and validation WER of each epoch."""
    if trained.reused:
        print_stage("sft", f"already trained with the same content: {trained.model.parent.name}")
    best = trained.best
    if best is not None:
        print_stage("", f"best epoch {best.epoch + 1}: validation WER {best.val_wer:.3f}")
    picture = base64.b64encode(
        training_curves.draw(training_curves.curve(trained.events.read()))
    ).decode()
    create_markdown_artifact(
        key=artifact_key(cycle, "training"),
        description=f"Training, cycle {cycle.number}",
        markdown="\n".join(
            [
                f"# Training, cycle {cycle.number}",
                "",
                f"![Loss and validation WER](data:image/png;base64,{picture})",
                "",
                "| epoch | step | loss | validation loss | validation WER | s | GPU MiB | GPU % |",
                "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
                *(
                    f"| {one.epoch + 1} | {one.step} | {figure(one.train_loss)} | "
                    f"{figure(one.val_loss)} | {figure(one.val_wer)} | {one.seconds:.1f} | "
                    f"{one.gpu_memory_mib} | {_percent(one.gpu_utilisation)} |"
                    for one in trained.epochs
                ),
                "",
                f"`{trained.model}`"
                + (", trained by an earlier run with the same content" if trained.reused else ""),
            ]
        ),
    )


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"
