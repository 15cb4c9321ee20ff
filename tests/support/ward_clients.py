"""Requests to the ward server's application in this process, without a socket."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import soundfile

from asr_flywheel.ward_server.application import ServedModel, create_application
from asr_flywheel.ward_server.service_limits import ServiceLimits

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from asr_flywheel.ward_server.application import UtteranceModel
    from asr_flywheel.ward_server.request_guard import RequestGuard

PATH = "/v1/audio/transcriptions"
RATE = 16000
TOKEN = "0123456789abcdef"  # noqa: S105 - of tests
HEAD = (
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n'
    b"Content-Type: audio/wav\r\n\r\n"
)
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
SMALL = ServiceLimits(
    upload_bytes=200_000, audio_seconds=5, upload_seconds=0.2, answer_seconds=5, waiting=1
)


def limits(**named: Any) -> ServiceLimits:
    """The small limits, some of them changed."""
    return replace(SMALL, **named)


class LengthModel:
    """Writes how many samples it got."""

    def recognise(self, samples: npt.NDArray[np.float32], rate: int) -> str:
        """Return their number in words of one digit each."""
        return " ".join(str(len(samples)))


def encode_wav(samples: npt.NDArray[np.floating[Any]]) -> bytes:
    """A WAV of samples from -1 to 1, of 16 bits."""
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


def wav(samples: int = RATE) -> bytes:
    """A WAV of so many samples."""
    return encode_wav(np.full(samples, 0.1))


def application(
    model: UtteranceModel | None = None,
    limits: ServiceLimits = SMALL,
    token: str | None = None,
    **named: Any,
) -> RequestGuard:
    """The application around a model, with what is known of it."""
    served = ServedModel(model or LengthModel(), "ward", RATE, **named)
    return create_application(served, limits, token)


def client(app: RequestGuard, **named: Any) -> httpx.AsyncClient:
    """A client of an application."""
    transport = httpx.ASGITransport(app)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost", **named)


async def post(
    app: RequestGuard,
    content: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    fields: Mapping[str, str] | None = None,
) -> httpx.Response:
    """Ask for a transcription."""
    files = {"file": ("dictation.wav", wav() if content is None else content)}
    async with client(app) as asking:
        return await asking.post(PATH, files=files, data=dict(fields or {}), headers=headers)


def error(response: httpx.Response) -> dict[str, Any]:
    """OpenAI's error object of an answer."""
    found = response.json()["error"]
    assert isinstance(found, dict)
    assert set(found) == {"message", "type", "param", "code"}
    return found
