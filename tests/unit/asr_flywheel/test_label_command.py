"""``asr-flywheel label``: what it prints, for people and for programs."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from asr_flywheel import cli
from tests.support import factories

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_label_prints_what_it_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counts, files and notes; with --json the same for programs; a taken place exits with 2."""
    folder = factories.make_cycle(tmp_path)
    terms = tmp_path / "terms.csv"
    terms.write_text("term,entity_category\ndoctor,role\nchart,\nDoctor,drug\nstent,procedure\n")

    def call(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["asr-flywheel", "label", *map(str, arguments)])
        try:
            cli.main()
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0

    assert call(folder, "--terms", terms) == 0
    out = capsys.readouterr().out
    assert f"{tmp_path / 'labelled/cycle1'}: 10 rows with a term, 10 with several" in out
    assert "terms by category: drug: 5, procedure: 5, role: 10, without: 10" in out
    assert "1 of 3 terms, which no row has" in out
    assert "'Doctor' is drug, and role at" in out
    assert call(folder, "--terms", terms, "--out", tmp_path / "other/cycle1", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["rows"], told["general"], told["kept"]) == (10, 0, 10)
    assert call(folder, "--terms", terms) == 2
    assert "is there already" in capsys.readouterr().err
