"""Advice of a command that is followed step by step, as it is printed."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from tests.support import factories, stub_programs

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 40


def write_evaluations(folder: Path) -> None:
    """Two evaluations of forty drugs: the earlier misses half of them, the later none."""
    for name, missed in (("before.jsonl", ROWS // 2), ("after.jsonl", 0)):
        rows = [
            {
                "audio_filepath": f"{number}.wav",
                "ref": f"take drug{number} now",
                "hyp": "take it now" if number < missed else f"take drug{number} now",
                "term": f"drug{number}",
                "entity_category": "drug",
            }
            for number in range(ROWS)
        ]
        factories.write_rows(folder / name, rows)


def test_who_follows_the_advice_of_a_diff_learns_whether_the_model_forgets(
    tmp_path: Path,
) -> None:
    """The steps are commands that do what is said; only the two models are to be put in."""
    write_evaluations(tmp_path)
    compared = ("diff", "before.jsonl", "after.jsonl", "--priority", "drug")
    advised = stub_programs.run_command(tmp_path, *compared)
    assert advised.returncode == 0, advised.stderr
    assert advised.stdout.startswith("inconclusive")
    manifest = re.search(r"as (\S+manifest\.jsonl)", advised.stdout)
    assert manifest is not None
    factories.make_general((tmp_path / manifest[1]).parent, 30)
    *decodes, added = re.findall(r"`(?:asr-flywheel )?(.+?)`", advised.stdout)
    assert len(decodes) == 2
    for command in decodes:
        model = "BEFORE.nemo" if "BEFORE.nemo" in command else "AFTER.nemo"
        words = shlex.split(command.replace(model, "embedded"))
        done = stub_programs.run_command(tmp_path, *words)
        assert done.returncode == 0, done.stderr
    followed = stub_programs.run_command(tmp_path, *compared, *shlex.split(added))
    assert followed.returncode == 0, followed.stderr
    assert followed.stdout.startswith("keep")
    assert "General English: pooled WER" in followed.stdout
    assert "on 30 sentences" in followed.stdout
