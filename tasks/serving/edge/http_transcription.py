"""The recordings of an evaluation, transcribed by a server with OpenAI's API."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx

from tasks.common.errors import FlywheelError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_BUSY = frozenset((HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS))
_ATTEMPTS = 20
_LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True, slots=True)
class TranscriptionServer:
    """A server that answers ``POST /v1/audio/transcriptions``.

    Attributes:
        address: such as ``http://127.0.0.1:8765``, without ``/v1``.
        model: name that it serves.
        token: that it asks for; None where it asks for none.
        timeout_s: for one answer.
    """

    address: str
    model: str
    token: str | None = None
    timeout_s: float = 120.0


def transcribe_over_http(
    server: TranscriptionServer, recordings: Sequence[Path], at_once: int = 4
) -> list[str]:
    """Send recordings as they are, and return their texts in the same order.

    A busy server is asked again when it says.

    Args:
        server: that transcribes.
        recordings: files in a format that it takes.
        at_once: requests at a time.

    Raises:
        InputError: the server refuses a recording; the message names it and repeats its reason.
        FlywheelError: the server is out of reach, or stays busy.
    """
    headers = {} if server.token is None else {"Authorization": f"Bearer {server.token}"}
    with (
        httpx.Client(
            base_url=server.address, headers=headers, timeout=server.timeout_s, trust_env=False
        ) as client,
        ThreadPoolExecutor(at_once) as pool,
    ):
        return list(pool.map(lambda path: _transcribe(client, server, path), recordings))


def _transcribe(client: httpx.Client, server: TranscriptionServer, path: Path) -> str:
    content = path.read_bytes()
    for _ in range(_ATTEMPTS):
        try:
            response = client.post(
                "/v1/audio/transcriptions",
                files={"file": (path.name, content)},
                data={"model": server.model, "response_format": "json"},
            )
        except httpx.TransportError as wrong:
            raise FlywheelError(
                f"{server.address}: does not answer ({wrong!r}). Fix: start it with `asr-flywheel "
                "serve BUNDLE`, or correct the address."
            ) from wrong
        if response.status_code == HTTPStatus.OK:
            return str(response.json()["text"])
        if response.status_code not in _BUSY:
            raise InputError(f"{path}: {server.address} refuses it: {_reason(response)}")
        time.sleep(min(_pause(response), _LONGEST_PAUSE_S))
    raise FlywheelError(
        f"{server.address}: was busy {_ATTEMPTS} times ({_reason(response)}). Fix: ask less at "
        "once, or when nobody else does."
    )


def _pause(response: httpx.Response) -> float:
    stated = response.headers.get("retry-after", "")
    return float(stated) if stated.isdecimal() else 1.0


def _reason(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"status {response.status_code}"
