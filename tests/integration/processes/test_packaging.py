"""What an installation holds."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_a_wheel_holds_everything_that_a_run_reads(tmp_path: Path) -> None:
    """Training scripts, their YAML, the embedded bases and their cards, the general sentences."""
    # A copy, since setuptools leaves what an earlier build had in the folder that it builds in.
    source = tmp_path / "source"
    unwanted = shutil.ignore_patterns(".*", "build", "*.egg-info", "demo-run", "__pycache__")
    shutil.copytree(ROOT, source, ignore=unwanted)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(tmp_path), str(source)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert names >= {
        "tasks/entrypoints/conf/sft.yaml",
        "tasks/entrypoints/launch_training.py",
        "tasks/entrypoints/parakeet_graph.py",
        "tasks/entrypoints/transcribe.py",
        "tasks/entrypoints/finetune_script.py",
        "asr_flywheel/embedded/embedded_ctc.nemo",
        "asr_flywheel/embedded/MODEL_CARD.md",
        "asr_flywheel/embedded/embedded_rnnt.nemo",
        "asr_flywheel/embedded/MODEL_CARD_RNNT.md",
        "asr_flywheel/embedded/embedded_tdt.nemo",
        "asr_flywheel/embedded/MODEL_CARD_TDT.md",
        "asr_flywheel/embedded/speech.wav",
        "asr_flywheel/demo/general_english.txt",
        "asr_flywheel/demo/general_english_more.txt",
        "asr_flywheel/demo/general_english_own.txt",
        "flows/finetune_cycle.py",
    }
    assert not any(name.startswith(("tests/", "base_training/")) for name in names)
