"""The ward server's queue: one works, few wait, and no place is taken by who has left."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from tests.support.ward_clients import FORM, HEAD, PATH, application, error, limits, post, wav

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import httpx
    import numpy as np
    import numpy.typing as npt


class HeldModel:
    """Begins, says so, and waits until it may end."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.may_end = threading.Event()
        self.calls = 0

    def recognise(self, samples: npt.NDArray[np.float32], rate: int) -> str:
        """Return a text, when it may."""
        self.calls += 1
        self.began.set()
        assert self.may_end.wait(5)
        return "held"


def test_a_busy_server_says_when_to_come_again() -> None:
    """One is transcribed, one waits, the third is refused; both get their texts."""
    model = HeldModel()
    app = application(model)

    async def ask() -> tuple[httpx.Response, list[httpx.Response]]:
        both = [asyncio.ensure_future(post(app)) for _ in range(2)]
        await asyncio.to_thread(model.began.wait, 5)
        third = await post(app)
        model.may_end.set()
        return third, await asyncio.gather(*both)

    refused, answered = asyncio.run(ask())
    assert (refused.status_code, error(refused)["code"]) == (503, "busy")
    assert error(refused)["type"] == "server_error"
    assert int(refused.headers["retry-after"]) >= 1
    assert [answer.json()["text"] for answer in answered] == ["held", "held"]


def test_time_that_is_up_is_told_and_frees_no_place_too_early() -> None:
    """The running one gets 504, the waiting one 503; a new one 503 until the work has ended."""
    model = HeldModel()
    app = application(model, limits=limits(answer_seconds=0.2))

    async def ask() -> tuple[Sequence[httpx.Response], httpx.Response, httpx.Response]:
        first = asyncio.ensure_future(post(app))
        await asyncio.to_thread(model.began.wait, 5)
        both = await asyncio.gather(first, post(app))
        waiting = asyncio.ensure_future(post(app))
        await asyncio.sleep(0.05)
        full = await post(app)
        await waiting
        model.may_end.set()
        for _ in range(100):
            if (after := await post(app)).status_code == 200:
                break
            await asyncio.sleep(0.01)
        return both, full, after

    (running, waited), full, after = asyncio.run(ask())
    assert (running.status_code, error(running)["code"]) == (504, "time_limit")
    assert (waited.status_code, error(waited)["code"]) == (503, "busy")
    assert full.status_code == 503
    assert after.json()["text"] == "held"
    assert model.calls == 2


def test_a_client_that_leaves_is_not_worked_for() -> None:
    """What waits is taken out of the queue."""
    model = HeldModel()
    app = application(model)

    async def ask() -> None:
        first = asyncio.ensure_future(post(app))
        await asyncio.to_thread(model.began.wait, 5)
        await _leave_while_waiting(app)
        # Its place is free.
        second = asyncio.ensure_future(post(app))
        await asyncio.sleep(0.05)
        model.may_end.set()
        assert (await first).status_code == (await second).status_code == 200

    asyncio.run(ask())
    assert model.calls == 2


async def _leave_while_waiting(app: Any) -> None:
    """Send a whole request to an application, and close the connection."""
    body = HEAD + wav() + b"\r\n--x--\r\n"
    messages: Iterator[dict[str, Any]] = iter(
        [{"type": "http.request", "body": body, "more_body": False}, {"type": "http.disconnect"}]
    )

    async def receive() -> dict[str, Any]:
        return next(messages)

    async def send(_: object) -> None:
        return

    headers = [(b"host", b"localhost"), (b"content-type", FORM["Content-Type"].encode())]
    scope = {"type": "http", "method": "POST", "path": PATH, "raw_path": PATH.encode()}
    scope |= {"headers": headers, "query_string": b"", "root_path": "", "http_version": "1.1"}
    await app({**scope, "scheme": "http", "client": None, "server": None}, receive, send)
