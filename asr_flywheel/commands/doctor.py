"""doctor: what a run needs on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr_flywheel.options import (
    DEFAULTS,
    EXIT_FAILED,
    BaseOption,
    ImageOption,
    JsonOption,
    RuntimeOption,
    check_options,
    print_json,
)
from tasks.common.counted import agreed, counted
from tasks.common.errors import FlywheelError, InputError

if TYPE_CHECKING:
    from tasks.stages.check_result import CheckResult

app = typer.Typer()

_MARKS = {"ok": "ok  ", "note": "note", "missing": "MISS"}


@app.command()
def doctor(
    *,
    base: BaseOption = DEFAULTS.base,
    runtime: RuntimeOption = DEFAULTS.runtime,
    image: ImageOption = DEFAULTS.container.image,
    store: Annotated[
        str | None, typer.Option(help="A folder, s3://bucket/prefix, or a saved block.")
    ] = None,
    directory: Annotated[Path, typer.Option("--dir", help="Where the cycles are.")] = Path(),
    pool: Annotated[str, typer.Option(help="The work pool.")] = "gpu",
    decode: Annotated[
        bool, typer.Option(help="Decode a second of speech where a run would, too.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Check everything that a run needs, and print the fixes. Exit 1: the run cannot go."""
    from asr_flywheel.site import checks
    from blocks.parameter_types import store_from_here
    from tasks.records import rehearsal
    from tasks.stages import host_checks, trial_decoding

    check_options(directory, base=base, runtime=runtime, container={"image": image})
    where = None if store is None else store_from_here(store)
    context = host_checks.make_context(runtime.value, base, image, where, directory.absolute())

    found = (
        *host_checks.examine(context),
        host_checks.store(context, _try_store),
        *checks.examine(pool),
        host_checks.rehearsed(context, rehearsal.readable_records()),
        _check_bundle(),
    )
    decoded = trial_decoding.decode(context) if decode else None
    if decoded is not None:
        found = (*found, decoded.finding)
    goes = host_checks.can_go(found)
    if as_json:
        print_json(
            {
                "ok": goes,
                "findings": [one.as_dict() for one in found],
                "decoded": None if decoded is None else decoded.figures,
            }
        )
    else:
        for one in found:
            typer.echo(f"{_MARKS[one.state]}  {one.check:<14}  {one.says}")
            if one.fix:
                typer.echo(f"{'':>22}fix: {one.fix}")
        typer.echo(f"A {runtime} run {'can go' if goes else 'cannot go yet'}.")
    if not goes:
        raise typer.Exit(EXIT_FAILED)


def _check_bundle() -> CheckResult:
    """Say whether this environment is from an offline bundle, and what of it is missing."""
    from tasks.airgap import bundle_checks
    from tasks.common.installation import find_bundle_root
    from tasks.stages.check_result import CheckResult, CheckStatus, split_fix

    if find_bundle_root() is None:
        return CheckResult("bundle", CheckStatus.OK, "this environment is not from a bundle")
    try:
        state = bundle_checks.examine(None, full=False)
    except InputError as unreadable:
        says, fix = split_fix(unreadable)
        return CheckResult("bundle", CheckStatus.MISSING, says, fix)
    if state.damage:
        first = state.damage[0]
        says = (
            f"{counted(len(state.damage), 'file')} {agreed(len(state.damage), 'is', 'are')} "
            f"missing or changed; {first.path} {first.reason}"
        )
        return CheckResult("bundle", CheckStatus.MISSING, says, bundle_checks.REPAIR)
    if state.absent_images:
        says = f"{', '.join(state.absent_images)}: no engine here holds it"
        return CheckResult("bundle", CheckStatus.NOTE, says, bundle_checks.REPAIR)
    if missing := state.missing():
        says = f"{state.summary()}; {missing} not installed"
        return CheckResult("bundle", CheckStatus.NOTE, says, bundle_checks.REPAIR)
    return CheckResult("bundle", CheckStatus.OK, state.summary())


def _try_store(name: str) -> None:
    from blocks.stores import open_store

    try:
        open_store(name).check()
    except RuntimeError as unreachable:  # Prefect's, where a block cannot be looked up
        raise FlywheelError(
            f"{name}: {unreachable} Fix: start the server that PREFECT_API_URL names."
        ) from unreachable
