"""bundle: everything that a run needs, carried to a network that reaches nothing."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from asr_flywheel.options import EXIT_FAILED, JsonOption, print_json, refuse_without
from tasks.common.errors import InputError

app = typer.Typer()
_bundle = typer.Typer(no_args_is_help=True, help="Carry a run to a network that reaches nothing.")
app.add_typer(_bundle, name="bundle")

_SHOWN = 20
_SOURCE = Path(__file__).parents[2]


class ImageFormat(StrEnum):
    """How an image is written into a bundle."""

    DOCKER = "docker"
    SQUASHFS = "squashfs"


class Machine(StrEnum):
    """The processors that wheels are published for."""

    X86_64 = "x86_64"
    AARCH64 = "aarch64"


@_bundle.command()
def make(
    *,
    out: Annotated[Path, typer.Option(help="The new folder for the parts.")],
    python: Annotated[
        str, typer.Option(help="The host's Python: 3.11 or 3.12.", metavar="3.11|3.12")
    ] = "3.12",
    machine: Annotated[Machine, typer.Option(help="The host's processor.")] = Machine.X86_64,
    glibc: Annotated[
        str, typer.Option(help="The host's C library (`ldd --version`) or an older one.")
    ] = "2.34",
    extra: Annotated[
        list[str] | None, typer.Option(help="An extra of this project; by default demo.")
    ] = None,
    nemo: Annotated[str, typer.Option(help="NeMo's version.")] = "3.0.0",
    have: Annotated[
        list[Path] | None,
        typer.Option(
            help="`pip list --format=freeze` of a host with PyTorch: only what it lacks is taken."
        ),
    ] = None,
    base: Annotated[
        list[str] | None, typer.Option(help="A base model to take along: a name, or a .nemo file.")
    ] = None,
    image: Annotated[str, typer.Option(help="A container image to take along.")] = "",
    image_format: Annotated[
        ImageFormat, typer.Option(help="docker for an engine; squashfs for enroot and the like.")
    ] = ImageFormat.DOCKER,
    part_mib: Annotated[float, typer.Option(min=0.01, help="The largest part, in MiB.")] = 2000,
    source: Annotated[Path, typer.Option(help="A checkout of this project.")] = _SOURCE,
) -> None:
    """Collect wheels, base models and an image in parts, with hashes and a bill of materials."""
    from tasks.airgap import bundle_making
    from tasks.airgap.wheel_resolution import WheelTarget

    if not image:
        refuse_without("--image", {"--image-format": image_format is not ImageFormat.DOCKER})
    if python not in {"3.11", "3.12"}:
        raise InputError(f"--python {python}: not supported. Fix: 3.11 or 3.12.")
    major, _, minor = glibc.partition(".")
    if major != "2" or not minor.isdigit():
        raise InputError(f"--glibc {glibc}: not a version such as 2.34. Fix: see `ldd --version`.")
    request = bundle_making.BundleRequest(
        out=out.absolute(),
        source=source,
        target=WheelTarget(python, machine.value, int(minor)),
        nemo=nemo,
        extras=tuple(extra or ["demo"]),
        have=tuple(have or ()),
        bases=tuple(base or ()),
        image=image,
        image_format=image_format.value,
        part_mib=part_mib,
    )
    manifest = bundle_making.make(request, typer.echo)
    places = " ".join(f"part-{number}" for number in range(1, manifest.parts + 1))
    typer.echo(f"id    {manifest.bundle}")
    typer.echo(f"there sh part-1/install.sh --id {manifest.bundle} TARGET {places}")


@_bundle.command()
def install(
    parts: Annotated[list[Path], typer.Argument(help="The folders part-1, part-2, …")],
    *,
    into: Annotated[Path, typer.Option(help="Where to install.")],
    python: Annotated[str, typer.Option(help="The interpreter to install for.")] = sys.executable,
    bundle: Annotated[str, typer.Option("--id", help="The id that `bundle make` printed.")] = "",
) -> None:
    """Check every file of a bundle and install it without a network, all of it or nothing."""
    from tasks.airgap import install_program

    typer.echo(install_program.run(into, parts, python, bundle))


@_bundle.command()
def check(
    places: Annotated[
        list[Path] | None,
        typer.Argument(help="An installation, or parts; by default this installation."),
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Read every file of an installation, or of parts, and name what is missing or changed."""
    from tasks.airgap import bundle_checks
    from tasks.airgap.bundle_manifest import MANIFEST_NAME
    from tasks.airgap.bundle_parts import verify_parts

    if places and (places[0] / MANIFEST_NAME).is_file():
        verified = verify_parts(places)
        if as_json:
            print_json(
                {"ok": True, "bundle": verified.manifest.bundle, "missing": verified.missing}
            )
            return
        typer.echo(f"bundle {verified.manifest.bundle}: every file has its hash")
        for number in verified.missing:
            typer.echo(f"part-{number} was not named")
        return
    if places and len(places) > 1:
        raise InputError(
            f"{places[0]}: is an installation, and {places[1]} would not be read. Fix: check one "
            "at a time, or name the parts of a bundle."
        )
    state = bundle_checks.examine(places[0] if places else None, full=True)
    if as_json:
        print_json(state.as_dict())
    else:
        for line in state.lines(_SHOWN):
            typer.echo(line)
    if not state.intact:
        raise typer.Exit(EXIT_FAILED)
