"""The doctor: each check finds what it is for, with the command that mends it."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tasks.models import catalog
from tasks.runtimes import nemo_versions
from tasks.runtimes.base import Job, JobResult
from tasks.runtimes.hardware import Gpu, Hardware
from tasks.stages import host_checks
from tasks.stages.host_checks import CheckContext, CheckResult, CheckStatus
from tests.support import factories
from tests.support.host_checks_cases import H100, question, smi
from tests.support.hosts import CPU

if TYPE_CHECKING:
    from collections.abc import Callable


def no_engine(monkeypatch: pytest.MonkeyPatch, address: str = "unix:///nowhere.sock") -> None:
    """Point Docker's client at an engine that is not there."""
    monkeypatch.setenv("DOCKER_HOST", address)


def room(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Let every file system have this size, all of it free, in bytes."""
    usage = SimpleNamespace(total=size, used=0, free=size)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)


def test_a_machine_with_everything_passes() -> None:
    """This one trains the embedded base on its CPU: nothing is missing."""
    found = host_checks.examine(question())
    assert host_checks.can_go(found)
    assert {one.check for one in found} >= {"python", "torch", "NeMo", "GPU", "disk", "base"}
    assert all(one.fix for one in found if one.state is CheckStatus.MISSING)


def test_another_python_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Releases that the packages do not support."""
    monkeypatch.setattr("tasks.stages.host_checks.sys.version_info", (3, 13, 0))
    found = host_checks.python(question())
    assert (found.state, found.says) == (CheckStatus.MISSING, "3.13.0")


@pytest.mark.parametrize("check", [host_checks.torch, host_checks.nemo])
def test_a_missing_package_matters_to_the_local_runtime_only(
    monkeypatch: pytest.MonkeyPatch, check: Callable[[CheckContext], CheckResult]
) -> None:
    """The container brings its own; another release than the tried one is a note."""

    def absent(_: str) -> str:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "version", absent)
    assert check(question()).state is CheckStatus.MISSING
    assert "pip install" in check(question()).fix
    assert check(question("container")).state is CheckStatus.NOTE
    monkeypatch.setattr(metadata, "version", lambda _: "1.0.0")
    assert check(question()).state is CheckStatus.NOTE


@pytest.mark.parametrize(
    ("version", "state", "says"),
    [
        (nemo_versions.TRIED[-1].nemo, CheckStatus.OK, "run in the matrix"),
        ("2.6.99", CheckStatus.NOTE, "between the versions"),
        ("9.0.0", CheckStatus.NOTE, "outside the versions"),
    ],
)
def test_nemo_is_held_against_the_matrix(
    monkeypatch: pytest.MonkeyPatch, version: str, state: CheckStatus, says: str
) -> None:
    """A version that was run passes; for another one doctor names those that were."""
    monkeypatch.setattr(metadata, "version", lambda _: version)
    found = host_checks.nemo(question())
    assert found.state is state
    assert says in found.says


class Decoder:
    """A runtime whose decoder writes a text, or fails with a log."""

    hardware = CPU

    def __init__(self, text: str | None, log: str = "") -> None:
        self.text, self.log = text, log

    def path_mapper(self, *_: object) -> Callable[[Path], str]:
        """Every path is itself."""
        return str

    def execute(
        self, job: Job, on_line: Callable[[str], None], poll: Callable[[], None]
    ) -> JobResult:
        """Write what a decoder would."""
        job.work.mkdir(parents=True, exist_ok=True)
        job.log.write_text(self.log)
        if self.text is None:
            return JobResult(1)
        (one,) = job.request["jobs"][0]["sets"]
        Path(one["out"]).write_text(json.dumps({"audio": one["audio"][0], "hyp": self.text}) + "\n")
        on_line(json.dumps({"event": "model", "how": "CTC in float32 on cpu"}))
        on_line(json.dumps({"event": "set", "seconds": 0.5}))
        return JobResult(0)


@pytest.mark.parametrize(
    ("runtime", "state", "says"),
    [
        (Decoder("take a seat"), CheckStatus.OK, "CTC in float32 on cpu"),
        (Decoder("take a sheet"), CheckStatus.MISSING, "'take a sheet'"),
        (Decoder(None, "UnpicklingError: no\n"), CheckStatus.MISSING, "UnpicklingError"),
        (
            Decoder(None, "GpuBusy: another job holds GPU 1\n"),
            CheckStatus.NOTE,
            "not tried: gpu-busy",
        ),
    ],
)
def test_what_a_second_of_speech_decodes_to_is_told(
    monkeypatch: pytest.MonkeyPatch, runtime: Decoder, state: CheckStatus, says: str
) -> None:
    """The right text passes; another one or a failure is missing; a busy GPU is no fault."""
    monkeypatch.setattr(host_checks, "_make_runtime", lambda _: runtime)
    found = host_checks.decode(question()).finding
    assert found.state is state
    assert says in found.says


def test_decoding_is_not_tried_without_nemo_or_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other checks say so already."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert host_checks.decode(question()).finding.state is CheckStatus.NOTE
    no_engine(monkeypatch)
    assert host_checks.decode(question("container")).finding.state is CheckStatus.NOTE


def test_a_driver_without_a_gpu_is_missing_hardware(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """nvidia-smi that fails is a broken driver; none at all is a machine without a GPU."""
    assert host_checks.gpu(question()).state is CheckStatus.NOTE
    smi(monkeypatch, tmp_path, "no devices were found", 6)
    assert host_checks.gpu(question()).state is CheckStatus.MISSING


@pytest.mark.parametrize(
    ("memory", "state"),
    [
        (81559, CheckStatus.OK),
        (23034, CheckStatus.OK),
        (11019, CheckStatus.NOTE),
        (0, CheckStatus.OK),
    ],
)
def test_a_small_card_is_told(memory: int, state: CheckStatus) -> None:
    """The specification asks for 16 GB; a card that does not tell its memory is not judged."""
    host = Hardware((Gpu("card", memory, "570.1", "GPU-1"),), 8)
    assert host_checks.gpu(question(host=host)).state is state


@pytest.mark.parametrize(
    ("version", "state"),
    [
        ("570.86.15", CheckStatus.OK),
        ("560.28.03", CheckStatus.OK),
        ("550.54.15", CheckStatus.NOTE),
        ("", CheckStatus.OK),
    ],
)
def test_a_driver_older_than_cuda_12_6_is_told(version: str, state: CheckStatus) -> None:
    """CUDA-graph decoding would fall back without a word."""
    host = Hardware((Gpu("card", 81559, version, "GPU-1"),), 8)
    assert host_checks.driver(question(host=host)).state is state


def test_an_engine_that_is_not_there_stops_a_container_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the fault's own remedy; a local run does without."""
    no_engine(monkeypatch)
    for check in (host_checks.docker_engine, host_checks.image):
        assert check(question("container")).state is CheckStatus.MISSING
        assert check(question()).state is CheckStatus.NOTE
    assert "systemctl start docker" in host_checks.docker_engine(question("container")).fix
    assert host_checks.nvidia_runtime(question("container", host=H100)).state is CheckStatus.MISSING


def test_a_socket_that_may_not_be_used_is_another_finding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It names the docker group."""
    from docker.errors import DockerException  # noqa: PLC0415 - what the client raises

    def refused() -> None:
        raise DockerException("PermissionError(13, 'Permission denied')")

    monkeypatch.setattr("docker.from_env", refused)
    assert "docker group" in host_checks.docker_engine(question("container")).fix


def test_room_is_asked_for_by_the_base(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """24 GB for 600 M parameters, more for an image that is still to come; also in a new folder."""
    room(monkeypatch, 25_000_000_000)
    large: dict[str, Any] = {"base": catalog.RECOMMENDED, "folder": tmp_path / "not" / "yet"}
    assert host_checks.disk(question(**large)).state is CheckStatus.OK
    no_engine(monkeypatch)
    assert host_checks.disk(question("container", **large)).state is CheckStatus.MISSING
    room(monkeypatch, 100_000_000)
    assert host_checks.disk(question()).state is CheckStatus.MISSING


def test_little_shared_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker's 64 MB, for a run inside a container of the user's own."""
    room(monkeypatch, 64 << 20)
    assert host_checks.shared_memory(question()).state is CheckStatus.NOTE
    assert host_checks.shared_memory(question("container")).state is CheckStatus.OK


@pytest.mark.parametrize(
    ("name", "host", "state", "told"),
    [
        ("embedded", CPU, CheckStatus.OK, "ctc"),
        (catalog.RECOMMENDED, CPU, CheckStatus.MISSING, "needs CUDA"),
        (catalog.RECOMMENDED, H100, CheckStatus.NOTE, "downloads it first"),
        ("nvidia/nemotron-speech-streaming-en-0.6b", H100, CheckStatus.MISSING, "UNK"),
        ("no-such-base", H100, CheckStatus.MISSING, "neither a file nor a known base"),
    ],
)
def test_the_base(
    monkeypatch: pytest.MonkeyPatch, name: str, host: Hardware, state: CheckStatus, told: str
) -> None:
    """Broken, unknown, not tunable here, still to be downloaded, or fine."""
    monkeypatch.setattr("tasks.models.hub_cache.find_cached", lambda *_: None)
    found = host_checks.base(question(base=name, host=host))
    assert found.state is state
    assert told in found.says
    assert found.fix or state is CheckStatus.OK


def test_a_damaged_base_is_found(tmp_path: Path) -> None:
    """Before anything is spent."""
    path = factories.write_nemo(tmp_path / "m.nemo")
    path.write_bytes(path.read_bytes()[:1000])
    found = host_checks.base(question(base=str(path)))
    assert found.state is CheckStatus.MISSING
    assert "m.nemo" in found.says
