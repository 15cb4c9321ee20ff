"""Cycles with an evaluation, copied from one that NeMo has decoded."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tasks.common import atomic_files
from tasks.data.cycle_folder import open_cycle
from tasks.evaluation.hypotheses import write_hypotheses
from tasks.evaluation.result_reading import read_hypotheses

if TYPE_CHECKING:
    from pathlib import Path


def copy_rows(source: Path, folder: Path, every: int) -> Path:
    """Copy every so many rows of a cycle, with their recordings and evaluation."""
    (folder / "audio").mkdir(parents=True)
    rows = atomic_files.read_jsonl(source / "manifest.jsonl")[::every]
    for row in rows:
        shutil.copy(source / row["audio_filepath"], folder / "audio")
    atomic_files.write_jsonl(folder / "manifest.jsonl", rows)
    names = {row["audio_filepath"] for row in rows}
    offline = read_hypotheses(open_cycle(source).offline_hyps)
    write_hypotheses(
        open_cycle(folder).offline_hyps, [row for row in offline if row.audio_filepath in names]
    )
    return folder
