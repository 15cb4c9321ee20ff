"""The site and its workers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tasks.common.errors import InputError

app = typer.Typer()


PortOption = Annotated[int, typer.Option(min=1, max=65535, help="Of server and UI.")]
SiteOption = Annotated[Path, typer.Option("--dir", help="Database, logs and process ids.")]


@app.command()
def worker(
    pool: Annotated[str, typer.Option(help="The work pool.")] = "gpu",
    at_once: Annotated[
        int, typer.Option(min=1, help="Runs in flight; one at a time holds the GPUs.")
    ] = 4,
    queue: Annotated[str, typer.Option(help="The pool's queue to take runs from.")] = "default",
    name: Annotated[str | None, typer.Option(help="Of the worker; by default the host's.")] = None,
) -> None:
    """Take runs from a work pool of the server that PREFECT_API_URL names."""
    from asr_flywheel.site.worker import start

    start(pool, at_once, queue, name)


@app.command()
def site(
    what: Annotated[str, typer.Argument(metavar="up|down", help="Start it, or end it.")],
    port: PortOption = 4200,
    directory: SiteOption = Path(".site"),
) -> None:
    """Start or stop a site on loopback: server, UI, GPU pool, deployments, blocks and a worker."""
    from asr_flywheel.site.local_site import Site
    from flows.console import print_stage

    here = Site(directory.resolve(), port)
    if what == "up":
        here.up()
        print_stage("site", f"{here.url} (files in {here.folder})")
    elif what == "down":
        print_stage("site", f"ended: {', '.join(here.down()) or 'nothing ran'}")
    else:
        raise InputError(f"site: {what!r} is neither up nor down. Fix: write up, or down.")


@app.command()
def automations(
    webhook: Annotated[
        str | None, typer.Option(help="Notify this saved Webhook block of Prefect's.")
    ] = None,
    email: Annotated[str | None, typer.Option(help="Notify this saved SMTP E-mail block.")] = None,
    longest_hours: Annotated[
        float, typer.Option(min=0.1, help="Notify of runs that take longer than this.")
    ] = 12.0,
    lost_minutes: Annotated[
        float, typer.Option(min=2, help="Crash runs without heartbeat for this long.")
    ] = 10.0,
    *,
    enable: Annotated[bool, typer.Option("--enable", help="Switch them on.")] = False,
) -> None:
    """Register the automations with the server that PREFECT_API_URL names; off by default."""
    from datetime import timedelta

    from asr_flywheel.site.automations import Wanted, register

    longest, lost = timedelta(hours=longest_hours), timedelta(minutes=lost_minutes)
    wanted = Wanted(webhook, email, longest, lost)
    for one in register(wanted, enable=enable):
        typer.echo(f"{'on ' if one.enabled else 'off'}  {one.name}: {one.description}")
