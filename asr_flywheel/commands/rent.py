"""A cycle on a host that is rented for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from asr_flywheel.config_options import with_options
from asr_flywheel.options import (
    BREV_HOST,
    EXIT_FAILED,
    EXIT_REFUSED,
    RENTAL,
    RENTED_CYCLE,
    SSH_HOST,
    refuse_with,
    refuse_without,
    validated,
)
from asr_flywheel.run_server import server_answers
from flows.parameters_without_effect import HOST_OF_BLOCK
from flows.rental.config import RentConfig
from tasks.common.errors import InputError
from tasks.common.valid_values import valid_values
from tasks.gpu_hosts.host_settings import BrevSettings, SshHostSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asr_flywheel.config_options import FieldOption

app = typer.Typer()
_BREV = BrevSettings().provider
_SSH = SshHostSettings.model_fields["provider"].default


@app.command()
@with_options(RENTED_CYCLE, RENTAL, SSH_HOST)
def rent(
    *,
    provider: Annotated[
        str,
        typer.Option(
            metavar=f"{_BREV}|{_SSH}", help=f"From whom; {_SSH}: a host that you have already."
        ),
    ] = _BREV,
    reap: Annotated[
        bool, typer.Option("--reap", help="Only give back hosts that a killed run left.")
    ] = False,
    forget: Annotated[
        str | None, typer.Option(metavar="LEASE", help="You have ended that host by hand.")
    ] = None,
    **given: Any,  # noqa: ANN401 - the options of a cycle, a rental and a host
) -> None:
    """Run a cycle on a rented GPU host: the cost, your YES, the run, the host's release."""
    if forget is not None:
        refuse_with("--forget", {"--reap": reap, **_set_options(given)})
        _forget(forget)
    elif reap:
        refuse_with("--reap", _set_options(given))
        _reap()
    elif given["cycle"] is None:
        raise InputError("rent: no cycle is named. Fix: name a cycle, or --reap.")
    else:
        cycle, host = RENTED_CYCLE.parameters(given), _host(provider, given)
        _rent({"run": cycle, "host": host, **RENTAL.parameters(given)})


def _host(provider: str, given: dict[str, Any]) -> dict[str, Any]:
    if provider not in {_BREV, _SSH}:
        fix = valid_values(Literal[_BREV, _SSH]).fix(provider)
        raise InputError(f"--provider {provider!r} is none of its values. Fix: {fix}.")
    if provider != _SSH:
        # Whoever names a host of his own does not want to pay for another.
        refuse_without(f"--provider {_SSH}", _set_options(given, _only_of_ssh()))
        return {"provider": provider, **BREV_HOST.parameters(given)}
    if given["host"] is None and given["host_block"] is None:
        raise InputError("rent: --provider ssh needs a host. Fix: add --host user@host.")
    # Where a block is named it has the host, and its settings count.
    given = {**given, "host": given["host"] or HOST_OF_BLOCK}
    return {"provider": provider, **SSH_HOST.parameters(given)}


def _only_of_ssh() -> dict[str, FieldOption]:
    """Return the options that a host of Brev's does not have."""
    shared = {option.name for option in BREV_HOST.options.values()}
    return {path: one for path, one in SSH_HOST.options.items() if one.name not in shared}


def _set_options(
    given: dict[str, Any], options: Mapping[str, FieldOption] | None = None
) -> dict[str, bool]:
    """Return for options, by default all of the command, whether they have another value."""
    known = options or {**RENTED_CYCLE.options, **RENTAL.options, **SSH_HOST.options}
    return {
        one.typed if given[one.name] is not False else f"--no-{one.typed.removeprefix('--')}": (
            given[one.name] not in (one.default, None, [])
        )
        for one in known.values()
    }


def _rent(parameters: dict[str, Any]) -> None:
    config = validated(RentConfig, parameters)
    import signal

    from prefect.exceptions import CancelledRun

    from flows.provision_gpu import provision_gpu
    from flows.rental.remote_run import require_server
    from tasks.data.cycle_folder import open_cycle
    from tasks.data.manifest import require_content
    from tasks.records.cost_ledger import RentalOutcome

    require_content(open_cycle(config.run.cycle).manifest)  # before anybody is asked
    # Without one, Prefect would first start a server of its own, only to be told so.
    require_server()
    # A closed terminal or laptop: as if Ctrl-C had been pressed, so that the host is given back.
    signal.signal(signal.SIGHUP, signal.default_int_handler)
    try:
        with server_answers():
            ended = provision_gpu(config)
    except CancelledRun as no:
        raise typer.Exit(EXIT_FAILED) from no
    if ended.outcome is RentalOutcome.REFUSED:
        raise typer.Exit(EXIT_REFUSED)


def _reap() -> None:
    from flows.rental import host_release

    returned = host_release.release_abandoned_hosts()
    typer.echo("\n".join(f"gave back {name}" for name in returned) or "no host is out")


def _forget(wanted: str) -> None:
    from tasks.gpu_hosts import lease as leases

    if wanted not in leases.ids():
        known = ", ".join(map(_described, leases.ids()))
        raise InputError(
            f"--forget {wanted}: no such record. Fix: one of {known}."
            if known
            else f"--forget {wanted}: no such record, and there is none. Fix: leave it out."
        )
    described = _described(wanted)
    leases.forget(wanted)
    typer.echo(f"forgot {described}")


def _described(lease: str) -> str:
    from tasks.gpu_hosts import lease as leases

    try:
        found = leases.read(lease)
    except InputError:
        return f"{lease} (a damaged record)"
    return lease if found is None else f"{lease} ({found.host})"
