"""The interpreter and the packages: what is missing, and for which runtime it matters."""

from __future__ import annotations

import compileall
import shlex
import sys
from importlib import metadata, util
from typing import TYPE_CHECKING

import pytest

from tasks.runtimes import nemo_versions
from tasks.stages import package_checks
from tasks.stages.check_result import CheckStatus
from tests.support.host_checks_cases import run_context

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tasks.stages.check_result import CheckContext, CheckResult


def test_another_python_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Releases that the packages do not support."""
    monkeypatch.setattr("tasks.stages.package_checks.sys.version_info", (3, 13, 0))
    found = package_checks.python(run_context())
    assert (found.state, found.says) == (CheckStatus.MISSING, "3.13.0")


@pytest.mark.parametrize("check", [package_checks.torch, package_checks.nemo])
def test_a_missing_package_matters_to_the_local_runtime_only(
    monkeypatch: pytest.MonkeyPatch, check: Callable[[CheckContext], CheckResult]
) -> None:
    """The container brings its own; another release than the tried one is a note."""

    def absent(_: str) -> str:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "version", absent)
    assert check(run_context()).state is CheckStatus.MISSING
    assert "pip install" in check(run_context()).fix
    assert check(run_context("container")).state is CheckStatus.NOTE
    monkeypatch.setattr(metadata, "version", lambda _: "1.0.0")
    assert check(run_context()).state is CheckStatus.NOTE


@pytest.mark.parametrize(
    ("version", "state", "says"),
    [
        (nemo_versions.TRIED[-1].nemo, CheckStatus.OK, "run in the matrix"),
        ("2.6.99", CheckStatus.NOTE, "between the versions"),
        ("9.0.0", CheckStatus.NOTE, "outside the versions"),
    ],
)
def test_nemo_is_held_against_the_matrix(
    monkeypatch: pytest.MonkeyPatch, version: str, state: CheckStatus, says: str
) -> None:
    """A version that was run passes; for another one doctor names those that were."""
    monkeypatch.setattr(metadata, "version", lambda _: version)
    found = package_checks.nemo(run_context())
    assert found.state is state
    assert says in found.says


def test_packages_that_each_import_compiles_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where none may be written. The fix writes it; without PyTorch there is nothing to tell."""
    source = tmp_path / "site packages" / "torch" / "__init__.py"
    source.parent.mkdir(parents=True)
    source.write_text("x = 1\n")
    spec = util.spec_from_file_location("torch", source)
    monkeypatch.setattr(util, "find_spec", lambda _: spec)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    assert package_checks.bytecode(run_context()).says == "the first import writes PyTorch's"
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    found = package_checks.bytecode(run_context())
    assert found.state is CheckStatus.NOTE
    *command, folder = shlex.split(found.fix)
    assert command == [sys.executable, "-m", "compileall", "-q", "-j", "0"]
    # As that command does it, in this process.
    assert compileall.compile_dir(folder, quiet=1)
    assert package_checks.bytecode(run_context()).says == "PyTorch's is there"
    monkeypatch.setattr(util, "find_spec", lambda _: None)
    assert package_checks.bytecode(run_context()).state is CheckStatus.OK
