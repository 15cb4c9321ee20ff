"""Phrase boosting in a container: its list is a read-only input, and an older NeMo is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tasks.common.errors import TranscriptionError
from tasks.transcription import boosting
from tests.support.shell_launchers import runtime

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_a_list_of_phrases_is_a_read_only_input(
    clean_engine: Any, tmp_path: Path, play_launcher: Callable[[str], None]
) -> None:
    """What the container runs can read it, and cannot change it; no list is left behind."""
    play_launcher("exit 0")
    (tmp_path / "entry" / boosting.PROGRAM).write_text(
        'list=$(sed -n \'s/.*"drugs": "\\([^"]*\\)".*/\\1/p\' "$1")\n'
        'cat "$list"; echo more >>"$list" || echo \'it cannot be changed\'; exit 1\n'
    )
    place = runtime(clean_engine)
    work = tmp_path / "work"
    with pytest.raises(TranscriptionError, match=r"(?s)aspirin.*heparin.*it cannot be changed"):
        boosting.decode_boosted(
            tmp_path / "entry" / "model.nemo",
            {"drugs": ("aspirin", "heparin")},
            [],
            work,
            place,
            lambda _: None,
        )
    assert [path.name for path in tmp_path.iterdir()] == ["entry"]


def test_a_nemo_without_boosting_is_refused_in_the_container(
    clean_engine: Any, tmp_path: Path, play_launcher: Callable[[str], None]
) -> None:
    """By a probe that trains nothing and loads no model."""
    play_launcher("exit 0")
    (tmp_path / "entry" / boosting.PROGRAM).write_text(
        "echo 'phrase boosting is not available: NeMo 2.4.0 has no boosting tree' >&2; exit 1\n"
    )
    with pytest.raises(TranscriptionError, match="no-boosting: phrases cannot be boosted here"):
        boosting.check_nemo(tmp_path / "work", runtime(clean_engine))
