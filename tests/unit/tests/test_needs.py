"""Needs of tests: declared in one place, hidden until they are asked for, all there in CI."""

from __future__ import annotations

import ast
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.support import needs
from tests.support.needs import NEEDS, HidingPath, Need

TESTS = Path(__file__).parents[2]
CI = (TESTS.parent / ".ci" / "run").read_text(encoding="utf-8")
# What no package brings to CI's machine, or what contradicts another need.
# The last one is installed there, and asks the kernel what it allows.
NOT_IN_CI = {"gpu", "no-gpu", "ordinary-user", "proc", "charliecloud"}


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> str:
    """A need that no machine has."""
    monkeypatch.setitem(NEEDS, "unobtainium", Need("look for it", ("no-such-program",)))
    return "unobtainium"


def test_what_is_absent_is_skipped_by_its_name_and_remedy(
    absent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless it was promised: then it is a failure."""
    monkeypatch.delenv("FLYWHEEL_REQUIRED", raising=False)
    with pytest.raises(pytest.skip.Exception, match="needs unobtainium: look for it"):
        needs.require(absent)
    monkeypatch.setenv("FLYWHEEL_REQUIRED", "root unobtainium")
    with pytest.raises(pytest.fail.Exception, match="unobtainium is required here but absent"):
        needs.require(absent)


def test_an_undeclared_need_is_no_need() -> None:
    """Whoever asks for it has to declare it first."""
    with pytest.raises(KeyError, match="undeclared"):
        needs.require("undeclared")


def test_a_program_is_on_the_path_while_somebody_asks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two who ask for it, until both have ended; the first folder of PATH counts."""
    for folder, name in (("one", "rsync"), ("one", "cat"), ("two", "rsync"), ("two", "dog")):
        program = tmp_path / folder / name
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    before = f"{tmp_path}/one:{tmp_path}/none:{tmp_path}/two"
    monkeypatch.setenv("PATH", before)
    path = HidingPath(before, {"rsync", "ssh"})
    with path.used():
        assert shutil.which("rsync") is None
        assert shutil.which("cat")
        assert shutil.which("dog")
        with path.asking() as fixture:
            path.show(["rsync", "ssh"])
        with path.asking() as test:
            path.show(["rsync"])
        assert shutil.which("ssh") is None
        path.hide(test)
        found = shutil.which("rsync")
        assert found is not None
        assert os.path.realpath(found) == f"{tmp_path}/one/rsync"
        path.hide(fixture)
        assert shutil.which("rsync") is None
    assert os.environ["PATH"] == before


def test_a_test_that_asks_for_nothing_finds_nothing_of_the_table() -> None:
    """Here, by the hooks of conftest.py."""
    assert [name for name in needs.HIDDEN if shutil.which(name)] == []


def test_no_test_skips_by_itself() -> None:
    """Skips stand in needs.py: there CI can turn each of them into a failure."""
    found = []
    for path in sorted(TESTS.rglob("*.py")):
        if path.name in {"needs.py", Path(__file__).name}:
            continue
        source = path.read_text(encoding="utf-8")
        if "skip" not in source:  # to parse all of them takes a second
            continue
        found += [
            f"{path.name}:{node.lineno}"
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Attribute) and node.attr in {"skip", "skipif", "importorskip"}
        ]
    assert found == []


def test_ci_installs_what_tests_need_and_lets_none_be_skipped() -> None:
    """Its packages and its promises are those of the table."""
    (promised,) = re.findall(r'^export FLYWHEEL_REQUIRED="(.*?)"', CI, re.MULTILINE | re.DOTALL)
    assert set(promised.replace("\\\n", "").split()) == set(NEEDS) - NOT_IN_CI
    (installed,) = re.findall(r'^tools="(.*?)"', CI, re.MULTILINE | re.DOTALL)
    packages = {package for need in NEEDS.values() for package in need.packages}
    # engine.sh would install these two by itself, later.
    assert set(installed.split()) == packages | {"docker.io", "busybox-static"}
    assert CI.count("$tools") == 2


def test_ci_first_runs_what_a_bare_machine_runs() -> None:
    """Before it installs anything; packages are only fetched."""
    bare = CI.index("\n.ci/bare make test\n")
    assert CI.index("install --download-only $tools") < bare < CI.index("\ninstall $tools\n")
    assert bare < CI.index("make engine")
