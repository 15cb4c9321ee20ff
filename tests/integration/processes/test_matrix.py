"""The matrix of NeMo's versions: the interpreters and pip that it starts."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from benchmarks import environments, matrix
from benchmarks.environments import Environment, find_python
from tasks.common.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


def test_an_interpreter_is_known_by_what_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version manager's shim for a version that is not chosen stands on PATH and fails."""
    shims, managed = tmp_path / "shims", tmp_path / "pyenv" / "versions" / "3.42.1" / "bin"
    for folder, program in ((shims, "exit 127"), (managed, "echo 3.42")):
        folder.mkdir(parents=True)
        file = folder / "python3.42"
        file.write_text(f"#!/bin/sh\n{program}\n")
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(shims), prepend=":")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    assert find_python("3.42") == managed / "python3.42"
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    with pytest.raises(InputError, match=r"python3\.42: not on PATH"):
        find_python("3.42")


def test_pip_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment with the same pins is there; what pip says of a failure is told."""
    environment = Environment("2.6.0", "3.11", tmp_path)
    bin_folder = environment.python.parent
    bin_folder.mkdir(parents=True)
    calls = tmp_path / "calls"
    program = f'#!/bin/sh\necho "$@" >>{calls}\n'
    environment.python.write_text(program)
    environment.python.chmod(0o755)
    environment.make()
    assert len(calls.read_text().splitlines()) == len(environment.steps)
    assert environment.make() == 0.0
    assert len(calls.read_text().splitlines()) == len(environment.steps)
    monkeypatch.setattr(environments, "_LHOTSE", "lhotse==1.0")
    environment.python.write_text("#!/bin/sh\necho no such release >&2\nexit 1\n")
    with pytest.raises(environments.InstallError, match=r"nemo-2\.6\.0-py3\.11(.|\n)*no such"):
        environment.make()


def test_a_versions_tests_do_not_get_the_callers_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version's pytest lacks the plugins of the one that runs here."""
    program = tmp_path / "python"
    program.write_text("""#!/bin/sh
echo "options: $PYTEST_ADDOPTS, paths: $PYTHONPATH, ci: $CI" >"$(dirname "$0")/environment"
echo "3 passed in 0.1s"
""")
    program.chmod(0o755)
    monkeypatch.setenv("PYTEST_ADDOPTS", "--reruns 1")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert matrix.run_tests(program) == 3
    assert (tmp_path / "environment").read_text() == "options: , paths: , ci: 1\n"
