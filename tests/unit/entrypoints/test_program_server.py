"""The program server in a container: what the kernel says of its memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tasks.entrypoints import program_server

if TYPE_CHECKING:
    from pathlib import Path

# As Linux 6.18 writes them, with version 2 of control groups and with version 1.
EVENTS = "low 0\nhigh 0\nmax 31\noom 4\noom_kill 3\noom_group_kill 0\nsock_throttled 0\n"
CONTROL = "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"


@pytest.mark.parametrize(("texts", "kills"), [((EVENTS,), 3), ((None, CONTROL), 2), ((), 0)])
def test_kills_for_memory_are_counted(
    texts: tuple[str | None, ...], kills: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By either version; where the kernel does not say, there are none."""
    files = tuple(tmp_path / str(number) for number in range(2))
    for file, text in zip(files, texts, strict=False):
        if text is not None:
            file.write_text(text)
    monkeypatch.setattr(program_server, "_OOM_COUNTS", files)
    assert program_server._oom_kills() == kills
