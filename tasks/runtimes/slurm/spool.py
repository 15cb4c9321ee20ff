"""The folder through which a run and its job on a node talk: files of a file system that both see.

The run writes ``N.task.json``; the agent on the node answers with ``N.begun`` and ``N.exit.json``.
The run touches ``heartbeat`` while it waits. A file ``end``, or a heartbeat that is gone, ends the
agent; so does a higher number in ``restart``: Slurm has started the job again on another node.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from tasks.common import atomic_files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

EXIT_UNSEEN, EXIT_FULL, EXIT_ABANDONED = 41, 74, 75
"""How an agent's job ends: the node does not see the folder; it cannot be written to; nobody waits
any more."""


@dataclass(frozen=True, slots=True)
class Task:
    """A program for the agent to run.

    Attributes:
        argv: program and arguments.
        log: gets its output.
        cwd: its working directory.
        environment: what it gets besides the job's own variables.
        served_by: the interpreter whose program server forks it; "" starts it anew.
    """

    argv: list[str]
    log: str
    cwd: str
    environment: Mapping[str, str] = field(default_factory=dict)
    served_by: str = ""


@dataclass(frozen=True, slots=True)
class Spool:
    """The files of one job.

    Attributes:
        folder: it has one for itself.
    """

    folder: Path

    @property
    def heartbeat(self) -> Path:
        """The file that the run touches."""
        return self.folder / "heartbeat"

    @property
    def end(self) -> Path:
        """The file that ends an agent that has nothing to do."""
        return self.folder / "end"

    @property
    def restart(self) -> Path:
        """The file that holds how often Slurm has started the job again."""
        return self.folder / "restart"

    @property
    def owner(self) -> Path:
        """The file that names the run's process."""
        return self.folder / "owner"

    @property
    def job(self) -> Path:
        """The file that holds the job's id."""
        return self.folder / "job"

    @property
    def work(self) -> Path:
        """The file that names the folder that the newest task writes to."""
        return self.folder / "work"

    @property
    def script(self) -> Path:
        """The file that was submitted."""
        return self.folder / "job.sh"

    @property
    def log(self) -> Path:
        """The file that holds what script and agent print."""
        return self.folder / "slurm.log"

    @property
    def points(self) -> Path:
        """The folder of mount points in an image."""
        return self.folder / "mnt"

    def put(self, number: int, task: Task) -> None:
        """Write a task for the agent."""
        atomic_files.write_text(self._task(number), json.dumps(asdict(task)))

    def take(self, number: int) -> Task | None:
        """Return a task; None while it is not there."""
        path = self._task(number)
        return Task(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None

    def begun(self, number: int) -> Path:
        """Return the file by which the agent says that it has begun a task."""
        return self.folder / f"{number}.begun"

    def ended(self, number: int) -> Path:
        """Return the file with a task's exit code."""
        return self.folder / f"{number}.exit.json"

    def exit_code(self, number: int) -> int | None:
        """Return the exit code of a task; None while it runs."""
        try:
            text = self.ended(number).read_text(encoding="utf-8")
        except OSError:  # not there yet; some shared file systems know of it before they have it
            return None
        return int(json.loads(text)["exit"]) if text.strip() else None

    def _task(self, number: int) -> Path:
        return self.folder / f"{number}.task.json"
