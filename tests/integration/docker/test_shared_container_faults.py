"""What goes wrong in a shared container, in a real engine: it costs one program, and is told.

The programs are small, and the server imports no libraries, so that it begins at once.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.common.processes import process_status
from tasks.runtimes import docker_engine
from tasks.runtimes.container import ContainerRuntime
from tasks.runtimes.failures import Fault, FaultError, fault_of
from tasks.runtimes.hardware import Hardware
from tests.support import prefect_site
from tests.support.shared_containers import SharedPlace, without_libraries

_WAIT_S = 30.0


def test_a_killed_program_costs_no_other_one(shared_place: SharedPlace) -> None:
    """It ends as in a container of its own; what was done before stays, and others go on."""
    kill = "import os, signal; print('at work', flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    alone = shared_place.run(kill, "training")
    shared_place.share()
    assert shared_place.run("open('/workspace/out/0.jsonl', 'w').write('texts')").exit_code == 0
    result = shared_place.run(kill, "training")
    assert (
        (result.exit_code, result.oom_killed) == (alone.exit_code, alone.oom_killed) == (137, False)
    )
    log = shared_place.folder / ".training.work" / "training.log"
    assert shared_place.output("training").endswith("at work\n")
    assert fault_of(result, log) is fault_of(alone, log) is Fault.STOPPED
    assert (shared_place.folder / ".transcription.work" / "0.jsonl").read_text() == "texts"
    assert shared_place.run("print('goes on')").exit_code == 0
    assert shared_place.started() == ["training", "programs"]


def test_a_program_is_stopped_and_the_container_goes_on(shared_place: SharedPlace) -> None:
    """What poll raises, as when a run gives up a training, ends the program and its children."""
    shared_place.share()
    beats = shared_place.folder / ".training.work" / "beats"
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
        shared_place.run(source, "training", poll=give_up)
    size = beats.stat().st_size
    assert shared_place.run(
        "import pathlib; print(len(list(pathlib.Path('/proc').glob('[0-9]*'))))"
    )
    assert shared_place.output() == "3\n"  # the first process, the server and this program
    assert beats.stat().st_size == size
    assert shared_place.started() == ["programs"]


def test_memory_is_told_for_each_program(shared_place: SharedPlace) -> None:
    """The one that the kernel kills for its memory is told so; the next one is not."""
    settings = shared_place.runtime.settings.model_copy(update={"memory_gib": 1})
    shared_place.runtime = ContainerRuntime(settings, Hardware((), 2))
    shared_place.share()
    result = shared_place.run("bytearray(b'1') * (1500 << 20)")
    assert result.oom_killed
    assert result.exit_code == 137
    after = shared_place.run("print('enough')")
    assert (after.exit_code, after.oom_killed) == (0, False)
    assert shared_place.started() == ["programs"]


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        ("import nemo.collections.asr", "ModuleNotFoundError: No module named 'nemo'"),
        ("raise SystemExit('a library has initialised it')", "a library has initialised it"),
    ],
)
def test_a_server_that_cannot_serve_is_told_and_done_without(
    shared_place: SharedPlace, server: str, reason: str
) -> None:
    """Every program then has a container of its own, and the reason is told."""
    program = shared_place.runtime.programs / "program_server.py"
    program.write_text(
        without_libraries().replace("def import_libraries", f"{server}\n\n\ndef import_libraries")
    )
    shared_place.share()
    for _ in range(2):
        assert shared_place.run("print('done')").exit_code == 0
        assert shared_place.output() == "done\n"
    assert shared_place.told == [f"transcription has a container of its own: {reason}"] * 2
    assert shared_place.started() == ["programs", "transcription", "transcription"]


def test_an_engine_that_refuses_it_is_told(shared_place: SharedPlace) -> None:
    """The run goes on, and each program meets the engine by itself."""
    settings = shared_place.runtime.settings.model_copy(update={"gpus": "0"})
    shared_place.runtime = ContainerRuntime(settings, Hardware((), 2))
    shared_place.share()
    (line,) = shared_place.told
    assert line.startswith("each program has a container of its own: the engine did not start")
    assert "could not select device driver" in line
    with pytest.raises(FaultError, match="no-gpu-runtime"):
        shared_place.run("pass")


def test_a_container_that_somebody_removes_ends_its_program(shared_place: SharedPlace) -> None:
    """The fault is that of a container of its own; the next program has one."""
    shared_place.share()
    begun = shared_place.folder / ".training.work" / "begun"
    source = f"import time; open('/workspace/out/{begun.name}', 'w'); time.sleep(60)"

    def remove() -> None:
        if begun.exists():
            _remove_containers(shared_place)

    with pytest.raises(FaultError, match="somebody removed the container"):
        shared_place.run(source, "training", poll=remove)
    assert shared_place.run("print('on')").exit_code == 0
    assert len(shared_place.told) == 1


def test_a_container_that_is_removed_before_a_program_begins_is_done_without(
    shared_place: SharedPlace,
) -> None:
    """Nothing of the program was lost, so that it begins in a container of its own."""
    shared_place.share()
    _remove_containers(shared_place)
    assert shared_place.run("print('done')").exit_code == 0
    assert shared_place.output() == "done\n"
    assert shared_place.told == [
        "transcription has a container of its own: it ended, or was removed, and said nothing"
    ]


def _remove_containers(place: SharedPlace) -> None:
    for one in docker_engine.orphans(place.client, {"cycle": str(place.folder)}):
        one.remove(force=True)


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


def test_a_run_that_is_killed_leaves_nothing_running_and_loses_no_file(
    shared_place: SharedPlace,
) -> None:
    """The container ends at once; the next run of the cycle finds all files where they belong."""
    root = str(Path(__file__).parents[3])
    line = [
        sys.executable,
        "-c",
        OWNER,
        str(shared_place.folder),
        shared_place.runtime.settings.image,
    ]
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root}
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "1\n"
        prefect_site.wait_for((shared_place.folder / "models/.run.work/new.ckpt").exists, _WAIT_S)
        (container,) = docker_engine.orphans(
            shared_place.client, {"cycle": str(shared_place.folder)}
        )
        (process, *_) = container.top()["Processes"]
        owner.kill()

    def has_ended() -> bool:
        container.reload()
        return str(container.status) == "exited"

    prefect_site.wait_for(has_ended, _WAIT_S)
    assert process_status(int(process[1])) is None
    work = shared_place.folder / "models" / ".run.work"
    assert work.is_symlink()
    assert (work / "kept.ckpt").read_text() == "an epoch"
    shared_place.share()
    assert not work.is_symlink()
    assert sorted(one.name for one in work.glob("*.ckpt")) == ["kept.ckpt", "new.ckpt"]
    (mine,) = docker_engine.orphans(shared_place.client, {"cycle": str(shared_place.folder)})
    assert mine.id != container.id
