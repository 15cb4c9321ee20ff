"""One container for all programs of a run, in a real engine.

The programs are small, and the server imports no libraries, so that it begins at once. That forks
compute what programs of their own compute is in tests/nightly/test_shared_container.py.
"""

from __future__ import annotations

import json
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from tasks.runtimes import docker_engine
from tasks.runtimes.container import ContainerRuntime
from tasks.runtimes.hardware import Hardware
from tasks.runtimes.job_seconds import TimedRuntime
from tests.support import docker_daemon, factories, stub_programs
from tests.support.needs import require
from tests.support.shared_containers import SharedPlace, without_libraries

if TYPE_CHECKING:
    from pathlib import Path

NOT_MOUNTED = "was not mounted when the shared one was started"


def test_programs_run_in_one_container_as_in_one_of_their_own(
    shared_place: SharedPlace, tmp_path: Path
) -> None:
    """Paths, user, environment, folder, and what can be written are the same; one starts."""
    recording = shared_place.folder / "audio" / "a.wav"
    recording.parent.mkdir()
    recording.write_text("sound")
    model = tmp_path / "model"
    model.write_text("weights")
    shared_place.reads = (model,)
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
            shared_place.share()
        for _ in range(2):
            assert shared_place.run(source, reads=(model, recording.parent)).exit_code == 0
            made = shared_place.folder / ".transcription.work" / "made"
            assert made.read_text() == "here"
            made.unlink()
            told.append(json.loads(shared_place.output()))
    assert told[1:] == told[:1] * 3
    assert len(told[0]) == 20
    assert shared_place.told == []
    assert shared_place.started() == ["transcription", "transcription", "programs"]


def test_nothing_of_a_program_outlasts_it(shared_place: SharedPlace) -> None:
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
    shared_place.share()
    outputs = []
    for program in (look, source, look):
        assert shared_place.run(program).exit_code == 0
        outputs.append(shared_place.output())
    assert outputs[0] == outputs[2]
    assert outputs[0].endswith("[]\n")


def test_what_was_not_mounted_is_read_in_a_container_of_its_own(
    shared_place: SharedPlace, tmp_path: Path
) -> None:
    """So is what runs beside another program; both are told."""
    (tmp_path / "late").mkdir()
    (tmp_path / "late" / "a").write_text("found")
    shared_place.share()
    source = "print(open('/workspace/in/0/a').read())"
    assert shared_place.run(source, reads=(tmp_path / "late",)).exit_code == 0
    assert shared_place.output() == "found\n"
    assert shared_place.told == [
        f"transcription has a container of its own: {tmp_path / 'late'} {NOT_MOUNTED}"
    ]
    codes: list[int] = []

    def beside() -> None:
        if not codes:
            codes.append(-1)
            codes[0] = shared_place.run("print('beside')", "boosting", alone=False).exit_code

    assert shared_place.run("import time; time.sleep(0.2)", poll=beside).exit_code == 0
    assert codes == [0]
    assert shared_place.told[1:] == [
        "boosting has a container of its own: another program runs in the shared one"
    ]
    assert shared_place.started() == ["programs", "transcription", "boosting"]


def test_another_user_runs_the_programs(shared_place: SharedPlace) -> None:
    """As in a container of its own: outputs are that user's, and the socket lets it in."""
    require("root")
    settings = shared_place.runtime.settings.model_copy(update={"user": "1234:1234"})
    shared_place.runtime = ContainerRuntime(settings, Hardware((), 2))
    shared_place.share()
    assert shared_place.run("open('/workspace/out/made', 'w').write('x')").exit_code == 0
    made = shared_place.folder / ".transcription.work" / "made"
    assert (made.stat().st_uid, made.stat().st_gid) == (1234, 1234)
    assert shared_place.told == []
    assert shared_place.started() == ["programs"]


def test_seconds_by_phase_are_those_of_the_program(shared_place: SharedPlace) -> None:
    """A fork's phases begin with the fork, not with its server."""
    timed = TimedRuntime(shared_place.runtime)
    timed.share(shared_place.folder, (), shared_place.told.append)
    source = """
import time, job_phases
job_phases.begin()
time.sleep(0.3)
job_phases.enter("train")
time.sleep(0.6)
"""
    for _ in range(2):
        time.sleep(0.5)
        assert shared_place.run(source, runtime=timed).exit_code == 0
    second = timed.jobs[1]
    assert list(second.phases) == ["start", "import", "train"]
    assert second.phases["start"] < 0.5
    assert 0.3 <= second.phases["import"] < 0.6
    assert second.phases["train"] >= 0.6
    assert sum(second.phases.values()) == pytest.approx(second.seconds)


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
