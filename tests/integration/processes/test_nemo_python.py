"""NeMo in another environment: what its interpreter answers, and jobs that run there."""

from __future__ import annotations

import sys
import venv
from typing import TYPE_CHECKING

import pytest

from tasks.common.errors import InputError
from tasks.runtimes.base import PYTHON_VARIABLE, Job
from tasks.runtimes.local import LocalRuntime
from tasks.stages import host_checks, package_checks
from tasks.stages.check_result import CheckStatus
from tests.support.hosts import CPU

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty virtual environment."""
    folder = tmp_path_factory.mktemp("other")
    venv.create(folder, symlinks=True)
    return folder


@pytest.fixture
def other(environment: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The variable names that environment's interpreter."""
    python = environment / "bin" / "python"
    monkeypatch.setenv(PYTHON_VARIABLE, str(python))
    return python


def install(environment: Path, name: str, version: str) -> None:
    """What a package manager leaves of a package, without its modules."""
    (packages,) = environment.glob("lib/python*/site-packages")
    folder = packages / f"{name}-{version}.dist-info"
    folder.mkdir(exist_ok=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_an_interpreter_that_cannot_do_it_is_named(
    environment: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No NeMo, no PyTorch, no file: each before anything is spent, with the variable's name."""
    with pytest.raises(InputError, match=rf"{PYTHON_VARIABLE}: {other}: it has no torch\. Fix:"):
        LocalRuntime(CPU).check()
    monkeypatch.setenv(PYTHON_VARIABLE, str(environment / "bin" / "missing"))
    with pytest.raises(InputError, match="it does not start"):
        LocalRuntime(CPU).check()


@pytest.mark.usefixtures("other")
def test_another_nemo_trains_another_model(environment: Path) -> None:
    """Its version is part of what a run's key and its kept texts depend on."""
    install(environment, "torch", "2.13.0")
    install(environment, "nemo_toolkit", "2.6.2")
    runtime = LocalRuntime(CPU)
    runtime.check()
    assert runtime.identity.endswith(" nemo 2.6.2")
    assert runtime.identity != LocalRuntime(CPU, python=sys.executable).identity


@pytest.mark.usefixtures("other")
def test_doctor_looks_where_nemo_is(
    environment: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its versions are held against the matrix; an interpreter that is not there is named."""
    install(environment, "torch", "2.13.0")
    install(environment, "nemo_toolkit", "2.6.2")
    asked = host_checks.make_context("local", "embedded", None, None, tmp_path)
    assert package_checks.nemo(asked).says.startswith("2.6.2, run in the matrix")
    assert package_checks.torch(asked).says == "2.13.0"
    monkeypatch.setenv(PYTHON_VARIABLE, "/no/such/python")
    found = package_checks.nemo(asked)
    assert found.state is CheckStatus.MISSING
    assert found.says.startswith(f"{PYTHON_VARIABLE}: /no/such/python: it does not start")
    assert "unset it" in found.fix


def test_jobs_run_there(other: Path, tmp_path: Path) -> None:
    """The interpreter is started by the path that was given, not by what it is a link to."""
    program = tmp_path / "program.py"
    program.write_text("import sys\nprint(sys.executable, sys.prefix)\n")
    lines: list[str] = []
    job = Job("where", str(program), {}, tmp_path / "work", (), {})
    ended = LocalRuntime(CPU).execute(job, lines.append, lambda: None)
    assert ended.exit_code == 0
    assert lines == [f"{other} {other.parents[1]}"]
