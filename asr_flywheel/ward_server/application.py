"""The ward server's three addresses, in the form of OpenAI's API."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from asr_flywheel.ward_server.api_errors import ApiError, refuse
from asr_flywheel.ward_server.audio_upload import DecodedUpload, decode_upload
from asr_flywheel.ward_server.recognition_queue import RecognitionQueue
from asr_flywheel.ward_server.request_guard import OPEN_PATH, RequestGuard
from asr_flywheel.ward_server.transcription_form import ResponseFormat, read_form

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import numpy as np
    import numpy.typing as npt

    from asr_flywheel.ward_server.service_limits import ServiceLimits
    from asr_flywheel.ward_server.transcription_form import TranscriptionForm

_GONE = 499
"""nginx's status for a client that has gone; nobody receives it."""
_DRAIN_SHARE = 2
# FastAPI would send errors' words to a collector that the environment names.
_NO_TELEMETRY: Any = dict.fromkeys(
    ("tracing", "metrics", "logs", "operation_spans", "auto_configure"), False
)
_OWNER = "asr-flywheel"


class UtteranceModel(Protocol):
    """What transcribes; the application never calls it from two threads at a time."""

    def recognise(self, samples: npt.NDArray[np.float32], rate: int) -> str:
        """Return the text of samples from -1 to 1 at a rate in Hz, shape (samples,)."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model and what clients are told of it.

    Attributes:
        model: what transcribes.
        name: that clients ask for.
        rate: Hz that it listens at.
        languages: that it knows, as two letters each; empty where nobody knows.
        facts: for ``/v1/models``, beside OpenAI's fields.
    """

    model: UtteranceModel
    name: str
    rate: int
    languages: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


def create_application(
    served: ServedModel, limits: ServiceLimits, token: str | None = None
) -> RequestGuard:
    """Make the server's application.

    Args:
        served: what is served.
        limits: of a request.
        token: that requests must bear; None where only this machine can ask.
    """
    addresses = _Addresses(served, limits)
    # Its pages of documentation would have browsers fetch scripts from elsewhere.
    app = FastAPI(
        lifespan=addresses.lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        telemetry=_NO_TELEMETRY,
    )
    app.get(OPEN_PATH)(addresses.health)
    app.get("/v1/models")(addresses.models)
    app.post("/v1/audio/transcriptions")(addresses.transcriptions)
    app.exception_handler(HTTPException)(_refused_by_framework)
    app.exception_handler(ApiError)(_refused)
    app.exception_handler(Exception)(_failed)
    return RequestGuard(app, token, _DRAIN_SHARE * limits.upload_bytes)


class _Addresses:
    """What answers at each address."""

    def __init__(self, served: ServedModel, limits: ServiceLimits) -> None:
        self._served = served
        self._limits = limits
        self._queue = RecognitionQueue(limits.waiting, limits.answer_seconds)

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        yield
        self._queue.close()

    async def health(self) -> dict[str, str]:
        return {"status": "ok"}

    async def models(self) -> dict[str, Any]:
        card = {"id": self._served.name, "object": "model", "created": 0, "owned_by": _OWNER}
        return {"object": "list", "data": [{**card, **self._served.facts}]}

    async def transcriptions(self, request: Request) -> Response:
        async with self._queue.place() as place:
            try:
                form = await read_form(request, self._limits, self._served.name)
            except ClientDisconnect:
                return Response(status_code=_GONE)
            warnings = [*form.warnings, *_check_language(form.language, self._served.languages)]

            async def gone() -> None:
                while (await request.receive())["type"] != "http.disconnect":
                    pass

            done = await place.run(lambda: self._transcribe(form.content), gone)
        if done is None:
            return Response(status_code=_GONE)
        text, decoded = done
        if decoded.warning:
            warnings.append(decoded.warning)
        return _answer(text, decoded.seconds, form, warnings)

    def _transcribe(self, content: bytes) -> tuple[str, DecodedUpload]:
        rate = self._served.rate
        decoded = decode_upload(content, rate, self._limits.audio_seconds)
        return self._served.model.recognise(decoded.samples, rate), decoded


async def _refused_by_framework(_: Request, wrong: HTTPException) -> Response:
    status = HTTPStatus(wrong.status_code)
    answer = ApiError(status, status.name.lower(), f"{status.phrase}: see docs/ward-server.md.")
    return JSONResponse(answer.body, status, wrong.headers)


async def _refused(_: Request, wrong: ApiError) -> Response:
    return JSONResponse(wrong.body, wrong.status, wrong.headers)


async def _failed(_: Request, wrong: Exception) -> Response:
    # Its words may be a patient's; the guard logs where it was raised.
    answer = ApiError(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal_error",
        f"the server failed ({type(wrong).__name__}). Its log names the place.",
    )
    return JSONResponse(answer.body, answer.status)


def _check_language(asked: str, known: tuple[str, ...]) -> list[str]:
    """Return a warning where nobody knows the model's languages; refuse one that it lacks."""
    if not asked:
        return []
    if not known:
        return ["language is ignored: the bundle does not name the model's languages"]
    if asked.lower().replace("_", "-").partition("-")[0] not in known:
        shown = asked if len(asked) <= 8 else asked[:8] + "…"  # noqa: PLR2004 - a code's length
        raise refuse(
            "unsupported_language",
            f"language: {shown!r} is not the model's. It knows {', '.join(known)}.",
            "language",
        )
    return []


def _answer(text: str, seconds: float, form: TranscriptionForm, warnings: list[str]) -> Response:
    # A header is ASCII; names of fields come from the client.
    told = "; ".join(warnings).encode("ascii", "backslashreplace").decode()
    headers = {"X-Warning": told} if warnings else {}
    if form.response_format is ResponseFormat.TEXT:
        return PlainTextResponse(f"{text}\n", headers=headers)
    body: dict[str, Any] = {"text": text}
    if form.response_format is ResponseFormat.VERBOSE_JSON:
        body |= {
            "task": "transcribe",
            "language": form.language,
            "duration": round(seconds, 3),
            "segments": [{"id": 0, "start": 0.0, "end": round(seconds, 3), "text": text}],
        }
    body["usage"] = {"type": "duration", "seconds": round(seconds, 3)}
    if warnings:
        body["warnings"] = warnings
    return JSONResponse(body, headers=headers)
