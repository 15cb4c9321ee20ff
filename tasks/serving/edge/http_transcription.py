"""The recordings of an evaluation, transcribed by a server with OpenAI's API."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from tasks.common.errors import FlywheelError, InputError
from tasks.common.loopback import is_loopback
from tasks.common.parameter_names import name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

TOKEN_VARIABLE = "ASR_FLYWHEEL_SERVER_TOKEN"  # noqa: S105 - its name
_BUSY = frozenset((HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS))
_ATTEMPTS = 20
_LONGEST_PAUSE_S = 30.0
_ADDRESS_FIX = "Fix: name it as `asr-flywheel serve` prints it, such as http://127.0.0.1:8765"


@dataclass(frozen=True, slots=True)
class TranscriptionServer:
    """A server that answers ``POST /v1/audio/transcriptions``.

    Attributes:
        address: such as ``http://127.0.0.1:8765``, without ``/v1``.
        model: name that it serves.
        token: that it asks for; None where it asks for none.
        timeout_s: for one answer.
        facts: what ``/v1/models`` says of the model.
    """

    address: str
    model: str = ""
    token: str | None = field(default=None, repr=False)
    timeout_s: float = 120.0
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """The host of the address."""
        return urlsplit(self.address).hostname or ""

    @property
    def is_local(self) -> bool:
        """Whether it is this machine, so that no audio leaves it."""
        return is_loopback(self.host)

    @property
    def fingerprint(self) -> str | None:
        """Of the bundle that it serves; None where it does not say."""
        stated = self.facts.get("fingerprint")
        return None if stated is None else str(stated)


def find_server(address: str, token: str | None = None) -> TranscriptionServer:
    """Check an address; ask nothing.

    Args:
        address: of the server, with or without ``/v1``.
        token: that it asks for.

    Raises:
        InputError: it is no address of a server, or the token would cross a network readable.
    """
    base = address.strip().rstrip("/").removesuffix("/v1")
    try:
        parts = urlsplit(base)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        usable = False
    # A password in an address would be shown by every message about it.
    if not usable or parts.path or parts.query or parts.fragment or "@" in parts.netloc:
        shown = repr(address) if "@" not in address else "it"
        raise InputError(
            f"{name_of('server')}: {shown} is no address of a server, with http:// or https:// "
            f"and no path. {_ADDRESS_FIX}."
        )
    server = TranscriptionServer(base, token=token or None)
    if server.token is not None and parts.scheme == "http" and not server.is_local:
        raise InputError(
            f"{name_of('server')} {base}: the token of {TOKEN_VARIABLE} would cross the network "
            "readable. Fix: start the server with --certificate and --key, and name it with https://."
        )
    return server


def ask_for_model(server: TranscriptionServer) -> TranscriptionServer:
    """Ask a server which model it serves.

    Raises:
        InputError: it refuses the token, or what answers there is no such server.
        FlywheelError: it does not answer.
    """
    with _client(server) as client:
        try:
            response = client.get("/v1/models")
        except httpx.TransportError as wrong:
            raise _silent(server, wrong) from wrong
    if response.status_code != HTTPStatus.OK:
        raise InputError(
            f"{server.address}/v1/models: {_reason(response)} Fix: export {TOKEN_VARIABLE} as the "
            "server has it, or correct the address."
        )
    try:
        (model,) = response.json()["data"]
        facts = {str(name): value for name, value in dict(model).items()}
        return TranscriptionServer(
            server.address, str(facts["id"]), server.token, server.timeout_s, facts
        )
    except (ValueError, KeyError, TypeError) as wrong:
        raise InputError(
            f"{server.address}/v1/models: does not name one model ({wrong!r}). {_ADDRESS_FIX}."
        ) from wrong


def transcribe_over_http(
    server: TranscriptionServer,
    recordings: Sequence[Path],
    at_once: int = 4,
    report: Callable[[int], None] = lambda _: None,
) -> list[str]:
    """Send recordings as they are, and return their texts in the same order.

    A busy server is asked again when it says. After a failure nothing more is sent.

    Args:
        server: that transcribes.
        recordings: files in a format that it takes.
        at_once: requests at a time.
        report: is told how many are done.

    Raises:
        InputError: the server refuses a recording; the message names it and repeats its reason.
        FlywheelError: the server is out of reach, or stays busy.
    """
    texts = []
    with _client(server) as client, ThreadPoolExecutor(at_once) as pool:
        asked = [pool.submit(_transcribe, client, server, path) for path in recordings]
        try:
            for number, answer in enumerate(asked, start=1):
                texts.append(answer.result())
                report(number)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return texts


def _client(server: TranscriptionServer) -> httpx.Client:
    headers = {} if server.token is None else {"Authorization": f"Bearer {server.token}"}
    return httpx.Client(
        base_url=server.address, headers=headers, timeout=server.timeout_s, trust_env=False
    )


def _transcribe(client: httpx.Client, server: TranscriptionServer, path: Path) -> str:
    content = path.read_bytes()
    for _ in range(_ATTEMPTS):
        try:
            response = client.post(
                "/v1/audio/transcriptions",
                # Names of files may be patients'; the server needs none.
                files={"file": (f"row{path.suffix}", content)},
                data={"model": server.model, "response_format": "json"},
            )
        except httpx.TransportError as wrong:
            raise _silent(server, wrong) from wrong
        if response.status_code == HTTPStatus.OK:
            return str(response.json()["text"])
        if response.status_code not in _BUSY:
            raise InputError(f"{path}: {server.address} refuses it: {_reason(response)}")
        time.sleep(min(_pause(response), _LONGEST_PAUSE_S))
    raise FlywheelError(
        f"{server.address}: was busy {_ATTEMPTS} times ({_reason(response)}). Fix: ask less at "
        "once, or when nobody else does."
    )


def _silent(server: TranscriptionServer, wrong: httpx.TransportError) -> FlywheelError:
    return FlywheelError(
        f"{server.address}: does not answer ({wrong!r}). Fix: start it with `asr-flywheel serve "
        "BUNDLE`, or correct the address."
    )


def _pause(response: httpx.Response) -> float:
    stated = response.headers.get("retry-after", "")
    return float(stated) if stated.isdecimal() else 1.0


def _reason(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"status {response.status_code}"
