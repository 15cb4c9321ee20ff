"""The folder through which a run's container and the host exchange the files of one job at a time.

What a container sees is settled when it starts, and the work folders of later jobs have no names
yet. So the container can write to one folder that stays, and a job's files are in it while the job
runs. They are moved, not copied: the folder lies in the cycle's, on the same disk. Meanwhile the
work folder's own path is a link, by which everything on the host finds them.

What the container can write to is therefore what a container of the job's own could write to. It
cannot put anything in the place of the folder, which is a mount's root to it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.common import atomic_files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import PurePosixPath

_PREFIX, _SUFFIX = ".container-", ".work"


@dataclass(frozen=True, slots=True)
class ExchangeFolder:
    """A hidden folder in a cycle's folder.

    Attributes:
        path: its path, which only its owner may enter.
    """

    path: Path

    @property
    def out(self) -> Path:
        """The folder that the container can write to."""
        return self.path / "out"

    @property
    def inputs(self) -> Path:
        """The folder of links to what the job reads, as the container sees it."""
        return self.path / "in"

    @property
    def door(self) -> Path:
        """The folder of the socket through which the container's server asks for programs."""
        return self.path / "door"

    @property
    def _home(self) -> Path:
        return self.path / "home"

    @property
    def _aside(self) -> Path:
        return self.path / "aside"

    @classmethod
    def make(cls, folder: Path) -> ExchangeFolder:
        """Make one in a folder.

        Raises:
            OSError: it cannot be made.
        """
        made = cls(Path(tempfile.mkdtemp(prefix=_PREFIX, suffix=_SUFFIX, dir=folder)))
        for one in (made.out, made.inputs, made.door):
            one.mkdir()
            # Another user may be the container's; on the host nobody else gets this far.
            one.chmod(0o755)
        return made

    @classmethod
    def left_in(cls, folder: Path) -> list[ExchangeFolder]:
        """Return those that lie in a folder."""
        return [cls(path) for path in sorted(folder.glob(f"{_PREFIX}*{_SUFFIX}"))]

    @classmethod
    def of_work(cls, work: Path) -> ExchangeFolder | None:
        """Return the one that holds a work folder's files; None where they are in their place."""
        if not work.is_symlink():
            return None
        exchange = cls(work.readlink().parent)
        return exchange if exchange.path.name.startswith(_PREFIX) else None

    def take(self, work: Path) -> None:
        """Move a work folder's files here, and leave a link in its place.

        Raises:
            OSError: they cannot be moved, since they are on another disk; all is as it was.
        """
        # As seen from here: a clinic's folder may have been moved when it is put back.
        atomic_files.write_text(self._home, os.path.relpath(work, self.path))
        try:
            work.rename(self._aside)
            work.symlink_to(self.out, target_is_directory=True)
            for entry in list(self._aside.iterdir()):
                entry.rename(self.out / entry.name)
        except BaseException:
            self.give_back()
            raise

    def give_back(self) -> None:
        """Move the files back to where they came from; nothing if there are none.

        It goes on where it was interrupted, also after a take that was.
        """
        if not self._home.is_file():
            return
        note = self._home.read_text(encoding="utf-8")
        work = Path(os.path.normpath(self.path / note))
        if self._aside.is_dir():
            for entry in list(self.out.iterdir()):
                entry.rename(self._aside / entry.name)
            if work.is_symlink():
                work.unlink()
            if work.exists():  # another start has made it anew meanwhile
                for entry in list(self._aside.iterdir()):
                    if not (work / entry.name).exists():
                        entry.rename(work / entry.name)
                shutil.rmtree(self._aside)
            else:
                self._aside.rename(work)
        self._home.unlink()

    def link_inputs(self, links: Mapping[str, PurePosixPath]) -> None:
        """Let the container find these inputs under these names."""
        for path in list(self.inputs.iterdir()):
            path.unlink()
        for name, target in links.items():
            (self.inputs / name).symlink_to(target)

    def remove(self) -> None:
        """Give back what is here, and remove the folder."""
        with suppress(OSError):
            self.give_back()
        if not self._home.exists():
            shutil.rmtree(self.path, ignore_errors=True)
