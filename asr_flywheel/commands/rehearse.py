"""rehearse: run here, unattended, what a user does first, and write a record of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asr_flywheel.options import EXIT_FAILED
from asr_flywheel.rehearsal_commands import LIMIT_S

app = typer.Typer()


@app.command()
def rehearse(
    base: Annotated[
        Path | None, typer.Option(help="A .nemo file of your own, instead of the bundled bases.")
    ] = None,
    image: Annotated[
        str | None, typer.Option(help="Run in a container of this image, as `run` does.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Only this step; may be repeated.")
    ] = None,
    *,
    trust: Annotated[
        bool, typer.Option("--trust", help="Load a base of your own that may run code of its own.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on: what passed before is not run again.")
    ] = False,
    out: Annotated[
        Path, typer.Option("--out", help="Folder of the record, the logs and the cycles.")
    ] = Path("rehearsal"),
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1, help="Steps at a time; else by the cores. One job at a time is on a GPU."
        ),
    ] = None,
    limit_s: Annotated[
        float,
        typer.Option(
            "--limit-s",
            min=1,
            help="Seconds of one command, for each step at a time; what takes longer is ended.",
        ),
    ] = LIMIT_S,
) -> None:
    """Rehearse on this machine: doctor, whole cycles, a stop and a resume. Exit 1: a step failed.

    The steps without --base: doctor, demo, large, tdt, rnnt, resume. With --base: doctor, cycle,
    resume. OUT/rehearsal.json is written after each step. It holds versions, times and figures, no
    texts, no paths and no names, so that it can be sent in. OUT/logs stays with you.
    """
    from asr_flywheel import rehearsal as runner
    from tasks.common.errors import InputError
    from tasks.records import rehearsal

    if base is not None and not base.expanduser().is_file():
        raise InputError(f"--base {base}: no such file. Fix: name a .nemo file.")
    own = None if base is None else base.expanduser().resolve()
    plan = runner.plan_here(out.absolute(), own, image, jobs, trust=trust, limit_s=limit_s)
    earlier = rehearsal.read(plan.record_path) if resume and plan.record_path.is_file() else None
    wanted = runner.choose(plan, only or [], earlier)
    for step in wanted:
        typer.echo(f"{step.name:>8}  {step.does}")

    def tell(result: rehearsal.StepResult) -> None:
        why = result.reason
        if (failed := result.failure) is not None:
            code = "" if failed.exit_code is None else f"exit code {failed.exit_code}"
            why = ", ".join(part for part in (why, failed.fault, failed.error, code) if part)
        typer.echo(
            f"{result.name:>8}  {result.state.value} after {result.seconds:.0f} s"
            + (f": {why}" if why else "")
        )

    record = runner.rehearse(plan, earlier or runner.begin(plan), wanted, tell)
    typer.echo(f"record: {plan.record_path}")
    if not record.ok:
        raise typer.Exit(EXIT_FAILED)
