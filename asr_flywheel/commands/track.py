"""Send runs of a cycle to an MLflow server: track."""

from __future__ import annotations

from typing import Annotated

import typer

from asr_flywheel.options import EXIT_FAILED, CycleArgument, NoTextsOption

app = typer.Typer()


@app.command()
def track(
    cycle: CycleArgument,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="The MLflow server: http://HOST:PORT, with the credentials of MLflow's variables, "
            "or mlflow-tracking/NAME for a saved block.",
        ),
    ],
    *,
    no_texts: NoTextsOption = False,
) -> None:
    """Send what an MLflow server lacks of a cycle's runs; a finished run need not be tracked."""
    from asr_flywheel.run_server import server_answers
    from blocks.mlflow_tracking import open_target
    from tasks.data.cycle_folder import open_cycle
    from tasks.data.cycle_lock import lock_cycle
    from tasks.records import audit_log
    from tasks.records.audit_log import AuditedAct
    from tasks.records.tracking import tracking_names
    from tasks.records.tracking.later_sending import collect, send
    from tasks.reporting.kept_models import standing

    opened = open_cycle(cycle)
    name = tracking_names.server_name(to)
    with server_answers():
        target = open_target(name)
    with lock_cycle(opened):
        found = collect(opened, lambda: standing(opened.clinic), no_texts=no_texts)
        audit_log.record(opened.clinic, AuditedAct.TRACK, opened.path.name, to=target.uri)
        complete = send(found, target, typer.echo, no_texts=no_texts)
    if not complete:
        raise typer.Exit(EXIT_FAILED)
