"""Patients' data: who did what with it, and letting it go again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asr_flywheel.options import EXIT_FAILED, JsonOption, print_json
from tasks.common.errors import InputError

app = typer.Typer()

_VERIFY = "verify"


@app.command()
def audit(
    folder: Annotated[Path, typer.Argument(help="The folder that holds the cycles, or a cycle.")],
    action: Annotated[
        str | None, typer.Argument(help="verify: check the chain; else the log is printed.")
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Print who did what with a clinic's data, or verify that no line was changed or removed."""
    from tasks.data.cycle_folder import clinic_folder
    from tasks.records import audit_log

    clinic = clinic_folder(folder)
    if action not in {None, _VERIFY}:
        raise InputError(f"audit: {action!r} is no action. Fix: write {_VERIFY}, or nothing.")
    if action == _VERIFY:
        found = audit_log.verify(clinic)
        if as_json:
            print_json(
                {
                    "lines": found.head.lines,
                    "head": found.head.sha256,
                    "problem": found.problem,
                }
            )
        elif found.problem is None:
            typer.echo(f"{found.head.lines} lines, unbroken; head {found.head.sha256}")
        else:
            typer.echo(found.problem, err=True)
        if found.problem is not None:
            raise typer.Exit(EXIT_FAILED)
        return
    lines = audit_log.read_lines(clinic)
    if as_json:
        print_json(lines)
        return
    for line in lines:
        ids = ", ".join(f"{name}: {value}" for name, value in line["ids"].items())
        typer.echo(
            f"{line['n']:>4}  {line['time']}  {line['who']}@{line['host']}  {line['act']}"
            f"{'' if line['cycle'] is None else ' ' + line['cycle']}"
            f"{f'  ({ids})' if ids else ''}"
        )
