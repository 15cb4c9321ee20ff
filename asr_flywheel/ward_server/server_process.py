"""The ward server as a process: where it listens, how it ends, and what it cannot do."""

from __future__ import annotations

import logging
import os
import resource
import signal
import socket
import stat
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn

from asr_flywheel.ward_server.request_guard import LOG
from tasks.common.errors import InputError
from tasks.common.loopback import is_loopback
from tasks.serving.edge.http_transcription import TOKEN_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from asr_flywheel.ward_server.request_guard import RequestGuard
    from asr_flywheel.ward_server.service_limits import ServiceLimits

_SHORTEST_TOKEN = 16
_GRACE_S = 5


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where a server listens.

    Attributes:
        host: a name or an address.
        port: 0 for any that is free.
        certificate: PEM file of the server's certificate and those above it; None without TLS.
        key: PEM file of its key.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    certificate: Path | None = None
    key: Path | None = None

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)


def read_token(address: ListenAddress) -> str | None:
    """Return the token that requests must bear, from the environment; None for none.

    Raises:
        InputError: it is too short, or missing where others can reach the server.
    """
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    fix = f'Fix: export {TOKEN_VARIABLE}="$(openssl rand -hex 32)"'
    if not token:
        if not address.is_loopback:
            raise InputError(
                f"--host {address.host}: others can reach it, and {TOKEN_VARIABLE} is not set. "
                f"{fix}, or listen on 127.0.0.1."
            )
        return None
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        raise InputError(
            f"{TOKEN_VARIABLE}: it must be {_SHORTEST_TOKEN} characters of ASCII or more. {fix}"
        )
    return token


def serve(guard: RequestGuard, address: ListenAddress, limits: ServiceLimits, title: str) -> None:
    """Answer requests until a signal; then finish those that are running.

    Raises:
        InputError: the address cannot be listened on, or the certificate not be read.
    """
    _start_log()
    listening = _listen(address)
    try:
        config = uvicorn.Config(
            guard,
            log_config=None,  # its own would write addresses
            access_log=False,
            server_header=False,
            proxy_headers=False,
            http="h11",
            ws="none",
            lifespan="on",
            loop="asyncio",
            timeout_graceful_shutdown=int(limits.upload_seconds + limits.answer_seconds) + _GRACE_S,
            ssl_certfile=address.certificate,
            ssl_keyfile=address.key,
        )
        try:
            config.load()
        except OSError as wrong:
            raise InputError(
                f"{address.certificate}, {address.key}: cannot be read as a certificate and its "
                f"key ({wrong}). Fix: name PEM files that belong together."
            ) from wrong
        scheme = "https" if address.certificate else "http"
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        LOG.info("%s at %s://%s:%d/v1", title, scheme, shown, port)
        LOG.info(_forgo_files())
        server = uvicorn.Server(config)
        with _signals_end(server):
            server.run(sockets=[listening])
    finally:
        listening.close()
    LOG.info("ended; every request that had begun was answered")


def _listen(address: ListenAddress) -> socket.socket:
    """Bind a socket.

    Raises:
        InputError: it cannot be bound.
    """
    try:
        family, _, _, _, place = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(place[:2], family=family, backlog=128)
    except OSError as wrong:
        raise InputError(
            f"--host {address.host} --port {address.port}: cannot be listened on ({wrong}). Fix: "
            "name an address of this machine and a free port."
        ) from wrong


def _start_log() -> None:
    """Log to standard error; the form's parser is silent, whose warnings show bytes of requests."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    LOG.propagate = False
    for name in ("python_multipart", "python_multipart.multipart", "multipart"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _forgo_files() -> str:
    """Give up writing to files, by the kernel's limits; return what holds now.

    A crash leaves no core either. Where the log goes to a file, the limit would end the log.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if any(_is_file(stream.fileno()) for stream in (sys.stdout, sys.stderr)):
        return "the log is a file, so this process may write to files; it writes to no other"
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    return "this process cannot write to any file from now on"


def _is_file(descriptor: int) -> bool:
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


@contextmanager
def _signals_end(server: uvicorn.Server) -> Iterator[None]:
    """Have a signal end the server, also before it listens; the process then ends by itself.

    When it is done, uvicorn raises the signal again, for whoever had a handler before.
    """
    before = {
        number: signal.signal(number, server.handle_exit)
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
