"""Transcribing a cycle by a Riva endpoint: what leaves the machine, row by row, resumable.

Each answer is appended to a file at once, so that a rate limit, a cut connection or a kill loses no
row; when the cycle is whole, served_hyps.jsonl gets its name and that file goes.
"""

from __future__ import annotations

import json
import os
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tasks.common import atomic_files, hashing
from tasks.common.counted import agreed, counted
from tasks.common.errors import InputError
from tasks.data import audio_probe
from tasks.evaluation.hypotheses import hypothesis_for, write_hypotheses
from tasks.serving.riva_client import RivaResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tasks.data.preflight import CheckedRow
    from tasks.serving.riva_client import Client

SERVED_NAME = "served_hyps.jsonl"


class AudioDestination(Protocol):
    """Where recordings are sent to."""

    @property
    def host(self) -> str:
        """Its name or address."""

    @property
    def is_local(self) -> bool:
        """Whether it is this machine."""


@dataclass(frozen=True, slots=True)
class OutgoingAudio:
    """The audio that a transcription by an endpoint sends away.

    Attributes:
        rows: recordings.
        seconds: of audio, all together.
        host: where to.
        local: whether that is this machine.
    """

    rows: int
    seconds: float
    host: str
    local: bool

    def __str__(self) -> str:
        if self.local:
            return (
                f"{counted(self.rows, 'recording')} ({self.seconds / 60:.1f} min) "
                f"{agreed(self.rows, 'stays', 'stay')} on this machine."
            )
        return (
            f"{counted(self.rows, 'recording')} ({self.seconds / 60:.1f} minutes of audio, no "
            f"transcripts) {agreed(self.rows, 'leaves', 'leave')} this machine for {self.host}. "
            "If any of them is of a patient, stop here."
        )


def outgoing_audio(rows: Sequence[CheckedRow], destination: AudioDestination) -> OutgoingAudio:
    """Describe the audio that would be sent; send nothing."""
    seconds = sum(row.utterance.duration or 0.0 for row in rows)
    return OutgoingAudio(len(rows), round(seconds, 3), destination.host, destination.is_local)


def require_consent(audio: OutgoingAudio, *, consent: bool) -> None:
    """Stop before audio leaves the machine without somebody's word.

    Raises:
        InputError: it would, and nobody gave it.
    """
    if not audio.local and not consent:
        raise InputError(
            f"{audio} Fix: consent with --yes (audio_may_leave), or serve on this machine."
        )


@dataclass(frozen=True, slots=True)
class Served:
    """The answers of the endpoint for a cycle.

    Attributes:
        heard: one a row, in the cycle's order.
        asked: how many of them were asked for now; the others were kept from before.
        attempts: further attempts that were needed.
    """

    heard: tuple[RivaResult, ...]
    asked: int
    attempts: int


def partial_path(target: Path, client: Client, models: Sequence[dict[str, Any]]) -> Path:
    """Return the file for the answers until the cycle is whole, by endpoint, models and request.

    A new deployment behind the same address shows in what the endpoint says that it serves.
    """
    sent = [] if client.boost is None else [client.boost.key]
    key = hashing.fingerprint([client.endpoint.as_dict(), list(models), *sent])
    return target.with_name(f".{target.stem}.{key[:16]}.part")


def transcribe(
    rows: Sequence[CheckedRow],
    client: Client,
    target: Path,
    concurrency: int,
    report: Callable[[str], None] = lambda _: None,
) -> Served:
    """Recognise every row by the endpoint and write served_hyps.jsonl.

    Args:
        rows: that passed the preflight.
        client: the endpoint's.
        target: of the results.
        concurrency: calls under way at once.
        report: is told of progress and of waiting.

    Raises:
        ServingError: a row was not answered; all answers before it are kept for the next start.
        InputError: the folder cannot be written.
    """
    atomic_files.check_target(target)
    part = partial_path(target, client, client.served())
    answers = _read_partial(part)
    todo = {row.audio_sha256: row for row in rows if row.audio_sha256 not in answers}
    if answers and todo:
        report(
            f"{counted(len(rows) - len(todo), 'row')} "
            f"{agreed(len(rows) - len(todo), 'was', 'were')} answered before"
        )
    attempts = (
        _recognise_rows([*todo.values()], client, part, answers, concurrency, report) if todo else 0
    )
    results = tuple(answers[row.audio_sha256] for row in rows)
    write_hypotheses(
        target,
        (
            hypothesis_for(row.utterance, result.text)
            for row, result in zip(rows, results, strict=True)
        ),
    )
    part.unlink(missing_ok=True)
    return Served(results, len(todo), attempts)


def _recognise_rows(
    rows: Sequence[CheckedRow],
    client: Client,
    part: Path,
    answers: dict[str, RivaResult],
    concurrency: int,
    report: Callable[[str], None],
) -> int:
    """Ask for rows, several at once; each answer is on disk before the next is taken."""
    stopping = threading.Event()
    waited: list[str] = []

    def report_retry(line: str) -> None:
        waited.append(line)
        report(line)

    def recognise(row: CheckedRow) -> RivaResult:
        samples, rate = audio_probe.read_16_bits(row.audio)
        return client.recognise(
            samples.tobytes(), rate, row.utterance.audio_filepath, stopping, report_retry
        )

    with part.open("a", encoding="utf-8") as out, ThreadPoolExecutor(concurrency) as pool:
        under_way: dict[Future[RivaResult], CheckedRow] = {}
        try:
            for row in rows:
                under_way[pool.submit(recognise, row)] = row
            while under_way:
                completed, _ = wait(under_way, return_when=FIRST_COMPLETED)
                # The answers first: the row that failed may have come with others that did not.
                for future in sorted(completed, key=lambda call: call.exception() is not None):
                    row = under_way.pop(future)
                    result = future.result()
                    answers[row.audio_sha256] = result
                    _append(out, row.audio_sha256, result)
                report(f"{len(rows) - len(under_way)} of {counted(len(rows), 'row')}")
        except BaseException:
            # Also a cancelled run: what is under way ends at once instead of waiting its turn.
            # Rows that wait are cancelled first: a worker set free would take the next of them.
            pool.shutdown(wait=False, cancel_futures=True)
            stopping.set()
            _keep_finished(out, under_way, answers)
            raise
    return len(waited)


def _keep_finished(
    out: Any,  # noqa: ANN401 - a text file
    under_way: dict[Future[RivaResult], CheckedRow],
    answers: dict[str, RivaResult],
) -> None:
    """Keep the answers that came while another row failed."""
    for future, row in under_way.items():
        if future.done() and not future.cancelled() and future.exception() is None:
            answers[row.audio_sha256] = future.result()
            _append(out, row.audio_sha256, future.result())


def _append(out: Any, recording: str, result: RivaResult) -> None:  # noqa: ANN401 - a text file
    row = {"audio_sha256": recording, "text": result.text, "results": result.results}
    out.write(json.dumps({**row, "audio_seconds": result.audio_seconds}) + "\n")
    out.flush()
    os.fsync(out.fileno())


def _read_partial(part: Path) -> dict[str, RivaResult]:
    """Read the answers of an earlier start; drop a last line that a kill cut short."""
    if not part.is_file():
        return {}
    complete, _, cut = part.read_text(encoding="utf-8").rpartition("\n")
    if cut:
        atomic_files.write_text(part, complete + "\n" if complete else "")
    rows = [json.loads(line) for line in complete.split("\n") if line]
    return {
        row["audio_sha256"]: RivaResult(row["text"], row["results"], row["audio_seconds"])
        for row in rows
    }
