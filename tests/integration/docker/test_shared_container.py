"""One container for all programs of a run, in a real engine.

The programs are small, and the server imports no libraries, so that it begins at once. That forks
compute what programs of their own compute is in tests/nightly/test_shared_container.py.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tasks.common.processes import process_status
from tasks.runtimes import container_sharing, docker_engine, program_server
from tasks.runtimes.base import ENTRY, ENTRYPOINTS_VARIABLE, Job, JobResult
from tasks.runtimes.container import ContainerRuntime
from tasks.runtimes.container_settings import ContainerSettings
from tasks.runtimes.failures import Fault, FaultError, fault_of
from tasks.runtimes.hardware import Hardware
from tasks.runtimes.job_seconds import TimedRuntime
from tests.support import docker_daemon, factories, prefect_site, stub_programs
from tests.support.needs import require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LABELS = {"test": "shared-container"}
SERVER = (ENTRY / "program_server.py").read_text(encoding="utf-8")
START = '_LIBRARIES = (\n    "lightning.pytorch",'
NOT_MOUNTED = "was not mounted when the shared one was started"
_WAIT_S = 30.0
# A program of each name says what its request says, in Python.
SAYS = """
import json, sys
request = json.load(open(sys.argv[1]))
exec(request["source"])
"""


def without_libraries(server: str = SERVER) -> str:
    """The program server that has nothing to import."""
    assert START in server
    return server.replace(START, '_LIBRARIES = ()\n_UNUSED = (\n    "lightning.pytorch",')


@pytest.fixture
def client() -> Iterator[Any]:
    """The engine; no container of the test stays in it."""
    found = docker_daemon.client()
    yield found
    assert docker_engine.orphans(found, LABELS) == []


@dataclass
class Place:
    """A cycle's folder, a runtime that shares a container for it, and what it told."""

    folder: Path
    runtime: ContainerRuntime
    client: Any
    told: list[str] = field(default_factory=list)
    since: int = field(default_factory=lambda: int(time.time()))
    reads: tuple[Path, ...] = ()

    def share(self) -> None:
        """Begin a run."""
        self.runtime.share(self.folder, self.reads, self.told.append)

    def run(
        self,
        source: str,
        name: str = "transcription",
        *,
        reads: tuple[Path, ...] = (),
        poll: Callable[[], None] = lambda: None,
        runtime: Any = None,
        alone: bool = True,
    ) -> JobResult:
        """Run a program, whose work folder stays."""
        work = self.folder / f".{name}.work"
        work.mkdir(exist_ok=True)
        labels = {**LABELS, "cycle": str(self.folder)}
        job = Job(name, "transcribe.py", {"source": source}, work, reads, labels)
        result: JobResult = (runtime or self.runtime).execute(job, lambda _: None, poll)
        assert not work.is_symlink()
        if alone:
            assert list(self.folder.glob(".container-*.work/out/*")) == []
        return result

    def output(self, name: str = "transcription") -> str:
        """What a program printed."""
        return (self.folder / f".{name}.work" / f"{name}.log").read_text()

    def started(self) -> list[str]:
        """The names of the jobs whose containers were started."""
        return docker_daemon.jobs_started(self.client, self.since, self.folder)


@pytest.fixture
def place(client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A folder for a run whose image is a Python without packages."""
    monkeypatch.delenv(program_server.SEPARATE_VARIABLE, raising=False)
    programs = stub_programs.own_programs(
        tmp_path / "entry", program_server=without_libraries(), transcribe=SAYS
    )
    monkeypatch.setenv(ENTRYPOINTS_VARIABLE, str(programs))
    settings = ContainerSettings(image=docker_daemon.python_image(client, "shared", {}))
    folder = tmp_path / "a folder of 'cycles', $HOME" / "cycle1"
    folder.mkdir(parents=True)
    made = Place(folder, ContainerRuntime(settings, Hardware((), 2)), client)
    yield made
    container_sharing.close(folder)
    assert list(folder.glob(".container-*")) == []
    assert docker_engine.orphans(client, {"cycle": str(folder)}) == []


def test_programs_run_in_one_container_as_in_one_of_their_own(place: Place, tmp_path: Path) -> None:
    """Paths, user, environment, folder, and what can be written are the same; one starts."""
    recording = place.folder / "audio" / "a.wav"
    recording.parent.mkdir()
    recording.write_text("sound")
    model = tmp_path / "model"
    model.write_text("weights")
    place.reads = (model,)
    source = """
import os, pathlib
out, sound = pathlib.Path("/workspace/out"), pathlib.Path("/workspace/in/1/a.wav")
facts = [sys.argv, os.getcwd(), os.getuid(), os.getgid(), os.path.realpath(out), out.name]
facts += [pathlib.Path("/workspace/in/0.nemo").read_text(), sound.read_text()]
facts += [os.environ[name] for name in ("TMPDIR", "HOME", "PATH", "HF_HUB_OFFLINE", "USER")]
facts += [sorted(name for name in os.environ if "PYTHON" in name), __name__, sys.path[0]]
facts += [sorted(one.name for one in out.iterdir() if one.suffix != ".log")]
for path in (sound, pathlib.Path("/workspace/new"), pathlib.Path("/opt/new")):
    try:
        path.write_text("changed")
    except OSError as refused:
        facts.append(str(path) + refused.strerror)
print(json.dumps(facts))
(out / "made").write_text("here")
"""
    told = []
    for shared in (False, True):
        if shared:
            place.share()
        for _ in range(2):
            assert place.run(source, reads=(model, recording.parent)).exit_code == 0
            made = place.folder / ".transcription.work" / "made"
            assert made.read_text() == "here"
            made.unlink()
            told.append(json.loads(place.output()))
    assert told[1:] == told[:1] * 3
    assert len(told[0]) == 20
    assert place.told == []
    assert place.started() == ["transcription", "transcription", "programs"]


def test_a_killed_program_costs_no_other_one(place: Place) -> None:
    """It ends as in a container of its own; what was done before stays, and others go on."""
    kill = "import os, signal; print('at work', flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    alone = place.run(kill, "training")
    place.share()
    assert place.run("open('/workspace/out/0.jsonl', 'w').write('texts')").exit_code == 0
    result = place.run(kill, "training")
    assert (
        (result.exit_code, result.oom_killed) == (alone.exit_code, alone.oom_killed) == (137, False)
    )
    log = place.folder / ".training.work" / "training.log"
    assert place.output("training").endswith("at work\n")
    assert fault_of(result, log) is fault_of(alone, log) is Fault.STOPPED
    assert (place.folder / ".transcription.work" / "0.jsonl").read_text() == "texts"
    assert place.run("print('goes on')").exit_code == 0
    assert place.started() == ["training", "programs"]


def test_nothing_of_a_program_outlasts_it(place: Place) -> None:
    """Its daemons are killed, its files in memory removed, and its locks are free."""
    source = """
import os, pathlib, subprocess
pathlib.Path("/tmp/folder").mkdir()
for path in ("/tmp/folder/left", "/dev/shm/left"):
    pathlib.Path(path).write_text("left")
subprocess.Popen(["/bin/sh", "-c", "true"]) if os.path.exists("/bin/sh") else None
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        import time
        time.sleep(60)
    os._exit(0)
"""
    look = """
import pathlib
print(len(list(pathlib.Path("/proc").glob("[0-9]*"))))
print([str(one) for top in ("/tmp", "/dev/shm") for one in pathlib.Path(top).rglob("*")])
"""
    place.share()
    outputs = []
    for program in (look, source, look):
        assert place.run(program).exit_code == 0
        outputs.append(place.output())
    assert outputs[0] == outputs[2]
    assert outputs[0].endswith("[]\n")


def test_a_program_is_stopped_and_the_container_goes_on(place: Place) -> None:
    """What poll raises, as when a run gives up a training, ends the program and its children."""
    place.share()
    beats = place.folder / ".training.work" / "beats"
    source = f"""
import subprocess, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
while True:
    open("/workspace/out/{beats.name}", "a").write("x")
    time.sleep(0.05)
"""

    def give_up() -> None:
        if beats.exists():
            raise FaultError(Fault.UNK_COLLAPSE)

    with pytest.raises(FaultError, match="all-UNK"):
        place.run(source, "training", poll=give_up)
    size = beats.stat().st_size
    assert place.run("import pathlib; print(len(list(pathlib.Path('/proc').glob('[0-9]*'))))")
    assert place.output() == "3\n"  # the first process, the server and this program
    assert beats.stat().st_size == size
    assert place.started() == ["programs"]


def test_memory_is_told_for_each_program(place: Place) -> None:
    """The one that the kernel kills for its memory is told so; the next one is not."""
    settings = place.runtime.settings.model_copy(update={"memory_gib": 1})
    place.runtime = ContainerRuntime(settings, Hardware((), 2))
    place.share()
    result = place.run("bytearray(b'1') * (1500 << 20)")
    assert result.oom_killed
    assert result.exit_code == 137
    after = place.run("print('enough')")
    assert (after.exit_code, after.oom_killed) == (0, False)
    assert place.started() == ["programs"]


def test_what_was_not_mounted_is_read_in_a_container_of_its_own(
    place: Place, tmp_path: Path
) -> None:
    """So is what runs beside another program; both are told."""
    (tmp_path / "late").mkdir()
    (tmp_path / "late" / "a").write_text("found")
    place.share()
    source = "print(open('/workspace/in/0/a').read())"
    assert place.run(source, reads=(tmp_path / "late",)).exit_code == 0
    assert place.output() == "found\n"
    assert place.told == [
        f"transcription has a container of its own: {tmp_path / 'late'} {NOT_MOUNTED}"
    ]
    codes: list[int] = []

    def beside() -> None:
        if not codes:
            codes.append(-1)
            codes[0] = place.run("print('beside')", "boosting", alone=False).exit_code

    assert place.run("import time; time.sleep(0.2)", poll=beside).exit_code == 0
    assert codes == [0]
    assert place.told[1:] == [
        "boosting has a container of its own: another program runs in the shared one"
    ]
    assert place.started() == ["programs", "transcription", "boosting"]


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        ("import nemo.collections.asr", "ModuleNotFoundError: No module named 'nemo'"),
        ("raise SystemExit('a library has initialised it')", "a library has initialised it"),
    ],
)
def test_a_server_that_cannot_serve_is_told_and_done_without(
    place: Place, server: str, reason: str
) -> None:
    """Every program then has a container of its own, and the reason is told."""
    program = place.runtime.programs / "program_server.py"
    program.write_text(
        without_libraries().replace("def import_libraries", f"{server}\n\n\ndef import_libraries")
    )
    place.share()
    for _ in range(2):
        assert place.run("print('done')").exit_code == 0
        assert place.output() == "done\n"
    assert place.told == [f"transcription has a container of its own: {reason}"] * 2
    assert place.started() == ["programs", "transcription", "transcription"]


def test_an_engine_that_refuses_it_is_told(place: Place) -> None:
    """The run goes on, and each program meets the engine by itself."""
    settings = place.runtime.settings.model_copy(update={"gpus": "0"})
    place.runtime = ContainerRuntime(settings, Hardware((), 2))
    place.share()
    (line,) = place.told
    assert line.startswith("each program has a container of its own: the engine did not start")
    assert "could not select device driver" in line
    with pytest.raises(FaultError, match="no-gpu-runtime"):
        place.run("pass")


def test_a_container_that_somebody_removes_ends_its_program(place: Place) -> None:
    """The fault is that of a container of its own; the next program has one."""
    place.share()

    def remove() -> None:
        for one in docker_engine.orphans(place.client, {"cycle": str(place.folder)}):
            one.remove(force=True)

    with pytest.raises(FaultError, match="somebody removed the container"):
        place.run("import time; time.sleep(60)", "training", poll=remove)
    assert place.run("print('on')").exit_code == 0
    assert len(place.told) == 1


def test_another_user_runs_the_programs(place: Place) -> None:
    """As in a container of its own: outputs are that user's, and the socket lets it in."""
    require("root")
    settings = place.runtime.settings.model_copy(update={"user": "1234:1234"})
    place.runtime = ContainerRuntime(settings, Hardware((), 2))
    place.share()
    assert place.run("open('/workspace/out/made', 'w').write('x')").exit_code == 0
    made = place.folder / ".transcription.work" / "made"
    assert (made.stat().st_uid, made.stat().st_gid) == (1234, 1234)
    assert place.told == []
    assert place.started() == ["programs"]


def test_seconds_by_phase_are_those_of_the_program(place: Place) -> None:
    """A fork's phases begin with the fork, not with its server."""
    timed = TimedRuntime(place.runtime)
    timed.share(place.folder, (), place.told.append)
    source = """
import time, job_phases
job_phases.begin()
time.sleep(0.3)
job_phases.enter("train")
time.sleep(0.6)
"""
    for _ in range(2):
        time.sleep(0.5)
        assert place.run(source, runtime=timed).exit_code == 0
    second = timed.jobs[1]
    assert list(second.phases) == ["start", "import", "train"]
    assert second.phases["start"] < 0.5
    assert 0.3 <= second.phases["import"] < 0.6
    assert second.phases["train"] >= 0.6
    assert sum(second.phases.values()) == pytest.approx(second.seconds)


OWNER = """
import sys
from pathlib import Path
from tasks.runtimes.base import Job
from tasks.runtimes.container import ContainerRuntime
from tasks.runtimes.container_settings import ContainerSettings
from tasks.runtimes.hardware import Hardware

folder = Path(sys.argv[1])
runtime = ContainerRuntime(ContainerSettings(image=sys.argv[2]), Hardware((), 2))
runtime.share(folder, (), print)
work = folder / "models" / ".run.work"
work.mkdir(parents=True)
(work / "kept.ckpt").write_text("an epoch")
source = "import time; print(1, flush=True); open('/workspace/out/new.ckpt', 'w').write('more');"
source += "time.sleep(60)"
job = Job("training", "transcribe.py", {"source": source}, work, (), {"test": "shared-container"})
runtime.execute(job, lambda line: print(line, flush=True), lambda: None)
"""


def test_a_run_that_is_killed_leaves_nothing_running_and_loses_no_file(place: Place) -> None:
    """The container ends at once; the next run of the cycle finds all files where they belong."""
    root = str(Path(__file__).parents[3])
    line = [sys.executable, "-c", OWNER, str(place.folder), place.runtime.settings.image]
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root}
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "1\n"
        prefect_site.wait_for((place.folder / "models/.run.work/new.ckpt").exists, _WAIT_S)
        (container,) = docker_engine.orphans(place.client, {"cycle": str(place.folder)})
        (process, *_) = container.top()["Processes"]
        owner.kill()

    def has_ended() -> bool:
        container.reload()
        return str(container.status) == "exited"

    prefect_site.wait_for(has_ended, _WAIT_S)
    assert process_status(int(process[1])) is None
    work = place.folder / "models" / ".run.work"
    assert work.is_symlink()
    assert (work / "kept.ckpt").read_text() == "an epoch"
    place.share()
    assert not work.is_symlink()
    assert sorted(one.name for one in work.glob("*.ckpt")) == ["kept.ckpt", "new.ckpt"]
    (mine,) = docker_engine.orphans(place.client, {"cycle": str(place.folder)})
    assert mine.id != container.id


@pytest.mark.by_night
def test_a_whole_cycle_is_one_container_start(fresh_cycle: Path, tmp_path: Path) -> None:
    """Training, choice and decoding; the folder of the exchange is gone afterwards."""
    client = docker_daemon.with_standin()
    programs = tmp_path / "programs"
    shutil.copytree(stub_programs.STUB, programs)
    (programs / "program_server.py").write_text(without_libraries())
    general = factories.make_general(fresh_cycle.parent.parent / "general", 100)
    line = ["run", str(fresh_cycle), "--base", "embedded", "--epochs", "2"]
    line += ["--selection-share", "0.6", "--remedies", "0", "--general", str(general)]
    line += ["--runtime", "container", "--image", docker_daemon.STANDIN]
    since = int(time.time())
    done = stub_programs.run_command(tmp_path, *line, programs=programs)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "container of its own" not in done.stdout
    record = json.loads((fresh_cycle.parent / "cycle2" / "run.json").read_text())
    names = [one["job"] for one in record["seconds"]["jobs"]]
    assert names == ["training", "interpolation", "transcription"]
    assert docker_daemon.jobs_started(client, since, fresh_cycle) == ["programs"]
    assert docker_engine.orphans(client, {"cycle": str(fresh_cycle)}) == []
    assert [path.name for path in fresh_cycle.rglob(".*.work")] == []
