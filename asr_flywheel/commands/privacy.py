"""Patients' data: who did what with it, and letting it go again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asr_flywheel.options import EXIT_FAILED, JsonOption, print_json, refuse_with
from tasks.common.counted import counted
from tasks.common.errors import InputError
from tasks.common.privacy_settings import KEEP_VARIABLE

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
            typer.echo(f"{counted(found.head.lines, 'line')}, unbroken; head {found.head.sha256}")
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


@app.command()
def purge(
    context: typer.Context,
    cycle: Annotated[
        Path, typer.Argument(help="The cycle whose manifest has the recording, or its folder.")
    ],
    *,
    recordings: Annotated[
        Path | None,
        typer.Option(
            "--recordings",
            help="A list: a text with a recording, conversation or voice a line, or rows of a "
            "manifest; in every cycle.",
        ),
    ] = None,
    recording: Annotated[
        str | None,
        typer.Option("--recording", help="Its path, name or hash; or what an import cut it from."),
    ] = None,
    voice: Annotated[
        str | None, typer.Option("--voice", help="All recordings of a voice_id, in every cycle.")
    ] = None,
    confirm: Annotated[
        str | None,
        typer.Option(
            "--confirm",
            help="The recording or voice once more, or what a list's listing says: do not ask.",
        ),
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Ask for the same once more and do it; else only list.")
    ] = False,
    folder: Annotated[
        list[Path] | None,
        typer.Option(
            "--folder", help="Look here too, such as a sheet's or an export's. Repeatable."
        ),
    ] = None,
    store: Annotated[
        list[str] | None,
        typer.Option("--store", help="A store, besides those in the runs' records. Repeatable."),
    ] = None,
    stores: Annotated[
        bool, typer.Option("--stores/--no-stores", help="Whether stores are looked at.")
    ] = True,
    prefix: Annotated[
        list[str] | None,
        typer.Option("--prefix", help="Of more keys in the stores, such as inbox/. Repeatable."),
    ] = None,
    server: Annotated[
        bool,
        typer.Option("--server/--no-server", help="Whether Prefect's server is asked."),
    ] = True,
    delete_artifacts: Annotated[
        bool,
        typer.Option("--delete-artifacts", help="Delete the server's artifacts that show it."),
    ] = False,
    accept: Annotated[
        Path | None,
        typer.Option("--accept", help="Instead: let this marked model (.nemo) be used again."),
    ] = None,
    forget_key: Annotated[
        bool,
        typer.Option(
            "--forget-key", help="Instead: delete the key, so that no hash can be told any more."
        ),
    ] = False,
    expired: Annotated[
        bool,
        typer.Option(
            "--expired", help="Instead: transcripts, work folders and pages' sound of old cycles."
        ),
    ] = False,
    keep: Annotated[
        str | None,
        typer.Option(envvar=KEEP_VARIABLE, help='What --expired leaves: "3 cycles" or "90 days".'),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List every trace of recordings or a voice, and with --confirm or --apply remove it."""
    from asr_flywheel import purging
    from tasks.data.cycle_folder import clinic_folder, cycle_number, open_cycle
    from tasks.privacy import clinic_files
    from tasks.privacy.purge import PurgeRequest, first_cycle
    from tasks.privacy.purge_list import read_purge_list

    acts = {
        "--recordings": recordings is not None,
        "--recording": recording is not None,
        "--voice": voice is not None,
        "--accept": accept is not None,
        "--forget-key": forget_key,
        "--expired": expired,
    }
    if sum(acts.values()) != 1:
        raise InputError(
            "purge: what is to be purged? Fix: name one of --recording, --recordings, --voice, "
            "--accept, --forget-key and --expired."
        )
    everywhere = {
        "--folder": folder,
        "--store": store,
        "--no-stores": not stores,
        "--prefix": prefix,
        "--no-server": not server,
        "--delete-artifacts": delete_artifacts,
        "--json": as_json,
    }
    # A site's variable may say what is kept; only the option was typed.
    typed_keep = {"--keep": _is_typed(context, "keep")}
    if expired:
        refuse_with("--expired", everywhere)
        purging.purge_expired(clinic_folder(cycle), keep, dry=not apply and confirm is None)
        return
    if accept is not None:
        refuse_with(
            "--accept", {**everywhere, **typed_keep, "--confirm": confirm, "--apply": apply}
        )
        purging.accept_model(clinic_folder(cycle), accept)
        return
    if forget_key:
        refuse_with("--forget-key", {**everywhere, **typed_keep, "--apply": apply})
        purging.forget_key(clinic_folder(cycle), settings_confirm=confirm)
        return
    refuse_with(next(option for option, given in acts.items() if given), typed_keep)
    if not stores:
        refuse_with("--no-stores", {"--store": store, "--prefix": prefix})
    if not server:
        refuse_with("--no-server", {"--delete-artifacts": delete_artifacts})
    listed = None if recordings is None else read_purge_list(recordings)
    is_whole = listed is not None and cycle_number(cycle.expanduser().absolute().name) is None
    request = PurgeRequest(
        first_cycle(clinic_folder(cycle)) if is_whole else open_cycle(cycle),
        recording,
        voice,
        clinic_files.require_folders(folder or ()),
        tuple(prefix or ()),
        listed,
        is_whole,
    )
    settings = purging.PurgeSettings(
        confirm, apply, tuple(store or ()), stores, server, delete_artifacts, as_json
    )
    if not purging.purge(request, settings):
        raise typer.Exit(EXIT_FAILED)


def _is_typed(context: typer.Context, name: str) -> bool:
    """Return whether an option stands on the command line, and not in the environment alone."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
