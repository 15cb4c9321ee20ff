"""Files that this user may not read or write: one line with the path and a fix."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import factories
from tests.support.cli_cases import evaluated_cycle

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_file_that_this_user_may_not_write_is_an_error_with_a_fix(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever a command meets it; any other failure of the system keeps its traceback."""
    evaluated_cycle(tmp_path / "cycle1")

    def refuse(number: int) -> None:
        def read(path: Path) -> list[object]:
            raise OSError(number, "Refused", str(path))

        monkeypatch.setattr("tasks.data.manifest.read_manifest", read)

    for number in (errno.EACCES, errno.EROFS):
        refuse(number)
        code, _, errors = run("gate", str(tmp_path / "cycle1"))
        assert code == 2
        assert errors.startswith(f"error: {tmp_path / 'cycle1/manifest.jsonl'}: Refused. Fix: ")
    refuse(errno.EIO)
    with pytest.raises(OSError, match="Refused"):
        run("gate", str(tmp_path / "cycle1"))


def test_an_argument_that_this_user_may_not_read_is_named(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its path, and not by the argument's name in the program."""
    path = factories.write_rows(tmp_path / "march.jsonl", [])
    allowed = os.access
    monkeypatch.setattr("os.access", lambda one, how: allowed(one, how) and Path(one) != path)
    code, _, errors = run("score", str(path))
    assert code == 2
    assert errors.startswith(f"error: {path}: is not readable. Fix: give this user the right")
