"""A host behind a real sshd: its own clock, its removal, and what is sent to it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks.common import atomic_files
from tasks.common.errors import InputError
from tasks.data.cycle_folder import open_cycle
from tasks.gpu_hosts import remote_scripts, upload
from tasks.gpu_hosts.host_settings import SshHostSettings
from tasks.gpu_hosts.providers import open_host
from tasks.gpu_hosts.ssh import Connection, HostError, SshSettings
from tests.support import factories
from tests.support.prefect_site import wait_for
from tests.support.providers_cases import on

if TYPE_CHECKING:
    from tests.support.loopback_ssh import Loopback


LEASE = "0123abcd"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place of the test's own for records of hosts that are out."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def busy(host: Loopback) -> None:
    """Start what a worker would: something in a session of its own that ignores TERM."""
    command = "trap '' TERM; sleep 600 & sleep 600"
    on(
        host,
        f'FLYWHEEL_LEASE={LEASE} setsid nohup sh -c "{command}" >/dev/null 2>&1 </dev/null &',
    )


def test_the_host_ends_everything_itself_at_its_time_limit(host: Loopback, tmp_path: Path) -> None:
    """Nobody has to reach it: processes end, secrets go, and the user's command runs."""
    mark = tmp_path / "limit"
    folder = f"{host.folder}/disk"
    root, clock = on(host, remote_scripts.begin(folder, LEASE, 5, f"touch {mark}")).split()
    # The clock starts once: a second start of the same lease does not prolong it.
    assert on(host, remote_scripts.begin(folder, LEASE, 600, "")).split() == [root, clock]
    Path(root, "env").write_text("PREFECT_API_AUTH_STRING='planted'\n")
    busy(host)
    count, _, _ = on(host, remote_scripts.alive(root, LEASE)).partition("\n")
    assert int(count) >= 2
    wait_for(mark.exists, 30)
    said = on(host, remote_scripts.alive(root, LEASE))
    assert said.split("\n")[:2] == ["0", "the time limit of 5 s was reached"]
    assert not Path(root, "env").exists()
    assert on(host, remote_scripts.end(folder, LEASE)) == ""
    assert not Path(root).exists()


def test_giving_back_leaves_nothing_and_may_be_repeated(host: Loopback) -> None:
    """Processes that ignore TERM, the clock and the files are gone; a second call is as good."""
    own = open_host(SshHostSettings.model_validate(host.settings), LEASE)
    root = on(host, remote_scripts.begin(f"{host.folder}/disk", LEASE, 600, "")).split()[0]
    busy(host)
    assert own.state().value == "running"
    own.release()
    own.release()
    assert own.state().value == "absent"
    assert not Path(root).exists()


def test_a_host_whose_key_is_another_is_refused(host: Loopback, tmp_path: Path) -> None:
    """The host's key is checked against the known ones; nothing is sent to another host."""
    shutil.copy(host.folder / "user_key.pub", tmp_path / "key")
    kind, key, *_ = (tmp_path / "key").read_text().split()
    (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{host.port} {kind} {key}\n")
    settings = {**host.ssh, "known_hosts": tmp_path / "known_hosts"}
    with pytest.raises(HostError, match="Host key verification failed"):
        Connection(SshSettings.model_validate(settings)).check("true")


def sent(
    host: Loopback, tmp_path: Path, cargo: upload.UploadPlan
) -> tuple[upload.RemotePaths, Path]:
    """Send a cargo; where it is, and the folder that is the host's disk."""
    root = tmp_path / "disk"
    return upload.send(Connection(SshSettings.model_validate(host.ssh)), str(root), cargo), root


def test_only_what_the_run_reads_is_sent(host: Loopback, cycle: Path, tmp_path: Path) -> None:
    """The manifest byte for byte, its recordings and the evaluation: no other file of the cycle."""
    (cycle / "private.txt").write_text("not for others")
    (cycle / "audio" / "unused.wav").write_bytes(b"not for others")
    (cycle / "per_sample.json").write_text("[]")
    placed, root = sent(host, tmp_path, upload.UploadPlan(open_cycle(cycle), "embedded"))
    there = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert there == {
        "clinic/cycle1/manifest.jsonl",
        "clinic/cycle1/per_sample.json",
        *(f"clinic/cycle1/audio/{number}.wav" for number in range(10)),
    }
    assert placed.cycle == f"{root}/clinic/cycle1"
    assert (
        Path(placed.cycle, "manifest.jsonl").read_bytes() == (cycle / "manifest.jsonl").read_bytes()
    )


def test_paths_of_this_machine_become_those_of_the_host(
    host: Loopback, cycle: Path, tmp_path: Path
) -> None:
    """Absolute and foreign recordings, a base and a baseline of one's own arrive and are found."""
    elsewhere = tmp_path / "more audio"
    elsewhere.mkdir()
    rows = factories.cycle_rows()
    shutil.move(cycle / "audio" / "3.wav", elsewhere / "3.wav")
    rows[3]["audio_filepath"] = str(elsewhere / "3.wav")
    rows[4]["audio_filepath"] = str(cycle / "audio" / "4.wav")
    factories.write_rows(cycle / "manifest.jsonl", rows)
    before = (cycle / "manifest.jsonl").read_bytes()
    base = factories.write_nemo(tmp_path / "adapted_model.nemo")
    (tmp_path / "trained_recordings.txt").write_text("abc\n")
    (tmp_path / "mine.jsonl").write_text("{}\n")
    (tmp_path / "general").mkdir()
    factories.write_wav(tmp_path / "general" / "hello.wav")
    factories.write_rows(
        tmp_path / "general" / "english.jsonl", [{"audio_filepath": "hello.wav", "text": "hello"}]
    )
    cargo = upload.UploadPlan(
        open_cycle(cycle),
        str(base),
        tmp_path / "mine.jsonl",
        tmp_path / "general" / "english.jsonl",
        (elsewhere,),
    )
    placed, _ = sent(host, tmp_path, cargo)
    for row in atomic_files.read_jsonl(Path(placed.cycle, "manifest.jsonl")):
        assert Path(row["audio_filepath"]).is_file()
        assert Path(row["audio_filepath"]).is_relative_to(tmp_path / "disk")
    assert Path(placed.base).read_bytes() == base.read_bytes()
    assert Path(placed.base).with_name("trained_recordings.txt").is_file()
    assert placed.general is not None
    assert Path(placed.general).with_name("hello.wav").is_file()
    assert placed.baseline is not None
    assert Path(placed.baseline).is_file()
    assert (cycle / "manifest.jsonl").read_bytes() == before


def test_a_recording_outside_of_what_is_sent_is_named(cycle: Path, host: Loopback) -> None:
    """With its row and the option that allows its folder."""
    rows = factories.cycle_rows()
    rows[2]["audio_filepath"] = "/elsewhere/2.wav"
    factories.write_rows(cycle / "manifest.jsonl", rows)
    cargo = upload.UploadPlan(open_cycle(cycle), "embedded")
    with pytest.raises(InputError, match=r"row 3: '/elsewhere/2.wav' .* audio_roots"):
        sent(host, cycle, cargo)
