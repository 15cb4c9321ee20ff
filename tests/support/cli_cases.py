"""The program as a shell calls it, and an evaluated cycle for its commands."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from asr_flywheel import cli
from tasks.evaluation.hypotheses import write_hypotheses
from tests.support import factories

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest


def evaluated_cycle(folder: Path, rows: int = 120, missed: int = 42) -> Path:
    """A cycle with a manifest and a baseline of 100 rows, whose audio is not there."""
    folder.mkdir(parents=True)
    factories.write_rows(
        folder / "manifest.jsonl",
        [
            {
                "audio_filepath": f"audio/{place}.wav",
                "text": f"please give aspirin to the patient in room {place}",
                "term": "aspirin",
                "entity_category": "drug",
            }
            for place in range(rows)
        ],
    )
    write_hypotheses(folder / "offline_hyps.jsonl", factories.evaluated(missed, 100))
    return folder


def caller(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """A function that calls the program, in this process; exit code, output and errors."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["asr-flywheel", *map(str, arguments)])
        try:
            cli.main()
            code: Any = 0
        except SystemExit as ended:
            code = ended.code or 0
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call
