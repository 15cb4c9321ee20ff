"""``asr-flywheel import``: options that have a meaning only together."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from asr_flywheel import cli

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "option",
    [
        ("--max-duration", "12"),
        ("--terms", "terms.csv"),
        ("--least-score", "0.5"),
        ("--runtime", "container"),
        ("--image", "another:1"),
    ],
    ids=lambda option: option[0],
)
def test_what_is_for_cutting_is_refused_without_it(
    option: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nobody believes that an image converted the recordings, and nothing is written."""
    line = ["asr-flywheel", "import", str(tmp_path), str(tmp_path / "cycle1"), *option]
    monkeypatch.setattr(sys, "argv", line)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert f"{option[0]} without --cut has no meaning" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
