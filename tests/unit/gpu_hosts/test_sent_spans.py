"""A rented host splits rows that share sound as this machine does, and learns no names."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.common import atomic_files
from tasks.data.audio_checks import AudioLimits
from tasks.data.cycle_folder import open_cycle
from tasks.data.preflight import preflight
from tasks.gpu_hosts import upload
from tests.support import corpora, factories

if TYPE_CHECKING:
    from tasks.data.preflight import CheckedRow


def imported(clinic: Path, number: int) -> Path:
    """A cycle of two rows that overlap, of a recording that names a patient."""
    recording = clinic / "source" / "Jane_Roe.wav"
    if not recording.is_file():
        corpora.write(recording, corpora.speech(3.0))
    table = clinic / "source" / f"rows{number}.csv"
    table.write_text("audio,text,start,end\nJane_Roe.wav,one,0,2\nJane_Roe.wav,two,1,3\n")
    corpora.run(table, clinic / f"cycle{number}", check=False)
    return clinic / f"cycle{number}"


def sent(cargo: upload.UploadPlan, tmp_path: Path) -> Path:
    """The cycle as it lies on a host, after all parts have been copied there."""
    root = tmp_path / "host"
    placed, parts = upload._plan_parts(str(root), cargo, tmp_path / "staging")
    for part in parts:
        for name in part.names:
            target = Path(part.target) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(part.folder / name, target)
    return Path(placed.cycle)


def checked(cycle: Path) -> tuple[CheckedRow, ...]:
    """The rows of a cycle."""
    return preflight(cycle / "manifest.jsonl", AudioLimits(16000), None).rows


def test_the_host_knows_which_rows_share_sound(tmp_path: Path) -> None:
    """By the spans alone; no line names the recording or the source."""
    cycle = imported(tmp_path / "ward", 1)
    there = sent(upload.UploadPlan(open_cycle(cycle), "embedded"), tmp_path)
    assert [row.spans for row in checked(there)] == [row.spans for row in checked(cycle)]
    assert all(row.spans for row in checked(there))
    text = (there / "provenance.jsonl").read_text(encoding="utf-8")
    assert "Jane_Roe" not in text
    assert "rows1.csv" not in text


def test_spans_of_earlier_cycles_go_with_a_base_of_the_users_own(
    tmp_path: Path, lower_nemo: Path
) -> None:
    """It may have been trained on them; their rows are known by their samples alone."""
    clinic = tmp_path / "ward"
    imported(clinic, 1)
    cycle = imported(clinic, 2)
    there = sent(upload.UploadPlan(open_cycle(cycle), str(lower_nemo)), tmp_path)
    lines = atomic_files.read_jsonl(there / "provenance.jsonl")
    assert ["audio_filepath" in line for line in lines] == [True, True, False, False]


def test_a_cycle_without_provenance_is_sent_as_before(tmp_path: Path) -> None:
    """There is no such file on the host then."""
    cycle = factories.make_cycle(tmp_path / "ward")
    there = sent(upload.UploadPlan(open_cycle(cycle), "embedded"), tmp_path)
    assert not (there / "provenance.jsonl").exists()
