"""The rules of the unit tier bite: tests that break them fail, and say why."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "unit" / "conftest.py"
BROKEN = {
    "process": ("import subprocess\nsubprocess.run(['true'])", r"starts a process"),
    "network": (
        "import socket\nsocket.socket().connect_ex(('127.0.0.1', 9))",
        r"uses the network \(socket\.connect \('127\.0\.0\.1', 9\)\)",
    ),
    "torch": ("import importlib\nimportlib.import_module('torch.nn')", r"imports torch"),
    "work": (
        "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass",
        r"took \d\.\d\d s of the processor",
    ),
    "wait": ("import time\ntime.sleep(1)", r"\d\.\d\d s by the clock; 0\.1 s and 0\.5 s are"),
}
ALLOWED = "import socket\none, two = socket.socketpair()\none.sendall(b'x')"


@pytest.fixture
def tier(tmp_path: Path) -> Path:
    """A folder of unit tests with the tier's rules, and a packaged torch that costs no time."""
    shutil.copy(UNIT, tmp_path / "conftest.py")
    (tmp_path / "torch" / "nn").mkdir(parents=True)
    for package in ("torch", "torch/nn"):
        (tmp_path / package / "__init__.py").touch()
    return tmp_path


def run(tier: Path, body: str, *, fixture: bool = False) -> tuple[int, str]:
    """Run one test with this body, or with a fixture of this body."""
    indented = "".join(f"    {line}\n" for line in body.splitlines())
    text = f"def test_it():\n{indented}"
    if fixture:
        text = (
            f"import pytest\n@pytest.fixture\ndef it():\n{indented}\ndef test_it(it):\n    pass\n"
        )
    (tier / "test_it.py").write_text(text)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            str(tier),
            ".",
        ],
        cwd=tier,
        env={"PATH": "/usr/bin:/bin", "FLYWHEEL_UNIT_SECONDS": "0.1", "PYTHONPATH": str(tier)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("rule", [*BROKEN])
def test_a_unit_test_that_breaks_a_rule_fails(tier: Path, rule: str) -> None:
    """With what it did."""
    body, says = BROKEN[rule]
    code, told = run(tier, body)
    assert code == 1, told
    assert re.search(says, told), told


def test_a_fixture_is_held_to_the_rules_too(tier: Path) -> None:
    """What it does counts as its test's."""
    body, says = BROKEN["process"]
    code, told = run(tier, body, fixture=True)
    assert code == 1, told
    assert re.search(says, told), told


def test_what_is_no_network_passes(tier: Path) -> None:
    """A pair of sockets within the process, as an event loop has."""
    code, told = run(tier, ALLOWED)
    assert code == 0, told


def test_every_test_lies_in_a_tier() -> None:
    """A file elsewhere would have no mark, and no command would run it."""
    tests = UNIT.parents[1]
    tiers = [
        path.relative_to(tests).parts[:2]
        for path in tests.rglob("test_*.py")
        if "__pycache__" not in path.parts
    ]
    kinds = {"nemo", "prefect", "docker", "ssh", "browser", "processes", "formats"}
    strays = [
        parts
        for parts in tiers
        if not (
            parts[0] in {"unit", "nightly"} or (parts[0] == "integration" and parts[1] in kinds)
        )
    ]
    assert strays == []
