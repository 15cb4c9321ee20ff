"""Files on their way to a host, and results back: through cut connections, to other disks."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tasks.common import atomic_files, hashing
from tasks.data.cycle_folder import open_cycle
from tasks.gpu_hosts import download
from tasks.gpu_hosts.ssh import Connection, HostError, SshSettings, retry_connection
from tasks.gpu_hosts.upload import RemotePaths, UploadPlan
from tasks.records import kept_runs, run_record
from tasks.training import run as training_run
from tests.support import remote_flows
from tests.support.needs import MEMORY, require
from tests.support.prefect_site import wait_for
from tests.support.remote_flows import RUN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.data.cycle_folder import Cycle
    from tests.support.loopback_ssh import Loopback

TOLD: dict[str, Any] = {"lease": "0123abcd"}
MODEL = f"models/{RUN}/{training_run.MODEL_NAME}"


@pytest.fixture
def connection(host: Loopback) -> Connection:
    """To it."""
    return Connection(SshSettings.model_validate(host.ssh))


def there(disk: Path, **more: Any) -> RemotePaths:
    """Where a finished run's files are on the "host"."""
    clinic = disk / "lease" / "clinic"
    (clinic / "cycle1").mkdir(parents=True)
    remote_flows.write_results(clinic / "cycle1", **more)
    audio = (f"{clinic}/inputs/audio0",)
    return RemotePaths(str(clinic), f"{clinic}/cycle1", "embedded", None, None, audio)


def cargo(cycle: Path) -> UploadPlan:
    """What was sent: there was a folder of more recordings."""
    return UploadPlan(open_cycle(cycle), "embedded", audio_roots=(cycle.parent / "more",))


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rsync takes its time: 4 MiB a second."""
    tools = tmp_path / "tools"
    tools.mkdir()
    require("rsync")
    real = shutil.which("rsync")
    (tools / "rsync").write_text(f'#!/bin/sh\nexec {real} --bwlimit=4m "$@"\n')
    (tools / "rsync").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")


@contextmanager
def cut_in_mid_file(host: Loopback, cycle: Path, away_s: float) -> Iterator[None]:
    """Lose the host while the model is on its way, and for so long; it is back at the end."""

    def cut() -> None:
        arriving = f".rented-*/cycle1/models/{RUN}/.{training_run.MODEL_NAME}.*"
        wait_for(lambda: list(cycle.parent.glob(arriving)), 30)
        with lost(host, away_s):
            pass

    thread = threading.Thread(target=cut, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()


@contextmanager
def lost(host: Loopback, away_s: float) -> Iterator[None]:
    """Lose the host for so long; it is back at the end."""
    host.kill()
    back = threading.Timer(away_s, host.start)
    back.start()
    try:
        yield
    finally:
        back.join()


@pytest.mark.usefixtures("slow")
def test_what_is_sent_resumes_where_the_connection_was_cut(
    host: Loopback, connection: Connection, tmp_path: Path
) -> None:
    """What has arrived of a file stays there, and a later try sends the rest."""
    (tmp_path / "part.tar").write_bytes(os.urandom(8 << 20))
    target = tmp_path / "disk" / "bundle"
    target.mkdir(parents=True)
    kept: list[int] = []

    def cut() -> None:
        wait_for(
            lambda: any(one.stat().st_size > 2 << 20 for one in target.glob(".part.tar.*")), 30
        )
        with lost(host, 1.0):
            wait_for((target / "part.tar").exists, 30)
            kept.append((target / "part.tar").stat().st_size)

    thread = threading.Thread(target=cut, daemon=True)
    thread.start()
    retry_connection(partial(connection.copy_to, tmp_path, ["part.tar"], str(target)), 30)
    thread.join(60)
    assert [2 << 20 < size < 8 << 20 for size in kept] == [True]
    assert (target / "part.tar").read_bytes() == (tmp_path / "part.tar").read_bytes()


@pytest.mark.usefixtures("slow")
def test_results_survive_a_connection_that_is_cut_while_they_come(
    host: Loopback, connection: Connection, cycle: Path, tmp_path: Path
) -> None:
    """Away for some seconds in mid-file, and again when it is asked for results: all is whole."""
    placed = there(tmp_path / "disk", weights=os.urandom(8 << 20))
    with cut_in_mid_file(host, cycle, 5.5):
        fetched = download.fetch(connection, placed, cargo(cycle), TOLD, patience_s=30)
    assert fetched.model.read_bytes() == Path(placed.cycle, MODEL).read_bytes()
    assert run_record.is_complete(open_cycle(cycle).next)
    with lost(host, 3.0):
        assert download.has_results(connection, placed, open_cycle(cycle), patience_s=30)


@pytest.mark.usefixtures("slow")
def test_what_has_arrived_is_kept_where_the_host_is_lost_for_good(
    host: Loopback, connection: Connection, cycle: Path, tmp_path: Path
) -> None:
    """The error names the folder; beside the cycle nothing has changed."""
    placed = there(tmp_path / "disk", weights=os.urandom(8 << 20))
    before = {path.name for path in cycle.iterdir()}
    staging = cycle.parent / ".rented-0123abcd"
    with (
        cut_in_mid_file(host, cycle, 4.0),
        pytest.raises(HostError, match=f"What has arrived is kept in {staging}"),
    ):
        download.fetch(connection, placed, cargo(cycle), TOLD, patience_s=0.5)
    assert (staging / "cycle1" / MODEL).stat().st_size > 0
    assert {path.name for path in cycle.iterdir()} == before
    assert not (cycle.parent / "cycle2").exists()
    # Nothing at all has arrived: nothing is kept.
    shutil.rmtree(staging)
    away = Connection(SshSettings(destination="127.0.0.1", port=9))
    with pytest.raises(HostError, match=r"rsync failed") as raised:
        download.fetch(away, placed, cargo(cycle), TOLD)
    assert "is kept in" not in str(raised.value)
    assert not staging.exists()


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder on another file system."""
    require("shm")
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        yield Path(folder)


def test_results_reach_folders_that_are_links_to_another_disk(
    connection: Connection, cycle: Path, tmp_path: Path, elsewhere: Path
) -> None:
    """Models and the next cycle lie on larger disks, as they do in a clinic."""
    for name, link in (("models", cycle / "models"), ("cycle2", cycle.parent / "cycle2")):
        (elsewhere / name).mkdir()
        link.symlink_to(elsewhere / name)
    placed = there(tmp_path / "disk")
    fetched = download.fetch(connection, placed, cargo(cycle), TOLD)
    assert (elsewhere / MODEL).read_bytes() == Path(placed.cycle, MODEL).read_bytes()
    assert fetched.model.is_file()
    assert run_record.is_complete(open_cycle(cycle).next)
    assert sorted(path.name for path in (elsewhere / "models").iterdir()) == [RUN]


def test_verified_results_are_kept_where_they_cannot_be_put(
    connection: Connection, cycle: Path, tmp_path: Path
) -> None:
    """A dangling link in the place of the models: the error names the folder with all of it."""
    (cycle / "models").symlink_to(tmp_path / "gone")
    placed = there(tmp_path / "disk")
    staging = cycle.parent / ".rented-0123abcd"
    with pytest.raises(HostError, match=f"What has arrived is kept in {staging}"):
        download.fetch(connection, placed, cargo(cycle), TOLD)
    assert download.verify(staging, open_cycle(cycle)) == (6, RUN)


@pytest.mark.parametrize("same", [True, False])
def test_another_model_of_the_same_name_is_not_overwritten(
    connection: Connection,
    cycle: Path,
    tmp_path: Path,
    same: bool,  # noqa: FBT001
) -> None:
    """It is kept beside the new one; one with the same bytes is not."""
    placed = there(tmp_path / "disk")
    old = cycle / MODEL
    old.parent.mkdir(parents=True)
    old.write_bytes(Path(placed.cycle, MODEL).read_bytes() if same else b"trained here")
    fetched = download.fetch(connection, placed, cargo(cycle), TOLD)
    kept = cycle / "models" / f"{RUN}.before-0123abcd"
    assert fetched.kept == (() if same else (kept,))
    assert kept.exists() is not same
    assert same or (kept / training_run.MODEL_NAME).read_bytes() == b"trained here"
    assert fetched.model.read_bytes() == Path(placed.cycle, MODEL).read_bytes()


def test_a_kept_run_is_not_replaced_by_one_from_a_host(
    connection: Connection, cycle: Path, tmp_path: Path
) -> None:
    """It is preserved with its model; what came from the host takes its place."""
    remote_flows.write_results(cycle, weights=b"kept")
    following = open_cycle(cycle).next
    record = atomic_files.read_json(following.path / "run.json")
    verdict = {"preflight": {}, "decision": {"decision": "keep"}}
    atomic_files.write_json(following.path / "run.json", {**record, **verdict})
    placed = there(tmp_path / "disk")
    fetched = download.fetch(connection, placed, cargo(cycle), TOLD)
    assert fetched.model.read_bytes() != b"kept"
    (kept,) = kept_runs.preserved_in(following)
    assert kept.model.read_bytes() == b"kept"
    assert (kept.evaluated.path / "decision.json").is_file()


def test_paths_of_the_host_become_those_of_this_machine(
    connection: Connection, cycle: Path, tmp_path: Path
) -> None:
    """In rows, of further folders too, and in records; each file has the hash that is recorded."""
    placed = there(tmp_path / "disk")
    far, hyps = Path(placed.clinic), "offline_hyps.jsonl"
    record = atomic_files.read_json(far / "cycle2" / "run.json")
    rows = [
        {"audio_filepath": f"{placed.audio_roots[0]}/1.wav", "ref": "a"},
        {"audio_filepath": f"{placed.cycle}/audio/2.wav", "ref": f"{placed.clinic}er"},
        {"audio_filepath": "audio/3.wav", "ref": "c"},
    ]
    atomic_files.write_jsonl(far / "cycle2" / hyps, rows)
    record["files"][hyps] = hashing.sha256_file(far / "cycle2" / hyps)
    atomic_files.write_json(far / "cycle2" / "run.json", record)
    download.fetch(connection, placed, cargo(cycle), TOLD)
    following = open_cycle(cycle).next
    assert [row["audio_filepath"] for row in atomic_files.read_jsonl(following.path / hyps)] == [
        str(cycle.parent / "more" / "1.wav"),
        str(cycle / "audio" / "2.wav"),
        "audio/3.wav",
    ]
    for side in ("train", "validation"):
        (row,) = atomic_files.read_jsonl(cycle / f"{side}.jsonl")
        assert Path(row["audio_filepath"]).is_file()
    _hashes_hold(cycle, following)
    told = atomic_files.read_json(following.path / "run.json")
    changed = told["rented"]["sha256_there"]
    assert changed[f"cycle2/{hyps}"] == record["files"][hyps]
    assert "cycle2/decision.json" not in changed
    assert str(tmp_path / "disk") not in (following.path / "run.json").read_text()


def _hashes_hold(cycle: Path, following: Cycle) -> None:
    record = atomic_files.read_json(following.path / "run.json")
    for name, sha256 in record["files"].items():
        assert hashing.sha256_file(following.path / name) == sha256
    told = record["sft"]
    assert told["model"] == str(cycle / MODEL)
    assert hashing.sha256_file(cycle / MODEL) == told["model_sha256"]
    info = Path(told["training_run_info"])
    assert hashing.sha256_file(info) == told["training_run_info_sha256"]
    dataset = atomic_files.read_json(info)["dataset"]
    for side in ("train", "validation"):
        assert hashing.sha256_file(cycle / f"{side}.jsonl") == dataset[f"{side}_sha256"]
