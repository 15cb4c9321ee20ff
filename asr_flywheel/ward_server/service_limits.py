"""What one request may cost."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """Limits of the ward server.

    Attributes:
        upload_bytes: size of a request's body.
        audio_seconds: length of a recording. Attention takes memory by its square.
        upload_seconds: for a client to send its request.
        answer_seconds: from the end of the upload to the answer.
        waiting: requests that wait while one is transcribed. Each holds its upload in memory.
    """

    upload_bytes: int = 25 * MIB
    audio_seconds: float = 120.0
    upload_seconds: float = 30.0
    answer_seconds: float = 60.0
    waiting: int = 8
