"""The ward server's answers and refusals, without a process."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import ward_clients
from tests.support.ward_clients import PATH, SMALL, application, client, post, wav

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    import httpx
    import numpy as np
    import numpy.typing as npt

TOKEN = "0123456789abcdef"  # noqa: S105 - of this test
HEAD = (
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n'
    b"Content-Type: audio/wav\r\n\r\n"
)
FORM = {"Content-Type": "multipart/form-data; boundary=x"}


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


class FailingModel:
    """Fails with a patient's words in its message."""

    def recognise(self, samples: npt.NDArray[np.float32], rate: int) -> str:
        """Fail."""
        raise RuntimeError("apixaban for Mrs Smith")


class WriteWatch:
    """Notes each file that this process opens to write; libraries' own opens in C are not seen."""

    def __init__(self) -> None:
        self.on = False
        self.written: list[str] = []

    def audit(self, event: str, arguments: Sequence[Any]) -> None:
        """Take note of an audit event."""
        if self.on and event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            self.written.append(str(arguments[0]))


WATCH = WriteWatch()
sys.addaudithook(WATCH.audit)


def error(response: httpx.Response) -> dict[str, Any]:
    """OpenAI's error object of an answer."""
    found = response.json()["error"]
    assert isinstance(found, dict)
    assert set(found) == {"message", "type", "param", "code"}
    return found


def raw(
    app: Any, *chunks: bytes, pause: float = 0, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    """Send a body in parts, without a stated length."""

    async def parts() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk
            await asyncio.sleep(pause)

    async def ask() -> httpx.Response:
        async with client(app) as asking:
            return await asking.post(PATH, content=parts(), headers={**FORM, **(headers or {})})

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("response_format", "expected"),
    [
        ("json", {"text": "1 6 0 0 0", "usage": {"type": "duration", "seconds": 1.0}}),
        (
            "verbose_json",
            {
                "text": "1 6 0 0 0",
                "task": "transcribe",
                "language": "en",
                "duration": 1.0,
                "segments": [{"id": 0, "start": 0.0, "end": 1.0, "text": "1 6 0 0 0"}],
                "usage": {"type": "duration", "seconds": 1.0},
            },
        ),
    ],
)
def test_a_text_comes_in_the_form_that_is_asked_for(
    response_format: str, expected: dict[str, Any]
) -> None:
    """With the fields of OpenAI's API that can be filled truthfully."""
    app = application(languages=("en",))
    answer = asyncio.run(
        post(
            app,
            fields={
                "model": "ward",
                "response_format": response_format,
                "language": "en-GB",
                "temperature": "0",
            },
        )
    )
    assert answer.status_code == 200
    if "language" in expected:
        expected = {**expected, "language": "en-GB"}
    assert answer.json() == expected
    assert answer.headers["cache-control"] == "no-store"


def test_plain_text_ends_with_its_line() -> None:
    """As OpenAI's does."""
    answer = asyncio.run(post(application(), fields={"response_format": "text"}))
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text == "1 6 0 0 0\n"


def test_what_is_ignored_is_told() -> None:
    """In the answer and in a header, whose bytes are ASCII whatever a client names a field."""
    answer = asyncio.run(
        post(
            application(),
            fields={"temperature": "0.7", "prompt": "apixaban", "language": "fr", "größe": "1"},
        )
    )
    told = answer.json()["warnings"]
    for word in ("temperature", "no phrases", "language", "größe"):
        assert any(word in warning for warning in told), word
    assert "temperature is ignored" in answer.headers["x-warning"]
    assert "apixaban" not in answer.text


REFUSED: dict[str, tuple[dict[str, str], int, str, str]] = {
    "another model": ({"model": "whisper-1"}, 404, "model_not_found", "'ward' is"),
    "subtitles": ({"response_format": "srt"}, 400, "unsupported_response_format", "verbose_json"),
    "a stream": ({"stream": "true"}, 400, "unsupported_stream", "Leave it out"),
    "words' times": (
        {"timestamp_granularities[]": "word"},
        400,
        "unsupported_timestamps",
        "Leave it out",
    ),
    "a temperature in words": ({"temperature": "hot"}, 400, "invalid_temperature", "'hot'"),
    "another language": ({"language": "fr"}, 400, "unsupported_language", "It knows en"),
    "a field of 65 kB": ({"prompt": "a" * 65_537}, 400, "invalid_form", "maximum size"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_there_is_refused(case: str) -> None:
    """In OpenAI's form, with what to send instead."""
    fields, status, code, words = REFUSED[case]
    answer = asyncio.run(post(application(languages=("en",)), fields=fields))
    assert (answer.status_code, error(answer)["code"]) == (status, code)
    assert words in error(answer)["message"]


def test_broken_audio_is_refused_in_words() -> None:
    """The reasons are those of audio_upload."""
    answer = asyncio.run(post(application(), b"RIFF"))
    assert answer.status_code == 400
    assert error(answer)["param"] == "file"


@pytest.mark.parametrize("stated", [True, False])
def test_an_upload_that_is_too_large_is_refused(*, stated: bool) -> None:
    """By the length that it states, or by the first byte too many."""
    app = application()
    if stated:
        answer = asyncio.run(post(app, bytes(SMALL.upload_bytes + 1)))
    else:
        answer = raw(app, HEAD, *[bytes(50_000)] * 5, b"\r\n--x--\r\n")
    assert answer.status_code == 413
    assert error(answer)["code"] == "request_too_large"


@pytest.mark.parametrize(
    ("chunks", "headers", "status", "code"),
    [
        ([b"{}"], {"Content-Type": "application/json"}, 415, "unsupported_content_type"),
        ([HEAD, b"RIFF"], {"Content-Type": "multipart/form-data"}, 400, "invalid_form"),
        ([b"no form at all"], {}, 400, "invalid_form"),
        ([b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n"], {}, 400, "invalid_form"),
        ([HEAD, b"1\r\n", HEAD, b"2\r\n--x--\r\n"], {}, 400, "invalid_form"),
        ([HEAD, b"RIFF"], {}, 400, "invalid_form"),
        ([b"--x--\r\n"], {}, 400, "missing_file"),
        (
            [b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nRIFF\r\n--x--\r\n'],
            {},
            400,
            "missing_file",
        ),
    ],
)
def test_a_form_that_is_none_is_refused(
    chunks: list[bytes], headers: dict[str, str], status: int, code: str
) -> None:
    """Cut, without a boundary or a name, with two files, or none."""
    answer = raw(application(), *chunks, headers=headers)
    assert (answer.status_code, error(answer)["code"]) == (status, code), answer.text


def test_a_client_that_sends_too_slowly_is_refused() -> None:
    """Its place is free again."""
    app = application()
    answer = raw(app, *[HEAD] * 4, pause=0.1)
    assert (answer.status_code, error(answer)["code"]) == (408, "upload_too_slow")
    assert asyncio.run(post(app)).status_code == 200


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
    app = application(model, limits=_replace(answer_seconds=0.2))

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


def test_models_say_what_is_served() -> None:
    """And what is not: the engine has no boosting."""

    async def ask() -> dict[str, Any]:
        async with client(application(facts={"boosting": "none"})) as asking:
            found = (await asking.get("/v1/models")).json()["data"]
            return dict(found[0])

    card = asyncio.run(ask())
    assert (card["id"], card["object"], card["boosting"]) == ("ward", "model", "none")


def test_no_address_of_documentation_is_there() -> None:
    """FastAPI's pages would fetch scripts from elsewhere; other addresses are refused as usual."""

    async def ask(path: str) -> httpx.Response:
        async with client(application()) as asking:
            return await asking.get(path)

    for path in ("/docs", "/redoc", "/openapi.json", "/nothing"):
        answer = asyncio.run(ask(path))
        assert (answer.status_code, error(answer)["code"]) == (404, "not_found")
    assert asyncio.run(ask(PATH)).status_code == 405


def test_a_large_upload_is_never_a_file() -> None:
    """Starlette's own parser would write it into one, from 1 MB on."""
    app = application(limits=_replace(upload_bytes=10_000_000, audio_seconds=200.0))
    content = wav(150 * ward_clients.RATE)
    assert len(content) > 4_000_000
    asyncio.run(post(app, wav()))  # what is loaded on the first request
    WATCH.written.clear()
    WATCH.on = True
    try:
        answer = asyncio.run(post(app, content))
    finally:
        WATCH.on = False
    assert answer.status_code == 200
    assert WATCH.written == []


def test_logs_hold_no_word_of_a_request(caplog: pytest.LogCaptureFixture) -> None:
    """Neither texts, names of files, prompts, tokens and addresses, nor what an error says."""
    logger = logging.getLogger("asr_flywheel.ward_server")
    caplog.set_level(logging.DEBUG)
    logger.setLevel(logging.DEBUG)
    secret = {"Authorization": f"Bearer {TOKEN}"}
    asyncio.run(post(application(token=TOKEN), headers=secret, fields={"prompt": "warfarin"}))
    failed = asyncio.run(post(application(FailingModel()), fields={"prompt": "warfarin"}))
    assert (failed.status_code, error(failed)["code"]) == (500, "internal_error")

    async def ask() -> None:
        async with client(application()) as asking:
            await asking.get("/warfarin?q=warfarin")

    asyncio.run(ask())
    ours = [record.getMessage() for record in caplog.records if "asyncio" not in record.name]
    lines = "\n".join(line for line in ours if "HTTP Request" not in line)
    assert f"POST {PATH} 200" in lines
    assert "RuntimeError at test_application.py" in lines
    for word in ("warfarin", "apixaban", "Smith", "1 6 0", "dictation", TOKEN, "localhost"):
        assert word not in lines
        assert word not in failed.text


def _replace(**named: Any) -> Any:
    from dataclasses import replace  # noqa: PLC0415 - here alone

    return replace(SMALL, **named)
