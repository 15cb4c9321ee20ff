"""The benchmarks' table: this tree against an older one, in that one's own environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.__main__ import against_older, older_figures
from benchmarks.rows import BenchmarkRow
from tasks.common.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """#!/bin/sh
test "$1 $2 $3 $5 $6" = "-m benchmarks --json --only scoring" || exit 3
test -z "$PYTHONPATH" && test -f benchmarks/__main__.py || exit 4
cat >"$4" <<'END'
{"rows": [{"what": "scoring: jiwer", "ours": 50.0, "theirs": 5.0, "unit": "rows/s"},
          {"what": "gone", "ours": 1.0, "theirs": 1.0, "unit": "s"}]}
END
"""


@pytest.fixture
def older_tree(tmp_path: Path) -> Path:
    """A tree whose interpreter answers as its benchmarks would."""
    tree = tmp_path / "v0.1"
    (tree / "benchmarks").mkdir(parents=True)
    (tree / "benchmarks" / "__main__.py").touch()
    python = tree / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PROGRAM)
    python.chmod(0o755)
    return tree


def test_an_older_tree_is_measured_by_its_own_interpreter(
    older_tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What both measured of themselves is compared; what only one measured is no ratio."""
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    older = older_figures(older_tree, "scoring", None)
    ours = [
        BenchmarkRow("scoring: jiwer", 100.0, 10.0, "rows/s"),
        BenchmarkRow("new", 1.0, 1.0, "s"),
    ]
    (row,) = against_older(ours, older, older_tree.name)
    assert (row.what, row.theirs, row.ratio) == ("scoring: jiwer [against v0.1]", 50.0, 2.0)
    seconds = [BenchmarkRow("scoring: jiwer", 1.0, 10.0, "s")]
    assert list(against_older(seconds, older, "v0.1")) == []


def test_what_the_older_tree_lacks_is_named(older_tree: Path) -> None:
    """A program that fails says why; a tree without an environment gets the line that makes one."""
    with pytest.raises(RuntimeError, match=r"v0\.1"):
        older_figures(older_tree, "split", None)
    (older_tree / ".venv" / "bin" / "python").unlink()
    with pytest.raises(InputError, match="make setup"):
        older_figures(older_tree, "scoring", None)
