"""The installed program: its exit codes, and what it does not import."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support import small_disk
from tests.support.cli_cases import caller, evaluated_cycle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Call the program as a shell would; the function returns exit code, output and errors."""
    return caller(monkeypatch, capsys)


def program(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The installed program, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "asr_flywheel", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


IMPORTED = """
import sys
sys.argv = ["asr-flywheel", *sys.argv[1:]]
from asr_flywheel.cli import main
try:
    main()
except SystemExit as ended:
    assert ended.code in (None, 0), ended.code
heavy = {"torch", "prefect", "pandas", "nemo", "lightning", "docker", "huggingface_hub", "boto3",
         "numpy", "scipy", "soundfile", "soxr"}
print("IMPORTED", *sorted(heavy & set(sys.modules)))
"""


@pytest.mark.parametrize(
    "command", ["", "gate", "split", "run", "demo", "score", "diff", "import", "label", "sheet"]
)
def test_help_imports_nothing_that_costs_time(command: str) -> None:
    """Neither torch nor Prefect nor numpy, and it takes a second of a processor at most."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, *command.split(), "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    # Not by the clock: what else this machine does is not meant.
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1
    assert done.stdout.splitlines()[-1].strip() == "IMPORTED"
    assert "Usage: asr-flywheel" in done.stdout


def test_gate_and_split_do_without_nemo_and_prefect(cycle: Path, lower_nemo: Path) -> None:
    """Preflight and split run where neither is installed."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, "split", str(cycle), "--base", str(lower_nemo)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    imported = done.stdout.splitlines()[-1].split()[1:]
    assert not {"torch", "prefect", "nemo", "lightning"} & set(imported)


def test_the_installed_program_has_the_same_exit_codes(tmp_path: Path) -> None:
    """0, 2 and 3, as a shell sees them."""
    folder = evaluated_cycle(tmp_path / "cycle1")
    assert program("gate", folder).returncode == 0
    refused = program("gate", folder, "--method", "adapter")
    assert refused.returncode == 3
    bad = program("gate", tmp_path)
    assert bad.returncode == 2
    assert bad.stderr.startswith("error: ")
    assert "Traceback" not in bad.stderr + refused.stderr


@pytest.mark.needs("mount")
def test_a_full_disk_is_told_in_one_line(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """With the file and what to do, and what was there before is whole."""
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text('{"audio_filepath": "a.wav", "text": "two (noise) tablets"}\n' * 1000)
    place = tmp_path / "small"
    place.mkdir()
    with small_disk.mounted(place, "64k"):
        small_disk.fill(place)
        os.truncate(place / small_disk.FILLER, 8 << 10)
        out = place / "copy.jsonl"
        out.write_text("old")
        code, _, errors = run("tags", manifest, "--out", out, "--drop", "tag")
        left = out.read_text()
    assert (code, left) == (1, "old")
    assert errors.startswith(f"failed: {out}: the disk is full (No space left on device). Fix: ")
    assert errors.count("\n") == 1
