"""serve: try an exported model with a real client.

``python -m asr_flywheel.commands.serve`` is the same without other commands' imports: a container
needs no Prefect to serve.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from asr_flywheel.ward_server.service_limits import MIB, ServiceLimits
from tasks.common.errors import FlywheelError, InputError
from tasks.common.installation import install_fix
from tasks.common.telemetry import forbid_telemetry

app = typer.Typer()
_LIMITS = ServiceLimits()
_EXIT_BAD_INPUT = 2


@app.command()
def serve(
    bundle: Annotated[
        Path, typer.Argument(help="The folder that `handoff --format onnx-asr` wrote.")
    ],
    *,
    host: Annotated[
        str, typer.Option(help="Address to listen on; beyond loopback a token is needed.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8765,
    name: Annotated[
        str | None,
        typer.Option(help="Model name that clients ask for; by default the bundle's."),
    ] = None,
    max_mib: Annotated[
        int, typer.Option(min=1, max=1024, help="Largest request, in MiB.")
    ] = _LIMITS.upload_bytes // MIB,
    max_seconds: Annotated[
        float, typer.Option(min=1, max=3600, help="Longest recording, in seconds.")
    ] = _LIMITS.audio_seconds,
    time_limit: Annotated[
        float, typer.Option(min=1, max=3600, help="Seconds from upload to answer.")
    ] = _LIMITS.answer_seconds,
    waiting: Annotated[
        int, typer.Option(min=0, max=1000, help="Requests that may wait; more are refused.")
    ] = _LIMITS.waiting,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads for one recording; by default every core.")
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(help="PEM file of a certificate, for TLS.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="PEM file of the certificate's key.")] = None,
) -> None:
    """Serve an exported model under OpenAI's API, to try it with a real client."""
    try:
        from asr_flywheel.ward_server.bundle_service import ServiceRequest, serve_bundle
        from asr_flywheel.ward_server.server_process import ListenAddress
    except ImportError as absent:
        raise InputError(
            f"the server needs a package that is not installed ({absent}). "
            f"Fix: {install_fix('edge')}."
        ) from absent

    if (certificate is None) != (key is None):
        raise InputError("--certificate, --key: one is missing. Fix: name both, or none.")
    limits = ServiceLimits(
        upload_bytes=max_mib * MIB,
        audio_seconds=max_seconds,
        answer_seconds=time_limit,
        waiting=waiting,
    )
    serve_bundle(
        ServiceRequest(bundle, ListenAddress(host, port, certificate, key), limits, name, threads)
    )


def main() -> None:
    """Serve; what the user can fix is printed without a traceback."""
    forbid_telemetry()
    try:
        app()
    except FlywheelError as wrong:
        typer.echo(f"error: {wrong}", err=True)
        sys.exit(_EXIT_BAD_INPUT)


if __name__ == "__main__":
    main()
