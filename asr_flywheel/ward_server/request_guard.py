"""What every request passes: the token or the name of this host, and one way to fail.

It wraps the application, so that nothing of a request is logged, whatever happens in it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

from asr_flywheel.ward_server.api_errors import ApiError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOG = logging.getLogger("asr_flywheel.ward_server")
OPEN_PATH = "/health"
"""Asked without a token, by what watches the server; it says nothing about model or clinic."""
_DRAIN_S = 5.0
_LOGGED_PATHS = frozenset((OPEN_PATH, "/v1/models", "/v1/audio/transcriptions"))
LOOPBACK_NAMES = frozenset(("localhost", "127.0.0.1", "[::1]"))


class RequestGuard:
    """Lets requests through to an application, or answers them itself."""

    def __init__(self, app: ASGIApp, token: str | None, drain_bytes: int) -> None:
        """Guard an application.

        Args:
            app: what answers.
            token: that requests must bear; None for requests of this machine only.
            drain_bytes: how much of a refused request's body is read and dropped.
        """
        self._app = app
        self._token = None if token is None else _digest(token)
        self._drain_bytes = drain_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self._drain_bytes)
        try:
            self._check(scope["path"], Headers(scope=scope))
            await self._app(scope, exchange.receive, exchange.send)
        except ApiError as refused:
            await exchange.answer(refused, scope)
        except Exception as wrong:  # noqa: BLE001 - a traceback's values may be a patient's words
            LOG.error("a request failed: %s", _place_of(wrong))  # noqa: TRY400 - likewise
        finally:
            exchange.log()

    def _check(self, path: str, headers: Headers) -> None:
        """Refuse a request without the token, or, where there is none, for another host's name.

        Without a token a page in a browser on this machine could ask under a name of its own that
        leads to 127.0.0.1, and read the answer.
        """
        if self._token is None:
            name = headers.get("host", "").lower()
            if _without_port(name) not in LOOPBACK_NAMES:
                raise ApiError(
                    HTTPStatus.FORBIDDEN,
                    "wrong_host",
                    "this server answers under the name localhost or 127.0.0.1 only.",
                )
            return
        if path == OPEN_PATH:
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        is_right = hmac.compare_digest(_digest(given.strip()), self._token)
        if scheme.lower() != "bearer" or not is_right:
            raise ApiError(
                HTTPStatus.UNAUTHORIZED,
                "invalid_api_key",
                "the token is missing or wrong. Send it as `Authorization: Bearer TOKEN`.",
                headers={"WWW-Authenticate": "Bearer"},
            )


class _Exchange:
    """One request and its answer.

    A client that is still sending when its connection is closed may lose the answer. So what is
    left of a refused request is read, within bounds, and dropped.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, drain_bytes: int) -> None:
        self._began = time.monotonic()
        self._line = f"{scope['method']} {_shown_path(scope['path'])}"
        self._receive = receive
        self._send = send
        self._drain_bytes = drain_bytes
        self._waits = "expect" in Headers(scope=scope)
        self._received = 0
        self._is_complete = False
        self._status = 0

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            self._is_complete = not message.get("more_body", False)
        else:
            self._is_complete = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["Cache-Control"] = "no-store"
            headers["X-Content-Type-Options"] = "nosniff"
            await self._drain()
        await self._send(message)

    async def answer(self, refused: ApiError, scope: Scope) -> None:
        """Send a refusal."""
        response = JSONResponse(refused.body, refused.status, refused.headers)
        await response(scope, self.receive, self.send)

    async def _drain(self) -> None:
        # A client that waits for leave to send has sent nothing.
        most = self._received + self._drain_bytes
        if self._waits and not self._received:
            return
        try:
            async with asyncio.timeout(_DRAIN_S):
                while not self._is_complete and self._received < most:
                    await self.receive()
        except TimeoutError:
            return

    def log(self) -> None:
        """Note what was asked and answered; no words, no sound, nobody's address."""
        LOG.info(
            "%s %d, %d bytes, %.2f s",
            self._line,
            self._status,
            self._received,
            time.monotonic() - self._began,
        )


def _digest(value: str) -> bytes:
    """Return a hash: comparing hashes takes the same time for every length."""
    return hashlib.sha256(value.encode("utf-8", "surrogateescape")).digest()


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


def _shown_path(path: str) -> str:
    """Return a path for the log; one that is not ours may hold anything."""
    return path if path in _LOGGED_PATHS else "(another path)"


def _place_of(wrong: BaseException) -> str:
    """Return an exception's type and where it was raised, without its words."""
    trace = wrong.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(wrong).__name__
    name = Path(trace.tb_frame.f_code.co_filename).name
    return f"{type(wrong).__name__} at {name}:{trace.tb_lineno}"
