"""The ward server's guard: the token, and the names under which pages may ask."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support.ward_clients import TOKEN, application, client, error, post


def test_the_token_is_asked_for() -> None:
    """Of every address but /health, before the body is looked at."""
    app = application(token=TOKEN)
    right = {"Authorization": f"Bearer {TOKEN}"}
    for wrong in ({}, {"Authorization": "Bearer x"}, {"Authorization": f"Basic {TOKEN}"}):
        answer = asyncio.run(post(app, b"RIFF", headers=wrong))
        assert (answer.status_code, error(answer)["code"]) == (401, "invalid_api_key")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert TOKEN not in answer.text
    assert asyncio.run(post(app, headers=right)).status_code == 200

    async def ask(path: str) -> int:
        async with client(app) as asking:
            return (await asking.get(path)).status_code

    assert asyncio.run(ask("/health")) == 200
    assert asyncio.run(ask("/v1/models")) == 401


def test_a_page_under_another_name_is_refused() -> None:
    """Where there is no token: a browser on this machine may be led here by a foreign page."""

    async def ask(host: str, **named: Any) -> int:
        async with client(application(**named), headers={"Host": host}) as asking:
            return (await asking.get("/v1/models")).status_code

    for host in ("localhost", "localhost:8765", "127.0.0.1:8765", "[::1]:8765"):
        assert asyncio.run(ask(host)) == 200, host
    for host in ("clinic.example", "127.0.0.1.clinic.example", ""):
        assert asyncio.run(ask(host)) == 403, host
