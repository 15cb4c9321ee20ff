"""The commands that a refused result names, run as they stand: what they write is read.

Kanaries/pygwalker#5 and pandas-dev/pandas#31615 (a data frame's JSON), NVIDIA-NeMo/Speech#2304 (a
prediction a line), PrimeIntellect-ai/verifiers#1564 (objects on several lines), csv.DictReader.
"""

from __future__ import annotations

import gzip
import json
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tasks.common.errors import InputError
from tasks.evaluation.incremental_scoring import score_file
from tasks.evaluation.result_reading import read_hypotheses

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [
    {"audio_filepath": f"{number}.wav", "ref": "é start", "hyp": "é start" if number else "start"}
    for number in range(3)
]
LINES = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in ROWS)
BY_PATH = {row["audio_filepath"]: {"ref": row["ref"], "hyp": row["hyp"]} for row in ROWS}
FILES = {
    "compressed": gzip.compress(LINES.encode()),
    "UTF-16": LINES.encode("utf-16"),
    "Latin-1": LINES.encode("latin-1"),
    "objects on several lines": "\n".join(json.dumps(row, indent=1) for row in ROWS).encode(),
    "several objects on a line": " ".join(map(json.dumps, ROWS)).encode(),
    "a data frame by index": json.dumps({str(n): row for n, row in enumerate(ROWS)}).encode(),
    "rows by path": json.dumps(BY_PATH).encode(),
    "two lists": json.dumps({"rows": ROWS, "old": ROWS[:1]}).encode(),
}


@pytest.mark.needs("jq")
@pytest.mark.parametrize("data", FILES.values(), ids=list(FILES))
def test_who_runs_the_command_has_the_rows(tmp_path: Path, data: bytes) -> None:
    """All of them, with their figure."""
    (tmp_path / "FILE").write_bytes(data)
    with pytest.raises(InputError) as told:
        read_hypotheses(tmp_path / "FILE")
    command = re.search(r"(?:jq|gunzip|iconv) [^\n]*> per_sample\.json", str(told.value))
    assert command is not None, str(told.value)
    subprocess.run(["bash", "-c", command[0]], cwd=tmp_path, check=True)
    assert len(read_hypotheses(tmp_path / "per_sample.json")) == 3
    assert score_file(tmp_path / "per_sample.json").counts.ser == pytest.approx(1 / 3)
