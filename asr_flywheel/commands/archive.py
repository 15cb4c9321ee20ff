"""What a store holds: runs and fetch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from asr_flywheel.options import JsonOption
from tasks.common.counted import counted
from tasks.common.errors import InputError
from tasks.common.parameter_names import spelled_as
from tasks.common.shell_words import in_shell

app = typer.Typer()
# Here it is no option.
_NAMES = {"store": "STORE"}

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
    from blocks.parameter_types import store_from_here
    from blocks.stores import open_store
    from tasks.records import archive

    with spelled_as(_NAMES):
        place = open_store(store_from_here(store))
    found = [run.as_dict() for run in archive.runs(place, prefix)]
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    if not found:
        of_these = f" of {prefix}" if prefix else ""
        typer.echo(
            f"{store}: holds no complete run{of_these}. `asr-flywheel run --store` keeps one."
        )
    for run in found:
        size = f"{counted(run['files'], 'file')}, {run['bytes'] / 1e6:.1f} MB"
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
    from blocks.parameter_types import store_from_here
    from blocks.stores import open_store
    from tasks.records import archive, audit_log
    from tasks.records.audit_log import AuditedAct

    with spelled_as(_NAMES):
        place = open_store(store_from_here(store))
    found = [one for one in archive.runs(place, cycle) if run in {None, one.run}]
    if not found:
        raise InputError(
            f"{cycle}: the store has no complete run of it{f' with id {run}' if run else ''}. "
            f"Fix: see what there is with `asr-flywheel runs {in_shell(store)}`."
        )
    targets = archive.fetch(place, found[0], directory, typer.echo)
    audit_log.record(
        directory.absolute(),
        AuditedAct.STORE_DOWNLOAD,
        f"cycle{found[0].cycle}",
        origin=place.url(found[0].prefix),
        files=len(targets),
    )
