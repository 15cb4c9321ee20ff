"""A cycle's folder whose programs share a container, with a program server that begins at once."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tasks.runtimes.base import ENTRY, Job, JobResult
from tests.support import docker_daemon

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tasks.runtimes.container import ContainerRuntime

LABELS = {"test": "shared-container"}
SERVER = (ENTRY / "program_server.py").read_text(encoding="utf-8")
START = '_LIBRARIES = (\n    "lightning.pytorch",'
# A program of each name says what its request says, in Python.
SAYS = """
import json, sys
request = json.load(open(sys.argv[1]))
exec(request["source"])
"""


def without_libraries(server: str = SERVER) -> str:
    """The program server that has nothing to import."""
    assert START in server
    return server.replace(START, '_LIBRARIES = ()\n_UNUSED = (\n    "lightning.pytorch",')


@dataclass
class SharedPlace:
    """A cycle's folder, a runtime that shares a container for it, and what it told."""

    folder: Path
    runtime: ContainerRuntime
    client: Any
    told: list[str] = field(default_factory=list)
    since: int = field(default_factory=lambda: int(time.time()))
    reads: tuple[Path, ...] = ()

    def share(self) -> None:
        """Begin a run."""
        self.runtime.share(self.folder, self.reads, self.told.append)

    def run(
        self,
        source: str,
        name: str = "transcription",
        *,
        reads: tuple[Path, ...] = (),
        poll: Callable[[], None] = lambda: None,
        runtime: Any = None,
        alone: bool = True,
    ) -> JobResult:
        """Run a program, whose work folder stays."""
        work = self.folder / f".{name}.work"
        work.mkdir(exist_ok=True)
        labels = {**LABELS, "cycle": str(self.folder)}
        job = Job(name, "transcribe.py", {"source": source}, work, reads, labels)
        result: JobResult = (runtime or self.runtime).execute(job, lambda _: None, poll)
        assert not work.is_symlink()
        if alone:
            assert list(self.folder.glob(".container-*.work/out/*")) == []
        return result

    def output(self, name: str = "transcription") -> str:
        """What a program printed."""
        return (self.folder / f".{name}.work" / f"{name}.log").read_text()

    def started(self) -> list[str]:
        """The names of the jobs whose containers were started."""
        return docker_daemon.jobs_started(self.client, self.since, self.folder)
