"""Recordings that wait for the one thread that transcribes; so many and no more."""

from __future__ import annotations

import asyncio
import math
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from asr_flywheel.ward_server.api_errors import ApiError
from tasks.common.counted import agreed, counted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from concurrent.futures import Future

Result = TypeVar("Result")
_LONGEST_RETRY_S = 60
_NEWEST_SHARE = 0.2


class RecognitionQueue:
    """One thread, and a bounded number of requests that have it or wait for it.

    A request has its place from before its upload until its work is done, also where its client
    has gone meanwhile. So memory is bounded by the number of places.
    """

    def __init__(self, waiting: int, answer_seconds: float) -> None:
        self._places = waiting + 1
        self._taken = 0
        self._answer_seconds = answer_seconds
        self._usual_seconds = 1.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="transcribe")

    @property
    def taken(self) -> int:
        """How many requests have a place."""
        return self._taken

    @asynccontextmanager
    async def place(self) -> AsyncIterator[QueuePlace]:
        """Hold a place while the block runs, and until its work is done.

        Raises:
            ApiError: 503, all places are taken.
        """
        if self._taken >= self._places:
            wait = min(max(math.ceil(self._usual_seconds * self._taken), 1), _LONGEST_RETRY_S)
            raise ApiError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "busy",
                f"{counted(self._taken, 'request')} {agreed(self._taken, 'is', 'are')} being "
                f"worked on, and no more are taken. Fix: try again in {wait} s.",
                headers={"Retry-After": str(wait)},
            )
        self._taken += 1
        place = QueuePlace(self)
        try:
            yield place
        finally:
            place.leave()

    def free(self) -> None:
        """Let another request have a place."""
        self._taken -= 1

    def submit(self, work: Callable[[], Result]) -> Future[Result]:
        """Have the thread do something after what it was given before."""
        return self._thread.submit(self._timed, work)

    def _timed(self, work: Callable[[], Result]) -> Result:
        began = time.monotonic()
        try:
            return work()
        finally:
            seconds = time.monotonic() - began
            self._usual_seconds += _NEWEST_SHARE * (seconds - self._usual_seconds)

    @property
    def answer_seconds(self) -> float:
        """Seconds from the end of an upload to its answer."""
        return self._answer_seconds

    def close(self) -> None:
        """Wait for the work at hand; nothing begins after it."""
        self._thread.shutdown(wait=True, cancel_futures=True)


class QueuePlace:
    """A request's place."""

    def __init__(self, queue: RecognitionQueue) -> None:
        self._queue = queue
        self._work: Future[object] | None = None

    async def run(
        self, work: Callable[[], Result], gone: Callable[[], Coroutine[None, None, None]]
    ) -> Result | None:
        """Return what the work returns; None where the client has gone before.

        Args:
            work: for the thread.
            gone: returns when the client has gone.

        Raises:
            ApiError: 503 or 504, the time is up.
        """
        future = self._queue.submit(work)
        self._work = future  # type: ignore[assignment]  # its result is of no interest here
        answer = asyncio.wrap_future(future)
        leaving = asyncio.ensure_future(gone())
        try:
            either: set[asyncio.Future[Any]] = {answer, leaving}
            await asyncio.wait(
                either,
                timeout=self._queue.answer_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if answer.done():
                return answer.result()
            never_began = future.cancel()
            if leaving.done():
                return None
            raise _late(self._queue.answer_seconds, never_began=never_began)
        finally:
            leaving.cancel()
            # Its result, or what it raises, comes too late for anybody.
            answer.cancel()

    def leave(self) -> None:
        """Free the place, after the work that nobody can stop."""
        if self._work is None or self._work.done():
            self._queue.free()
            return
        loop = asyncio.get_running_loop()
        self._work.add_done_callback(lambda _: loop.call_soon_threadsafe(self._queue.free))


def _late(seconds: float, *, never_began: bool) -> ApiError:
    if never_began:
        return ApiError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "busy",
            f"the recording waited for {seconds:g} s and was not begun. Fix: try again.",
            headers={"Retry-After": str(_LONGEST_RETRY_S)},
        )
    return ApiError(
        HTTPStatus.GATEWAY_TIMEOUT,
        "time_limit",
        f"the recording was not transcribed in {seconds:g} s. Send a shorter one.",
    )
