"""Write the rows of several cycles as one: last month's and the new ones."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from asr_flywheel.options import JsonOption, print_json
from tasks.common.counted import agreed, counted
from tasks.common.errors import InputError

app = typer.Typer()


@app.command()
def combine(
    cycles: Annotated[
        list[Path],
        typer.Argument(
            help="Two cycles or more, the earliest first; then the folder to write, cycle<N>.",
            metavar="CYCLE CYCLE… NEW",
        ),
    ],
    *,
    as_json: JsonOption = False,
) -> None:
    """Write the rows and recordings of several cycles as a new one; a sound is in it once."""
    from dataclasses import asdict
    from functools import partial

    from tasks.data.combined_cycle import LEAST_SOURCES, combine_cycles
    from tasks.data.cycle_folder import open_cycle
    from tasks.privacy.returned_recordings import describe_returned, find_returned
    from tasks.records import audit_log
    from tasks.records.audit_log import AuditedAct

    *named, out = cycles
    if len(named) < LEAST_SOURCES:
        raise InputError(
            f"{' '.join(map(str, cycles))}: is too little. Fix: name two cycles, the earlier one "
            "first, and then the new folder: `asr-flywheel combine cycle1 new/cycle2 cycle2`."
        )
    target = out.expanduser().absolute()
    summary = combine_cycles(
        [open_cycle(path) for path in named],
        target,
        sys.argv,
        partial(find_returned, target.parent),
    )
    notes = [*summary.notes, *describe_returned(target, summary.returned)]
    audit_log.record(
        target.parent,
        AuditedAct.COMBINE,
        target.name,
        rows=summary.rows,
        repeated=len(summary.repeated),
    )
    if as_json:
        print_json({**asdict(summary), "notes": notes})
        return
    counts = " + ".join(f"{rows} of {name}" for name, rows in summary.sources.items())
    typer.echo(f"{target}: {counted(summary.rows, 'row')} = {counts}")
    if summary.repeated:
        count = len(summary.repeated)
        why = f"since {agreed(count, 'it is', 'they are')} there already"
        typer.echo(f"{counted(count, 'row')} {agreed(count, 'is', 'are')} left out, {why}")
    for line in notes:
        typer.echo(line)
