"""The log of who did what with a clinic's data: one line an act, each bound to the one before.

``audit.jsonl`` lies beside the cycles. A line holds ids, counts and hashes, never a text and never
the name of a recording. Its hash covers its content and the hash of the line before it, so that a
line that was changed, removed or moved is found. ``.audit-head.json`` keeps the number and hash of
the last line, since a chain alone cannot know that its end was cut off.

Whoever may write both files can write a whole new chain. Note the head elsewhere to find that out.
"""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import socket
import time
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files, hashing
from tasks.common.errors import InputError
from tasks.common.schemas import Schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "audit.jsonl"
HEAD_NAME = ".audit-head.json"
FIRST = "0" * 64
"""What the first line names as the hash before it."""
_TAIL_BYTES = 1 << 20
"""Read at the end of the log to append a line, which is far shorter."""
_HASH, _PREVIOUS, _NUMBER = "hash", "previous", "n"


class AuditedAct(StrEnum):
    """The acts that are logged."""

    RUN = "run"
    BOOST = "boost"
    TRANSCRIBE = "transcribe"
    IMPORT = "import"
    LABEL = "label"
    COMBINE = "combine"
    SHEET = "sheet"
    REVIEW = "review"
    HANDOFF = "hand-off"
    EXPORT = "export"
    SERVING = "validate-serving"
    STORE_UPLOAD = "store-upload"
    STORE_DOWNLOAD = "store-download"
    TRACK = "track"
    PURGE = "purge"
    PURGE_EXPIRED = "purge-expired"
    ACCEPT = "accept"
    FORGET_KEY = "forget-key"
    REPAIR = "repair"


@dataclass(frozen=True, slots=True)
class AuditHead:
    """The end of a log: how many lines it has, and the last one's hash."""

    lines: int
    sha256: str


@dataclass(frozen=True, slots=True)
class AuditCheck:
    """What a verification found; ``problem`` is None where the chain holds."""

    head: AuditHead
    problem: str | None = None


def record(
    clinic: Path,
    act: AuditedAct,
    cycle: str | None = None,
    flow_run: str | None = None,
    **ids: object,
) -> None:
    """Append an act to a clinic's log; several processes may do so at the same time.

    Args:
        clinic: the folder that holds the cycles; the log is made if it is not there.
        act: what is done.
        cycle: name of the cycle's folder, such as ``cycle1``.
        flow_run: id of Prefect's flow run that does it.
        ids: ids, counts and hashes of models, runs and recordings. No text of a row, and no name of
            a recording.

    Raises:
        InputError: the log cannot be written, or its end is not what its head says.
    """
    with _locked(clinic) as handle:
        head = _read_head(clinic)
        size = os.fstat(handle).st_size
        content = _read_from(handle, max(0, size - _TAIL_BYTES))
        if content and not content.endswith(b"\n"):
            # The machine went down while a line was written; that act did not begin.
            whole = content[: content.rfind(b"\n") + 1]
            os.ftruncate(handle, size - len(content) + len(whole))
            repair: dict[str, Any] = {
                "act": AuditedAct.REPAIR.value,
                "flow_run": None,
                "cycle": None,
                "ids": {},
            }
            head = _append(clinic, handle, _end_of(whole), repair)
        else:
            head = _checked_end(clinic, content, head)
        what = {"act": act.value, "flow_run": flow_run, "cycle": cycle, "ids": ids}
        _append(clinic, handle, head, what)


def _append(clinic: Path, handle: int, head: AuditHead, what: dict[str, Any]) -> AuditHead:
    line = {
        _NUMBER: head.lines + 1,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "who": user_name(),
        "host": socket.gethostname(),
        **what,
        _PREVIOUS: head.sha256,
    }
    digest = hashing.fingerprint(line)
    text = json.dumps({**line, _HASH: digest}, ensure_ascii=False, allow_nan=False)
    os.write(handle, f"{text}\n".encode())
    os.fsync(handle)
    following = AuditHead(head.lines + 1, digest)
    _write_head(clinic, following)
    return following


def user_name() -> str:
    """Return the operating system's name of the user, whatever the environment says."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user without a name
        return f"uid {os.getuid()}"


@contextmanager
def _locked(clinic: Path) -> Iterator[int]:
    """Open the log for appending, alone."""
    path = clinic / NAME
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o640)
    except OSError as refused:
        raise InputError(
            f"{path}: the audit log cannot be written ({refused}), so that nothing is done. Fix: "
            "let this user write the file and its folder."
        ) from refused
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)


def _read_from(handle: int, start: int) -> bytes:
    os.lseek(handle, start, os.SEEK_SET)
    parts = []
    while part := os.read(handle, 1 << 20):
        parts.append(part)
    return b"".join(parts)


def _read_head(clinic: Path) -> AuditHead:
    path = clinic / HEAD_NAME
    if not path.is_file():
        return AuditHead(0, FIRST)
    head = atomic_files.read_json(path)
    Schema.AUDIT_HEAD.check(head, path)
    return AuditHead(int(head["lines"]), str(head["sha256"]))


def _write_head(clinic: Path, head: AuditHead) -> None:
    document = Schema.AUDIT_HEAD.mark({"lines": head.lines, "sha256": head.sha256})
    atomic_files.write_json(clinic / HEAD_NAME, document)


def _end_of(content: bytes) -> AuditHead:
    """Return what the log's last line says of itself."""
    if not content:
        return AuditHead(0, FIRST)
    last = json.loads(content.rstrip(b"\n").rpartition(b"\n")[2])
    return AuditHead(int(last[_NUMBER]), str(last[_HASH]))


def _checked_end(clinic: Path, content: bytes, head: AuditHead) -> AuditHead:
    """Return the end of the log; its head may be one line behind, after a kill.

    Raises:
        InputError: lines were cut off, or the last one was changed.
    """
    path = clinic / NAME
    try:
        end = _end_of(content)
    except (ValueError, KeyError, TypeError) as damaged:
        raise InputError(
            f"{path}: its last line is no line of the audit log ({damaged!r}). {_ADVICE}"
        ) from damaged
    if end == head or end.lines == head.lines + 1:
        return end
    raise InputError(
        f"{path}: ends with line {end.lines}, but {HEAD_NAME} says that it has {head.lines} lines. "
        f"{_ADVICE}"
    )


_ADVICE = (
    "Fix: find out what happened with `asr-flywheel audit FOLDER verify`, then bring both files "
    "back from a backup, or move both away, so that a new log begins."
)


def read_lines(clinic: Path) -> list[dict[str, Any]]:
    """Read a clinic's log, the oldest line first; empty where there is none.

    Raises:
        InputError: it cannot be read.
    """
    path = clinic / NAME
    return atomic_files.read_jsonl(path) if path.is_file() else []


def verify(clinic: Path) -> AuditCheck:
    """Check the whole chain, and its end against the head.

    Raises:
        InputError: there is no log.
    """
    path = clinic / NAME
    if not path.is_file():
        raise InputError(
            f"{path}: there is no audit log. Fix: name the folder that holds the cycles, or one "
            "of them."
        )
    with _locked(clinic) as handle:
        content, head = _read_from(handle, 0), _read_head(clinic)
    end = AuditHead(0, FIRST)
    lines = content.split(b"\n")
    if lines.pop():
        return AuditCheck(end, f"{path}: line {len(lines) + 1} is cut off in its middle.")
    for number, text in enumerate(lines, start=1):
        problem = _check_line(text, number, end)
        if problem is not None:
            return AuditCheck(end, f"{path}: line {number} {problem}.")
        end = AuditHead(number, str(json.loads(text)[_HASH]))
    if end != head and end.lines != head.lines + 1:
        return AuditCheck(
            end,
            f"{path}: has {end.lines} lines, but {HEAD_NAME} says {head.lines}: lines were removed "
            f"after line {end.lines}, or the head is of another log.",
        )
    return AuditCheck(end)


def _check_line(text: bytes, number: int, before: AuditHead) -> str | None:
    """Say what is wrong with a line; None where nothing is."""
    try:
        line = json.loads(text)
        digest, named, previous = line.pop(_HASH), line[_NUMBER], line[_PREVIOUS]
    except (ValueError, KeyError, TypeError, AttributeError):
        return "is no line of the audit log"
    if hashing.fingerprint(line) != digest:
        return "was changed: its hash is not that of its content"
    if named != number:
        return f"names itself line {named}: lines were removed, added or moved"
    if previous != before.sha256:
        return "does not follow the line before it: a line was replaced, removed or moved"
    return None
