"""``asr-flywheel import``: options that have a meaning only together."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import pytest

from asr_flywheel import cli
from tests.support import corpora

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "option",
    [
        ("--cut-base", "other.nemo"),
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
    assert f"{option[0]}: has no effect without --cut. Fix: add --cut" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


class Terminal(io.StringIO):
    """What a person types."""

    def isatty(self) -> bool:
        """A person is there."""
        return True


@pytest.mark.parametrize(("typed", "imported"), [("y\n", True), ("n\n", False), ("", False)])
def test_guessed_columns_are_shown_and_asked_for(
    typed: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    imported: bool,
) -> None:
    """On a terminal; no or no answer imports nothing, and says how to name them."""
    source = tmp_path / "source"
    corpora.write(source / "v.wav", corpora.speech(2))
    (source / "ehr.csv").write_text("Recording,Transcript,Ward\nv.wav,take aspirin,7\n")
    line = ["asr-flywheel", "import", str(source / "ehr.csv"), str(tmp_path / "cycle1")]
    monkeypatch.setattr(sys, "argv", line)
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    try:
        cli.main()
    except SystemExit as ended:
        assert imported == (ended.code in {0, None})  # noqa: PT017 - the program ends itself
    told = capsys.readouterr().err
    assert "Recording" in told
    assert told.count("Are these the columns?") == 1
    assert (tmp_path / "cycle1").exists() == imported


def test_a_row_that_a_run_would_refuse_is_told_at_the_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the longest row of the default recipe."""
    corpora.write(tmp_path / "source/a.wav", corpora.speech(21))
    (tmp_path / "source/a.txt").write_text("much was said")
    line = ["asr-flywheel", "import", str(tmp_path / "source"), str(tmp_path / "cycle1")]
    monkeypatch.setattr(sys, "argv", line)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    printed = capsys.readouterr()
    assert "row 1: a run refuses rows over 20 s" in printed.out
    assert "import again with --cut" in printed.out
