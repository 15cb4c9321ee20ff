"""The outbox of a tracked run: everything that is to be sent, in the order in which it came.

``cycle<N>/.tracking/<run>/outbox.jsonl`` is appended to and never changed. Each line has a number
and a key; a line with the key and content of an earlier one is not added. ``files/`` holds what is
to be uploaded until it is sent. ``sent-<server>.json`` says up to which number a server has it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files, hashing
from tasks.common.errors import InputError
from tasks.common.schemas import KEY, Schema
from tasks.records.tracking.tracking_names import as_number, shortened, tracking_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

FOLDER = ".tracking"
OUTBOX_NAME = "outbox.jsonl"
_FILES = "files"
_SENT = "sent-"
_NUMBERING = frozenset(("n", "key", "time"))


class OutboxBusyError(InputError):
    """Another process sends this outbox."""


@dataclass
class SentState:
    """What a server has of an outbox.

    Attributes:
        uri: the server's address, which holds no credentials.
        sent: the number of the last line that it has.
        experiment: its id there; None before the first line.
        run: its id there.
        texts: uploaded files that hold texts of rows, for a purge.
        refused: lines that the server refused, or that could not be sent, and why.
        problem: why the last attempt ended early; None where it did not.
    """

    uri: str
    sent: int = 0
    experiment: str | None = None
    run: str | None = None
    texts: list[str] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    problem: str | None = None


def _read_state(path: Path) -> SentState:
    document = atomic_files.read_json(path)
    Schema.TRACKING.check(document, path)
    return SentState(**{name: value for name, value in document.items() if name != KEY})


class Outbox:
    """The outbox of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / OUTBOX_NAME
        self._known: dict[str, dict[str, Any]] = {}
        self._last = 0
        self._size = 0

    @property
    def key(self) -> str:
        """The run's key, by which a server's run is found again."""
        return self.folder.name

    @property
    def last(self) -> int:
        """The number of the last line; ``load`` looks for new ones."""
        return self._last

    @property
    def started(self) -> float:
        """When the run was first started, in seconds since the epoch; now before that is known."""
        self.load()
        begin = self._known.get("begin:run")
        return time.time() if begin is None else float(begin["started"]) / 1000

    def load(self) -> list[dict[str, Any]]:
        """Read the lines that were added since the last call, of this or another process."""
        if not self.path.is_file():
            return []
        with self.path.open("rb") as stream:
            if os.fstat(stream.fileno()).st_size < self._size:  # a purge took lines out of it
                self._size, self._known = 0, {}
            stream.seek(self._size)
            new = stream.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._size += len(whole)
        lines = [line for line in map(_parse, whole.splitlines()) if line is not None]
        for line in lines:
            self._known[line["key"]] = _content(line)
            self._last = max(self._last, line["n"])
        return lines

    def lines(self) -> list[dict[str, Any]]:
        """Read all lines."""
        self._size, self._known, self._last = 0, {}, 0
        return self.load()

    def add(self, kind: str, key: str, **content: Any) -> bool:  # noqa: ANN401 - JSON values
        """Append a line, unless the newest one of this key says the same.

        Returns:
            Whether it was appended.

        Raises:
            OSError: it cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            self._drop_torn_end()
            self.load()
            full_key = f"{kind}:{key}"
            wanted = json.loads(json.dumps({"kind": kind, **content}, allow_nan=False))
            if self._known.get(full_key) == wanted:
                return False
            line = {"n": self._last + 1, "key": full_key, "time": time.time_ns() // 10**6, **wanted}
            text = json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n"
            # The kernel has it then: a kill of this process loses nothing.
            stream.write(text.encode())
            stream.flush()
            self.load()
        return True

    def _drop_torn_end(self) -> None:
        """Cut off a line whose writer was killed in its middle."""
        with self.path.open("rb+") as stream:
            size = stream.seek(0, os.SEEK_END)
            if size == 0:
                return
            stream.seek(size - 1)
            if stream.read() == b"\n":
                return
            stream.seek(0)
            stream.truncate(stream.read().rfind(b"\n") + 1)

    def add_metric(self, name: str, value: object, step: int = 0) -> None:
        """Append a figure; one that MLflow would change becomes a tag that says so."""
        if value is None:
            return
        number = as_number(value)
        clean = tracking_name(name)
        if number is None:
            self.add_tag(f"not_finite.{clean}", f"{value} at step {step}")
        else:
            self.add("metric", f"{clean}@{step}", name=clean, value=number, step=step)

    def add_metrics(self, figures: Mapping[str, object], step: int = 0) -> None:
        """Append figures of one step."""
        for name, value in figures.items():
            self.add_metric(name, value, step)

    def add_parameter(self, name: str, value: object) -> None:
        """Append a parameter, which a server never changes: another value becomes a tag."""
        clean, text = tracking_name(name), shortened(value)
        self.load()
        known = self._known.get(f"param:{clean}")
        if known is None:
            self.add("param", clean, name=clean, value=text)
        elif known["value"] != text:
            self.add_tag(f"later.{clean}", text)

    def add_tag(self, name: str, value: object) -> None:
        """Append a tag; its newest value counts."""
        clean = tracking_name(name)
        self.add("tag", clean, name=clean, value=shortened(value))

    def add_file(
        self,
        path: Path,
        place: str,
        *,
        texts: bool,
        kind: str = "artifact",
        **more: Any,  # noqa: ANN401 - JSON values
    ) -> None:
        """Append a file to upload, and keep its present content until it is sent.

        Args:
            path: the file.
            place: its folder among the run's artifacts; "" for none.
            texts: whether it holds texts of rows.
            kind: of the line.
            more: of the line.
        """
        sha256 = hashing.sha256(path)
        kept = self.folder / _FILES / sha256[:16] / path.name
        same = self._known.get(f"{kind}:{place}/{path.name}", {}).get("sha256") == sha256
        if not same and not kept.is_file():
            atomic_files.link(path, kept)
        origin = path.as_posix()
        self.add(
            kind,
            f"{place}/{path.name}",
            name=path.name,
            place=place,
            sha256=sha256,
            texts=texts,
            origin=origin,
            **more,
        )

    def close_killed(self) -> None:
        """Append that a run was killed which has said nothing of its end.

        Call it with the cycle's lock, which no run that still goes on has left.
        """
        statuses = [line["status"] for line in self.lines() if line["kind"] == "status"]
        if statuses and statuses[-1] == "RUNNING":
            self.add("status", "run", status="KILLED")

    def add_standing(self, model: str, standing: Mapping[str, Any]) -> None:
        """Append which kept models are champion and candidate, unless that is what it says.

        Args:
            model: the clinic's name in the registry.
            standing: their SHA-256, and when it was ``decided``, in milliseconds.
        """
        self.load()
        known = {**self._known.get("champion:registry", {}), "decided": standing["decided"]}
        if known != {"kind": "champion", "model": model, **standing}:
            self.add("champion", "registry", model=model, **standing)

    def kept_file(self, line: Mapping[str, Any]) -> Path:
        """Return where the content of a file's line is kept until it is sent."""
        return self.folder / _FILES / str(line["sha256"])[:16] / str(line["name"])

    def drop_file(self, line: Mapping[str, Any]) -> None:
        """Forget the kept content of a file that was sent."""
        kept = self.kept_file(line)
        kept.unlink(missing_ok=True)
        with suppress(OSError):  # another file has the same content
            kept.parent.rmdir()

    def sent_path(self, uri: str) -> Path:
        """Return the path of what a server has."""
        return self.folder / f"{_SENT}{hashlib.sha256(uri.encode()).hexdigest()[:12]}.json"

    def read_sent(self, uri: str) -> SentState:
        """Read what a server has."""
        path = self.sent_path(uri)
        return _read_state(path) if path.is_file() else SentState(uri)

    def write_sent(self, state: SentState) -> None:
        """Write what a server has."""
        atomic_files.write_json(self.sent_path(state.uri), Schema.TRACKING.mark(vars(state)))

    def sent_states(self) -> list[SentState]:
        """Read what each server has."""
        paths = sorted(self.folder.glob(f"{_SENT}*.json"))
        return [_read_state(path) for path in paths]

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Be the only process that sends it.

        Raises:
            OutboxBusyError: another one does.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OutboxBusyError(
                    f"{self.folder}: another process sends it just now. Fix: wait until the run "
                    "has ended, and give the same command again."
                ) from None
            yield


def outboxes(cycle: Path) -> list[Outbox]:
    """List the outboxes of a cycle, the oldest first."""
    found = [Outbox(path.parent) for path in (cycle / FOLDER).glob(f"*/{OUTBOX_NAME}")]
    begun = {outbox: (outbox.lines() or [{"time": 0}])[0]["time"] for outbox in found}
    return sorted(found, key=lambda outbox: (begun[outbox], outbox.key))


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return a line; None where it was damaged."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and {"n", "key", "kind"} <= set(value) else None


def _content(line: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name not in _NUMBERING}
