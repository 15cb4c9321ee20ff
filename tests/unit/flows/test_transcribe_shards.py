"""What shards are told, before any worker decodes one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows import transcribe_shards
from flows.config import CycleConfig

if TYPE_CHECKING:
    import pytest


def test_a_shard_is_told_whole_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker runs in a folder of its own, where what was typed in a shell leads nowhere."""
    asked: list[dict[str, Any]] = []

    async def ask(_deployment: str, *, parameters: dict[str, Any], **_more: object) -> None:
        asked.append(parameters["config"])

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(transcribe_shards, "arun_deployment", ask)
    config = CycleConfig(cycle=Path("cycle1"), audio_roots=(Path("audio"),), shards=1)
    asyncio.run(transcribe_shards._ask(config, [tmp_path / "list.json"]))
    assert asked[0]["turn"]["cycle"] == str(tmp_path / "cycle1")
    assert asked[0]["turn"]["audio_roots"] == [str(tmp_path / "audio")]
