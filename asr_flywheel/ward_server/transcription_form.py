"""The form of a transcription request, parsed in memory.

Starlette writes an upload of more than 1 MB into a temporary file. Here none is written.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from asr_flywheel.ward_server.api_errors import ApiError, refuse
from asr_flywheel.ward_server.service_limits import MIB

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from starlette.requests import Request

    from asr_flywheel.ward_server.service_limits import ServiceLimits

_FIELDS = 32
_FIELD_BYTES = 1 << 16
_KNOWN = frozenset(
    (
        *("file", "model", "language", "response_format", "temperature", "prompt", "stream"),
        *("timestamp_granularities[]", "timestamp_granularities"),
    )
)
_WHOLE_RECORDING = "segment"
"""The only granularity: one segment, which is the recording."""
_LONGEST_NAME = 64


class ResponseFormat(StrEnum):
    """What the answer looks like."""

    JSON = "json"
    TEXT = "text"
    VERBOSE_JSON = "verbose_json"


@dataclass(frozen=True, slots=True)
class TranscriptionForm:
    """A request that can be carried out.

    Attributes:
        content: the uploaded file's bytes.
        response_format: of the answer.
        language: as the client named it; "" where it did not.
        warnings: what was ignored, and why.
    """

    content: bytes
    response_format: ResponseFormat
    language: str
    warnings: tuple[str, ...]


class _MemoryParser(MultiPartParser):
    """Starlette's parser, bounded; a ``SpooledTemporaryFile`` of size 0 never becomes a file."""

    spool_max_size = 0

    def __init__(self, request: Request, most: int) -> None:
        super().__init__(
            request.headers,
            self._chunks(request, most),
            max_files=1,
            max_fields=_FIELDS,
            max_part_size=_FIELD_BYTES,
        )
        self._is_whole = False

    def on_end(self) -> None:
        """Note that the last boundary was read, without which Starlette is content."""
        self._is_whole = True

    async def _chunks(self, request: Request, most: int) -> AsyncGenerator[bytes, None]:
        """Yield a body's bytes until they are too many; a header that states so many ends it."""
        stated = request.headers.get("content-length", "")
        if stated.isdecimal() and int(stated) > most:
            raise _too_large(most)
        received = 0
        async for chunk in request.stream():
            received += len(chunk)
            if received > most:
                raise _too_large(most)
            yield chunk
        if not self._is_whole:
            raise MultiPartException("it ends before its last boundary.")


async def read_form(request: Request, limits: ServiceLimits, model: str) -> TranscriptionForm:
    """Read a request's form.

    Args:
        request: with a body of multipart/form-data.
        limits: of size and time.
        model: the only one that is served.

    Raises:
        ApiError: it is no form, too large, too slow, or asks for what is not there.
        ClientDisconnect: the client has gone.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "multipart/form-data":
        raise ApiError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_content_type",
            "the body must be multipart/form-data with a field `file`.",
        )
    try:
        async with asyncio.timeout(limits.upload_seconds):
            form = await _MemoryParser(request, limits.upload_bytes).parse()
    except TimeoutError as slow:
        raise ApiError(
            HTTPStatus.REQUEST_TIMEOUT,
            "upload_too_slow",
            f"the request was not complete after {limits.upload_seconds:g} s.",
        ) from slow
    except MultiPartException as wrong:
        raise refuse("invalid_form", f"the form cannot be read: {wrong.message}") from wrong
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise refuse("missing_file", "file: is missing. Send the recording in it.", "file")
        content = await file.read()
    finally:
        await form.close()
    fields = {name: value for name, value in form.multi_items() if isinstance(value, str)}
    return _checked(content, fields, model)


def _too_large(most: int) -> ApiError:
    return ApiError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "request_too_large",
        f"the request is larger than {most / MIB:g} MiB. Send a shorter recording, or FLAC.",
    )


def _checked(content: bytes, fields: Mapping[str, str], model: str) -> TranscriptionForm:
    """Check what the client asks for."""
    if (asked := fields.get("model", model)) != model:
        raise ApiError(
            HTTPStatus.NOT_FOUND,
            "model_not_found",
            f"model: {_shown(asked)} is not served here; {model!r} is.",
            "model",
        )
    try:
        response_format = ResponseFormat(fields.get("response_format", ResponseFormat.JSON))
    except ValueError as unknown:
        raise refuse(
            "unsupported_response_format",
            f"response_format: {_shown(fields['response_format'])} is not one of "
            f"{', '.join(ResponseFormat)}.",
            "response_format",
        ) from unknown
    if fields.get("stream", "").lower() not in {"", "false", "0"}:
        raise refuse(
            "unsupported_stream", "stream: texts are not streamed. Leave it out.", "stream"
        )
    for name in ("timestamp_granularities[]", "timestamp_granularities"):
        if fields.get(name, _WHOLE_RECORDING) != _WHOLE_RECORDING:
            raise refuse(
                "unsupported_timestamps",
                f"{name}: {_shown(fields[name])} is not there. Leave it out.",
                name,
            )
    return TranscriptionForm(content, response_format, fields.get("language", ""), _warn(fields))


def _warn(fields: Mapping[str, str]) -> tuple[str, ...]:
    """Return what of a request is ignored."""
    warnings = []
    temperature = fields.get("temperature", "").strip()
    try:
        is_greedy = float(temperature or 0) == 0
    except ValueError as wrong:
        raise refuse(
            "invalid_temperature",
            f"temperature: {_shown(temperature)} is no number. Leave it out.",
            "temperature",
        ) from wrong
    if not is_greedy:
        warnings.append("temperature is ignored: decoding is greedy")
    if fields.get("prompt", "").strip():
        warnings.append("prompt is ignored: no phrases are boosted")
    unknown = sorted(name for name in fields if name not in _KNOWN and len(name) <= _LONGEST_NAME)
    warnings += [f"{name!r} is not known and ignored" for name in unknown]
    return tuple(warnings)


def _shown(value: str) -> str:
    return repr(value if len(value) <= _LONGEST_NAME else f"{value[:_LONGEST_NAME]}…")
