"""A cycle that a site decodes in shards."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.common import atomic_files
from tests.support import factories, prefect_site, stub_programs

if TYPE_CHECKING:
    from asr_flywheel.site.local_site import Site

ROWS = 72
SHARD = "transcribe-shard"


def make_cycle(folder: Path) -> Path:
    """Rows enough for three pieces."""
    (folder / "audio").mkdir(parents=True)
    (example, *_) = factories.cycle_rows()
    rows = []
    for number in range(ROWS):
        name = f"audio/{number}.wav"
        factories.write_wav(folder / name, 0.5 + number / 100, seed=number)
        rows.append({**example, "audio_filepath": name})
    factories.write_rows(folder / "manifest.jsonl", rows)
    return folder


def transcribe(cycle: Path, environment: dict[str, str], *more: str) -> subprocess.Popen[str]:
    """The command line, started."""
    line = [sys.executable, "-m", "asr_flywheel.cli", "transcribe", str(cycle)]
    return subprocess.Popen(
        [*line, "--model", "embedded", *more],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def kept(cycle: Path) -> set[str]:
    """The recordings whose hypotheses are kept."""
    found = (cycle / ".transcripts").glob("*/*.jsonl")
    return {row["audio_sha256"] for path in found for row in atomic_files.read_jsonl(path)}


def shard_runs(site: Site) -> list[tuple[str, str, str]]:
    """Id, state and process of every shard, the oldest first."""
    rows = prefect_site.call(site, "POST", "flow_runs/filter", flows={"name": {"any_": [SHARD]}})
    rows.sort(key=lambda row: str(row["created"]))
    return [
        (str(row["id"]), str(row["state_name"]), str(row["infrastructure_pid"])) for row in rows
    ]


def decoding(site: Site) -> list[str]:
    """The shards that have begun to decode, by their logs; with both taken by the worker."""
    runs = shard_runs(site)
    if not all(pid.rpartition(":")[2].isdigit() for _, _, pid in runs):
        return []
    return [
        run
        for run, _, _ in runs
        if any("CTC in float32" in one for one in prefect_site.log(site, run))
    ]


def lose_a_shard(site: Site, tmp_path: Path, alone_in: dict[str, str]) -> None:
    """Kill one shard of a run, run it again, and compare with one process' file.

    Args:
        site: where the shards run.
        tmp_path: for the cycles.
        alone_in: the environment of the process that decodes everything alone.
    """
    cycle = make_cycle(tmp_path / "clinic" / "cycle1")
    alone, asked = (
        Path(shutil.copytree(cycle, tmp_path / name / "cycle1")) for name in ("alone", "asked")
    )
    # The stub would be done before anybody looks; to NeMo's decoder the file says nothing.
    with stub_programs.held(cycle, stub_programs.HOLD_DECODING):
        first = transcribe(cycle, site.environment, "--shards", "2")
        # Of two shards on one host one holds the GPU's slot; the other one is killed.
        prefect_site.wait_for(lambda: decoding(site), 240)
        (process,) = [pid for run, _, pid in shard_runs(site) if run not in decoding(site)]
        os.kill(int(process.rpartition(":")[2]), signal.SIGKILL)
    said, _ = first.communicate(timeout=120)
    assert first.returncode == 1, said
    done = kept(cycle)
    assert 0 < len(done) < ROWS
    assert f"{len(done)} of {ROWS} rows are decoded and kept" in said
    assert not (cycle / "offline_hyps.jsonl").exists()

    again = transcribe(cycle, site.environment, "--shards", "2")
    said, _ = again.communicate(timeout=300)
    assert again.returncode == 0, said
    assert len(kept(cycle)) == ROWS
    log = [line for run, _, _ in shard_runs(site)[2:] for line in prefect_site.log(site, run)]
    decoded = [int(line.split()[1]) for line in log if line.startswith("shard: ")]
    assert sum(decoded) == ROWS - len(done)

    before = len(shard_runs(site))
    form = {"cycle": str(asked), "model": "embedded", "shards": 2}
    prefect_site.ends(
        site, prefect_site.launch(site, form, "evaluate-cycle/evaluate-cycle"), "Completed"
    )
    assert len(shard_runs(site)) == before + 2
    plain = transcribe(alone, alone_in)
    said, _ = plain.communicate(timeout=300)
    assert plain.returncode == 0, said
    name = "offline_hyps.jsonl"
    assert (alone / name).read_bytes() == (cycle / name).read_bytes()
    assert (alone / name).read_bytes() == (asked / name).read_bytes()
