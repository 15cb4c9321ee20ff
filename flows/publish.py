"""What a person sees while a cycle runs: lines on the terminal, artifacts in Prefect.

Artifact keys are made of the name of the folder that holds the cycles, so that each key's history
in the UI is the history of one clinic's cycles.
"""

from __future__ import annotations

import time
from base64 import b64encode
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, cast

from prefect import get_run_logger
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.exceptions import MissingContextError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from tasks.archive import clinic_of
from tasks.grow_plan_files import MD_NAME, as_markdown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from uuid import UUID

    from tasks.archive import Kept
    from tasks.course import Progress
    from tasks.cycle import Cycle
    from tasks.decision import Decision, TableReading
    from tasks.diff import Delta
    from tasks.gate import GateResult
    from tasks.general import GeneralSet
    from tasks.grow_plan import GrowPlan
    from tasks.leaderboard import Leaderboard
    from tasks.recipes import Recipe
    from tasks.sft import SftResult
    from tasks.split import Split
    from tasks.transcribe import Transcript

_ARTIFACT_EVERY_S = 2.0
console = Console(highlight=False, soft_wrap=True)


def stage(name: str, text: str) -> None:
    """One line of what is being done: on the terminal and, inside a run, in its log."""
    console.print(f"[bold cyan]{name:>11}[/]  ", end="")
    console.print(text, markup=False)
    with suppress(MissingContextError):
        get_run_logger().info("%s: %s" if name else "%s%s", name, text)


def sparingly(every_s: float, name: str) -> Callable[[str], None]:
    """A function that shows a line of progress, but not more often than this."""
    last = float("-inf")

    def report(text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= every_s:
            last = time.monotonic()
            stage(name, text)

    return report


def artifact_key(cycle: Cycle, what: str) -> str:
    """A key for Prefect: lower-case letters, digits and dashes only."""
    return f"{clinic_of(cycle)}-{what}"


def gate(cycle: Cycle, verdict: GateResult) -> None:
    """The gate's verdict."""
    stage("gate", "passed" if verdict.passed else f"refused: go to {verdict.route}")
    for line in (*(reason.message for reason in verdict.reasons), *verdict.warnings):
        stage("", line)
    create_markdown_artifact(
        key=artifact_key(cycle, "gate"),
        description=f"Gate, cycle {cycle.number}",
        markdown="\n".join(
            [
                f"# Gate, cycle {cycle.number}: {'passed' if verdict.passed else 'refused'}",
                "",
                *(f"- {reason.message}" for reason in verdict.reasons),
                *(f"- Warning: {warning}" for warning in verdict.warnings),
            ]
        ),
    )


def warnings(lines: Sequence[str]) -> None:
    """What the preflight found that stops nothing."""
    stage("preflight", f"{len(lines)} warnings" if lines else "no findings")
    for line in lines[:10]:
        stage("", line)


def general(found: GeneralSet) -> None:
    """What guards, and what is replayed."""
    replayed = f", {len(found.replay)} more replayed in training" if found.replay else ""
    stage("general", f"{len(found.guardrail)} sentences guard against forgetting{replayed}")


def split(parts: Split) -> None:
    """The sizes of the split."""
    stage("split", f"{len(parts.train)} rows to train on, {len(parts.validation)} held out")
    for line in parts.warnings:
        stage("", f"warning: {line}")


@contextmanager
def training(recipe: Recipe, gpus: int) -> Iterator[Callable[[Progress], None]]:
    """Yield a function that shows training progress, on the terminal and as an artifact."""
    epochs = f"{recipe.epochs} epochs" if recipe.epochs > 1 else "one epoch"
    rows = recipe.effective_batch * max(1, gpus)
    stage("sft", f"{epochs}, {rows} rows a step" + (f" on {gpus} GPUs" if gpus > 1 else ""))
    # In a synchronous flow it answers at once; its published type allows for a coroutine.
    artifact = cast("UUID", create_progress_artifact(progress=0.0, description="SFT"))
    bar = Bar(
        TextColumn("             "),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=console,
    )
    last_update = 0.0
    validated = 0
    with bar:
        line = bar.add_task("starting", total=None)

        def report(now: Progress) -> None:
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
                    stage("", text)
            if time.monotonic() - last_update > _ARTIFACT_EVERY_S:
                last_update = time.monotonic()
                update_progress_artifact(artifact, progress=100 * now.share, description=text)

        yield report
    update_progress_artifact(artifact, progress=100.0, description="SFT finished")


def training_curve(cycle: Cycle, trained: SftResult) -> None:
    """Loss and validation WER of each epoch."""
    if trained.reused:
        stage("sft", f"already trained with the same content: {trained.model.parent.name}")
    best = trained.best
    if best is not None:
        stage("", f"best epoch {best.epoch + 1}: validation WER {best.val_wer:.3f}")
    create_table_artifact(
        key=artifact_key(cycle, "training"),
        description=f"Training, cycle {cycle.number}",
        table=[
            {
                "epoch": epoch.epoch + 1,
                "step": epoch.step,
                "training loss": epoch.train_loss,
                "validation loss": epoch.val_loss,
                "validation WER": epoch.val_wer,
                "seconds": epoch.seconds,
                "GPU memory (MiB)": epoch.gpu_memory_mib,
                "GPU utilisation (%)": epoch.gpu_utilisation,
            }
            for epoch in trained.epochs
        ],
    )


def speed(before: Transcript, after: Transcript) -> None:
    """How fast the two models decoded, or that they did not have to."""
    for name, one in (("base", before), ("tuned", after)):
        kept = len(one.hypotheses) - one.decoded
        again = f"{kept} rows decoded before by the same model" if kept else ""
        new = f"{one.audio_seconds:.0f} s of audio, {one.rtfx:.0f} x real time"
        stage(
            "", f"{name}: {'; '.join(part for part in (again, new if one.decoded else '') if part)}"
        )


def leaderboard(cycle: Cycle, board: Leaderboard) -> None:
    """The leaderboard of cycle N+1."""
    stage("leaderboard", str(cycle.leaderboard))
    create_markdown_artifact(
        key=artifact_key(cycle, "leaderboard"),
        description=f"Leaderboard, cycle {cycle.number}",
        markdown=board.as_markdown(),
    )


def decision(
    cycle: Cycle, decided: Decision, all_rows: TableReading, held_out: Mapping[str, Delta]
) -> None:
    """The decision and the differences that it rests on."""
    stage("decision", f"{decided.verdict.value.upper()} (by {decided.basis} rows)")
    for line in decided.reasons:
        stage("", line)
    literal = f"The specification's table over {all_rows.basis}: {all_rows.verdict.value}."
    stage("", literal)
    create_markdown_artifact(
        key=artifact_key(cycle, "decision"),
        description=f"Decision, cycle {cycle.number}",
        markdown="\n".join(
            [
                f"# Cycle {cycle.number}: {decided.verdict.value}",
                "",
                f"By {decided.basis} rows. Next: `{decided.route}`.",
                "",
                *(f"- {reason}" for reason in decided.reasons),
                f"- {literal}",
            ]
        ),
    )
    create_table_artifact(
        key=artifact_key(cycle, "diff"),
        description=f"KER by category on held-out rows, cycle {cycle.number}",
        table=[{"category": category, **delta.as_dict()} for category, delta in held_out.items()],
    )


def grow_plan(cycle: Cycle, plan: GrowPlan | None) -> None:
    """What to add before the next turn, if the decision asks for it."""
    if plan is None:
        return
    stage("grow", f"{plan.rows} rows to add: {cycle.path / MD_NAME}")
    create_markdown_artifact(
        key=artifact_key(cycle, "growth"),
        description=f"What to add after cycle {cycle.number}",
        markdown=as_markdown(plan, cycle.number),
    )


def report(cycle: Cycle, written: Sequence[Path]) -> None:
    """Where the report lies, and its figures, which Prefect shows."""
    stage("report", str(written[0]))
    shown = [
        f"![{path.stem}](data:image/png;base64,{b64encode(path.read_bytes()).decode()})"
        for path in written[1:]
    ]
    create_markdown_artifact(
        key=artifact_key(cycle, "report"),
        description=f"Figures of cycle {cycle.number}",
        markdown="\n\n".join([f"The whole report: `{written[0]}`", *shown]),
    )


def kept(cycle: Cycle, found: Kept) -> None:
    """Where the cycle's files are."""
    size = f"{found.bytes / 1e6:.1f} MB"
    stage("store", f"{found.url}: {found.files} files, {size}, {found.sent} of them new")
    create_markdown_artifact(
        key=artifact_key(cycle, "store"),
        description=f"Files of cycle {cycle.number}",
        markdown=f"{found.files} files, {size}. The list with their hashes: `{found.url}`.\n",
    )
