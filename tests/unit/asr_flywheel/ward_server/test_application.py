"""The ward server's answers and refusals, without a process."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import ward_clients
from tests.support.ward_clients import (
    FORM,
    HEAD,
    PATH,
    SMALL,
    TOKEN,
    application,
    client,
    error,
    limits,
    post,
    wav,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    import httpx
    import numpy as np
    import numpy.typing as npt


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
    app = application(limits=limits(upload_bytes=10_000_000, audio_seconds=200.0))
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
