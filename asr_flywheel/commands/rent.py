"""A cycle on a host that is rented for it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from asr_flywheel.options import (
    DEFAULT_BASE,
    EXIT_FAILED,
    EXIT_REFUSED,
    AudioRootOption,
    BaselineOption,
    BaseOption,
    EpochsOption,
    KeepStyleOption,
    PriorityOption,
    RecipeOption,
    SeedOption,
    TrustOption,
    validated,
)
from asr_flywheel.run_server import server_answers
from tasks.common.errors import InputError
from tasks.training.recipes import RecipeName

app = typer.Typer()


@app.command()
def rent(
    cycle: Annotated[
        Path | None, typer.Argument(help="A folder cycle<N> with manifest.jsonl.")
    ] = None,
    *,
    provider: Annotated[
        str, typer.Option(help="brev, or ssh for a host that you have already.")
    ] = "brev",
    sku: Annotated[str, typer.Option(help="l40s, a10g, a100 or h100.")] = "l40s",
    host_block: Annotated[
        str | None, typer.Option(help="A saved host block, instead of the options of a host.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="ssh: user@host.")] = None,
    port: Annotated[int | None, typer.Option(help="ssh: port.")] = None,
    identity: Annotated[Path | None, typer.Option(help="ssh: file of the private key.")] = None,
    known_hosts: Annotated[Path | None, typer.Option(help="ssh: file with its key.")] = None,
    python: Annotated[
        str | None, typer.Option(help="There, with this project; else it is installed.")
    ] = None,
    folder: Annotated[str | None, typer.Option(help="ssh: a folder on the host.")] = None,
    usd_per_hour: Annotated[float | None, typer.Option(help="Your own price.")] = None,
    disk_gb: Annotated[int, typer.Option(help="Of a host that is created.")] = 200,
    gpu_required: Annotated[bool, typer.Option(help="Refuse a host without a GPU.")] = True,
    need_gib: Annotated[float, typer.Option(help="Free disk that the host must have.")] = 40,
    limit_minutes: Annotated[int, typer.Option(help="Kept by the host itself.")] = 240,
    answer_minutes: Annotated[float, typer.Option(help="Without a YES by then: nothing.")] = 60,
    base: BaseOption = DEFAULT_BASE,
    trust: TrustOption = False,
    runtime: Annotated[str, typer.Option(help="On the host: container, local.")] = "container",
    recipe: RecipeOption = RecipeName.VERIFIED,
    priority: PriorityOption = None,
    epochs: EpochsOption = None,
    seed: SeedOption = 42,
    baseline: BaselineOption = None,
    audio_root: AudioRootOption = None,
    general: Annotated[
        Path | None, typer.Option(help="A manifest of general English, against forgetting.")
    ] = None,
    keep_style: KeepStyleOption = False,
    store: Annotated[
        str | None, typer.Option(help="Keep all files there too: s3://bucket/prefix or a block.")
    ] = None,
    pass_on: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A variable for the worker, such as HF_TOKEN; repeat."),
    ] = None,
    reap: Annotated[
        bool, typer.Option("--reap", help="Only give back hosts that a killed run left.")
    ] = False,
    forget: Annotated[
        str | None, typer.Option(metavar="LEASE", help="You have ended that host by hand.")
    ] = None,
) -> None:
    """Run a cycle on a rented GPU host: costs first, then your YES; given back in every outcome."""
    if forget is not None:
        _forget(forget)
        return
    if reap:
        _reap()
        return
    from blocks.parameter_types import store_from_here

    if cycle is None:
        raise InputError("rent: name a cycle, or --reap.")
    if provider == "ssh":
        if host is None and host_block is None:
            raise InputError("rent: --provider ssh needs --host user@host.")
        reached = {"destination": host or "block", "port": port, "identity": identity}
        place: dict[str, Any] = {
            "provider": "ssh",
            "ssh": {**reached, "known_hosts": known_hosts},
            "python": python,
            **({} if folder is None else {"folder": folder}),
        }
    else:
        place = {"provider": provider, "python": python}
    _rent(
        {
            "run": {
                "cycle": cycle,
                "base": base,
                "trust": trust,
                "runtime": runtime,
                "recipe": recipe,
                "priority": priority or ["drug"],
                "epochs": epochs,
                "seed": seed,
                "baseline": baseline,
                "general": general,
                "audio_roots": audio_root or [],
                "keep_style": keep_style,
                "store": None if store is None else store_from_here(store),
            },
            "host": place,
            "host_block": host_block,
            "sku": sku,
            "usd_per_hour": usd_per_hour,
            "disk_gb": disk_gb,
            "gpu_required": gpu_required,
            "need_gib": need_gib,
            "limit_minutes": limit_minutes,
            "answer_minutes": answer_minutes,
            "pass_on": pass_on or [],
        }
    )


def _rent(parameters: dict[str, Any]) -> None:
    import signal

    from prefect.exceptions import CancelledRun

    from flows.provision_gpu import provision_gpu
    from flows.rental.config import RentConfig
    from flows.rental.remote_run import require_server
    from tasks.records.cost_ledger import RentalOutcome

    config = validated(RentConfig, parameters)
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
        raise InputError(f"--forget {wanted}: no such record. There is: {known or 'none'}.")
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
