"""An offline bundle as a host without a network installs it: all of it, or nothing.

Its packages are empty ones of these tests, and its base a few bytes: tests/nightly/test_air_gap.py
has a bundle with everything, and the demo.
"""

from __future__ import annotations

import ensurepip
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from asr_flywheel.cli import app
from asr_flywheel.options import EXIT_BAD_INPUT
from tasks.airgap.bundle_manifest import BundleLayout
from tasks.common.errors import InputError
from tests.support import needs, offline_bundles
from tests.support.offline_bundles import list_parts, write_bundle, write_wheel

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
# Larger than a part of the bundle below, but for the pip that is cut into pieces.
LIMIT = 600_000
ONLY = {"PATH": "/usr/bin:/bin", "PYTHON": sys.executable}


@pytest.fixture
def whole(tmp_path: Path) -> list[Path]:
    """Two packages, pip and a base, in parts smaller than pip."""
    files = tmp_path / "files"
    files.mkdir()
    write_wheel(files, "one", ["two"])
    write_wheel(files, "two")
    (pip,) = Path(ensurepip.__file__).parent.glob("_bundled/pip-*.whl")
    shutil.copy(pip, files)
    (files / "parakeet-ctc-0.6b.nemo").write_bytes(b"weights" * 9000)
    write_bundle(files, tmp_path / "out", LIMIT, python=PYTHON)
    return list_parts(tmp_path / "out")


def run_script(
    target: Path, parts: list[Path], *before: str, python: str = sys.executable
) -> subprocess.CompletedProcess[str]:
    """Install by the script of the first part, in an environment that holds nothing else."""
    line = [*before, "sh", str(parts[0] / "install.sh"), str(target), *map(str, parts)]
    return subprocess.run(
        line, env={**ONLY, "PYTHON": python}, capture_output=True, text=True, check=False
    )


def check(place: Path) -> tuple[int, dict[str, Any]]:
    """The exit code of `bundle check` for an installation, and what it says."""
    done = CliRunner().invoke(app, ["bundle", "check", str(place), "--json"])
    if isinstance(done.exception, InputError):
        return EXIT_BAD_INPUT, {"error": str(done.exception)}
    return done.exit_code, json.loads(done.stdout)


@pytest.mark.needs("netns")
def test_a_bundle_is_installed_where_there_is_no_route(whole: list[Path], tmp_path: Path) -> None:
    """Into an environment of its own with pip's own check; once more it changes nothing."""
    assert len(whole) > 3
    target = tmp_path / "opt"
    isolated = (str(needs.find("unshare")), "-n")
    done = run_script(target, whole, *isolated)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(target / "current/venv/bin/asr-flywheel")
    venv = target / "current" / "venv"
    said = subprocess.run(
        [venv / "bin" / "one-program"], capture_output=True, text=True, check=True
    )
    assert said.stdout == "one\n"
    code, state = check(target)
    assert (code, state["damage"]) == (0, [])
    base = f"models--nvidia--parakeet-ctc-0.6b/snapshots/{offline_bundles.REVISION}"
    assert (target / "current" / "bases" / base / "parakeet-ctc-0.6b.nemo").is_file()
    before = (target / "current").resolve()
    assert "intact" in run_script(target, whole, *isolated).stderr
    assert (target / "current").resolve() == before

    # Damage is found, and repaired by the same command beside what is in use.
    (module,) = venv.glob("lib/python*/site-packages/one.py")
    module.unlink()
    code, state = check(target)
    assert code == 1
    assert state["damage"] == [{"path": str(module.resolve()), "reason": "is missing"}]
    assert run_script(target, whole, *isolated).returncode == 0
    assert (target / "current").resolve() != before
    assert check(target)[0] == 0


def test_a_damaged_part_is_refused_before_anything_is_installed(
    whole: list[Path], tmp_path: Path
) -> None:
    """With file and reason; so is a part too few, and a Python that it is not for."""
    target = tmp_path / "opt"
    done = run_script(target, whole[:-1])
    assert done.returncode == 2
    assert f"{whole[-1].name}: not named" in done.stderr
    wheel = next(path for part in whole for path in part.glob("two-*.whl"))
    wheel.write_bytes(wheel.read_bytes()[:-1] + b"x")
    done = run_script(target, whole)
    assert done.returncode == 2
    assert f"{wheel}: its SHA-256 is" in done.stderr
    assert "Nothing was installed" in done.stderr
    program = whole[0] / "install.pyz"
    program.write_bytes(program.read_bytes() + b"x")
    assert "install.pyz: FAILED" in run_script(target, whole).stderr
    assert not target.exists()


def test_an_interrupted_installation_leaves_nothing_that_is_used(
    whole: list[Path], tmp_path: Path
) -> None:
    """Killed after it made the environment; the same command then installs all of it."""
    target, reached = tmp_path / "opt", tmp_path / "reached"
    slow = tmp_path / "python"
    real = shlex.quote(sys.executable)
    # Stops where `python -m venv` has ended; all else is the real interpreter.
    slow.write_text(
        f'#!/bin/sh\ncase "$*" in *venv*) {real} "$@"; touch {shlex.quote(str(reached))}; '
        f'exec sleep 60;; esac\nexec {real} "$@"\n'
    )
    slow.chmod(0o755)
    line = ["sh", str(whole[0] / "install.sh"), "--python", str(slow), str(target)]
    with subprocess.Popen([*line, *map(str, whole)], env=ONLY, start_new_session=True) as process:
        for _ in range(600):
            if reached.exists():
                break
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
    assert reached.exists()
    assert list((target / "releases").glob("*/venv"))
    assert not (target / "current").exists()
    code, state = check(target)
    assert code == 2
    assert "an interrupted installation" in state["error"]
    assert run_script(target, whole).returncode == 0
    assert len(list((target / "releases").iterdir())) == 1
    assert check(target)[0] == 0


def test_parts_install_beside_the_hosts_packages_one_after_the_other(tmp_path: Path) -> None:
    """Each into a folder of its own, on PYTHONPATH; a changed wheel keeps what was installed."""
    files = tmp_path / "files"
    files.mkdir()
    for name in ("one", "two"):
        write_wheel(files, name)
    size = max(path.stat().st_size for path in files.iterdir())
    out, target = tmp_path / "out", tmp_path / "target"
    write_bundle(files, out, size, BundleLayout.BESIDE, PYTHON)
    for part, missing in zip(list_parts(out), ([2], []), strict=True):
        done = run_script(target, [part])
        assert done.returncode == 0, done.stderr
        assert check(target)[1]["missing_parts"] == missing
    places = done.stdout.strip().removeprefix("PYTHONPATH=")
    assert set(places.split(":")) == {str(target / "part-1"), str(target / "part-2")}
    question = "import importlib.metadata as m, one, two; m.version('one'); print(two.__cached__)"
    found = subprocess.run(
        [sys.executable, "-c", question],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": places},
        capture_output=True,
        text=True,
        check=True,
    )
    # Compiled, and for the place where it is.
    assert Path(found.stdout.strip()).is_file()
    assert check(target)[0] == 0
    (wheel,) = (out / "part-2").glob("*.whl")
    wheel.write_bytes(wheel.read_bytes() + b"x")
    before = sorted(path for path in target.rglob("*.py"))
    assert run_script(target, [out / "part-2"]).returncode == 2
    assert sorted(path for path in target.rglob("*.py")) == before


def test_a_part_with_a_piece_of_a_wheel_is_not_installed_alone(tmp_path: Path) -> None:
    """Else the wheel would be left out without a word; the parts are named."""
    files = tmp_path / "files"
    files.mkdir()
    write_wheel(files, "one", padding=3000)
    write_wheel(files, "two")
    write_bundle(files, tmp_path / "out", 2500, BundleLayout.BESIDE, PYTHON)
    parts = list_parts(tmp_path / "out")
    done = run_script(tmp_path / "target", parts[:1])
    assert done.returncode == 2
    assert "one-1.0-py3-none-any.whl: is cut into pieces in part-1, part-2" in done.stderr
    assert not (tmp_path / "target").exists()
    assert run_script(tmp_path / "target", parts).returncode == 0
    assert check(tmp_path / "target")[0] == 0


def test_make_gpu_bundle_keeps_its_arguments() -> None:
    """What hosts and habits rely on: several files of HAVE, PART_MIB, NEMO and OUT."""
    variables = ["HAVE=a.txt b.txt", "PART_MIB=5", "NEMO=2.6.2", "OUT=out"]
    done = subprocess.run(
        ["make", "--dry-run", "gpu-bundle", *variables],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    line = " ".join(done.stdout.replace("\\\n", " ").split())
    assert (
        'asr-flywheel bundle make --out "out" --have a.txt --have b.txt --part-mib "5" '
        '--nemo "2.6.2"'
    ) in line
