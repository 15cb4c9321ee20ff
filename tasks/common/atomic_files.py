"""Write files atomically, so that a reader never sees half of one, and hash them.

Everything is written under a temporary name in the target's own folder and then renamed, which is
atomic on one file system.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.common.errors import DiskFullError, InputError, is_disk_full

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


def check_target(target: Path) -> None:
    """Refuse a file's place that is a folder, or whose folder cannot be one or be written.

    Raises:
        InputError: nothing could be written there.
    """
    if target.is_dir():
        raise InputError(f"{target}: is a folder. Fix: name a file in it.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(target, error) from error
    require_writable(target.parent, "choose another place")


def require_writable(folder: Path, fix: str) -> None:
    """Refuse a folder into which this user may not write, before there is anything to write.

    Raises:
        InputError: names it and the fix.
    """
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(
            f"{folder}: this user may not write there. Fix: make it a folder that you may write "
            f"to, or {fix}."
        )


def unwritable(target: Path, error: OSError) -> InputError | DiskFullError:
    """Return the error of a place that cannot be written, or for which there is no room."""
    if is_disk_full(error):
        return DiskFullError(error, target)
    return InputError(f"{target}: cannot be written ({error}). Fix: choose another place.")


@contextmanager
def _full_disk_named(target: Path) -> Iterator[None]:
    """Name the target where the disk is full: what is written in pieces does not know its name."""
    try:
        yield
    except OSError as error:
        if is_disk_full(error) and not isinstance(error, DiskFullError):
            raise DiskFullError(error, target) from error
        raise


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``target`` and rename it there if the block ends well.

    Raises:
        InputError: the folder cannot be written.
        DiskFullError: there is no room; what was at ``target`` stays.
    """
    check_target(target)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", dir=target.parent)
    except OSError as error:
        raise unwritable(target, error) from error
    os.close(handle)
    temporary = Path(name)
    try:
        with _full_disk_named(target):
            yield temporary
            # mkstemp makes files that only their owner can read; a result is an ordinary file.
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def hidden_folder(target: Path) -> Iterator[Path]:
    """Yield a hidden folder beside ``target``, which is gone after the block unless it was moved.

    Raises:
        InputError: it cannot be written.
        DiskFullError: there is no room.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise unwritable(target, error) from error
    try:
        with _full_disk_named(target):
            yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def new_folder(target: Path, mode: int) -> Iterator[Path]:
    """Yield a hidden folder beside ``target``, which becomes it if the block ends well.

    Args:
        target: which is not there yet.
        mode: the rights of others. Its owner may read and write it, also where it is made after the
            rights of a source that nobody may write.

    Raises:
        InputError: it cannot be written, or ``target`` is there already.
        DiskFullError: there is no room.
    """
    refuse_taken(target)
    with hidden_folder(target) as work:
        yield work
        work.chmod(mode | stat.S_IRWXU)  # until then only its owner can read it
        try:
            work.replace(target)
        except OSError:
            refuse_taken(target)  # another process was faster
            raise


def refuse_taken(target: Path) -> None:
    """Refuse a place for a new folder that is taken.

    Raises:
        InputError: something is there.
    """
    if os.path.lexists(target):
        raise InputError(f"{target}: is there already. Fix: name another folder, or remove it.")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def move(source: Path, target: Path) -> None:
    """Move a file; from another file system it is copied, and appears only when it is whole."""
    with atomic_path(target) as temporary:
        shutil.move(source, temporary)


def link(source: Path, target: Path) -> None:
    """Have a file under another name too; a copy where the file system has no links."""
    with atomic_path(target) as temporary:
        temporary.unlink(missing_ok=True)
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)


def write_text(target: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(target: Path, value: object) -> None:
    """Write one JSON document atomically: indented, so that people can read it."""
    write_text(target, json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def write_jsonl(target: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line, atomically."""
    with (
        atomic_path(target) as temporary,
        temporary.open("w", encoding="utf-8", newline="\n") as out,
    ):
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:  # noqa: ANN401 - the caller owns the format and checks it
    """Read one JSON document.

    Raises:
        InputError: there is no such file, or it is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as JSON ({error}).") from error


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read JSONL that this tool wrote itself; a user's files are read by their own module.

    Raises:
        InputError: there is no such file, or a line is not a JSON object.
    """
    try:
        # Not splitlines(): it also splits at characters that may stand inside a JSON string.
        lines = path.read_text(encoding="utf-8").split("\n")
        rows = [json.loads(line) for line in lines if line]
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as JSON lines ({error}).") from error
    if not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path}: every line must be a JSON object.")
    return rows
