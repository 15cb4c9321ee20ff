"""The cache of hashes, used by several processes at once."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tasks.common import hashing
from tests.support.hashing_cases import LARGE

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(hashing, "_SETTLED_NS", -1)
    return tmp_path / "cache" / "asr-flywheel" / "hashes"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A file that is large enough to be worth it."""
    path = tmp_path / "model.nemo"
    path.write_bytes(LARGE)
    return path


def test_processes_may_share_it(model: Path) -> None:
    """Several at once write the same entry; each tells the right hash."""
    program = "import sys; from pathlib import Path; from tasks.common import hashing as hashes\n"
    program += "hashes._SETTLED_NS = -1\nprint(hashes.sha256(Path(sys.argv[1])))"
    several = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(model)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    told = {process.communicate()[0].strip() for process in several}
    assert told == {hashing.sha256_file(model)}
