"""Refusals in the form that clients of OpenAI's API read."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any


class ApiError(Exception):
    """A request that is refused; the message says why, and what to send instead.

    Attributes:
        status: of the answer.
        code: one word for programs.
        parameter: the field that is wrong, if it is one.
        headers: of the answer, besides the usual ones.
    """

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        message: str,
        parameter: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.parameter = parameter
        self.headers = headers or {}

    @property
    def body(self) -> dict[str, Any]:
        """OpenAI's error object."""
        is_ours = self.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        return {
            "error": {
                "message": str(self),
                "type": "server_error" if is_ours else "invalid_request_error",
                "param": self.parameter,
                "code": self.code,
            }
        }


def refuse(code: str, message: str, parameter: str | None = None) -> ApiError:
    """Return the refusal of a request whose content is wrong."""
    return ApiError(HTTPStatus.BAD_REQUEST, code, message, parameter)
