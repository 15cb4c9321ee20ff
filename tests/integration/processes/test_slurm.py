"""The Slurm runtime on a real cluster of this machine, with the stub in the place of NeMo."""

from __future__ import annotations

import re
import shutil
import signal
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tasks.common.errors import FlywheelError, InputError
from tasks.runtimes.failures import Fault, FaultError
from tasks.runtimes.slurm import allocation
from tasks.training import sft
from tests.support import prefect_site, slurm_cluster, slurm_image, small_disk, stub_programs
from tests.support.sft_request_cases import request_in
from tests.support.slurm_trainings import (
    HOLD,
    checkpointed,
    checkpointed_training,
    epochs_of,
    held,
    in_background,
    job_in,
    nothing_left,
    owner_that_dies,
    recorded,
    run_nothing,
    runtime_for,
    starts,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tasks.training.progress import TrainingProgress
    from tasks.training.run import SftRequest
    from tests.support.slurm_cluster import SlurmCluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[SlurmCluster]:
    """The cluster of this module."""
    with slurm_cluster.running() as found:
        yield found


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stub, whose training is held after each checkpoint, not before the first."""
    folder = tmp_path_factory.mktemp("programs") / "stub"
    shutil.copytree(stub_programs.STUB, folder, ignore=shutil.ignore_patterns("__pycache__"))
    launcher = folder / "launch_training.py"
    text = launcher.read_text()
    written = 'last.write_text(json.dumps({"epoch": epoch + 1, "step": step}))'
    assert text.count(HOLD) == text.count(written) == 1
    text = text.replace(HOLD, "pass").replace(written, f"{written}\n        {HOLD}")
    launcher.write_text(text)
    return folder


@pytest.fixture
def request_(tmp_path: Path, lower_nemo: Path) -> SftRequest:
    """A run of three epochs on two rows, in a folder with a name that shells dislike."""
    clinic = tmp_path / "a clinic's $HOME" / "cycle1"
    return recorded(clinic, lower_nemo)


@pytest.mark.needs("slurm", "ps")
def test_stages_share_a_job_and_their_progress_is_seen(
    cluster: SlurmCluster, programs: Path, request_: SftRequest
) -> None:
    """Two programs run in one job; losses come as they are written; nothing is left behind."""
    runtime = runtime_for(request_, programs)
    said: list[str] = []
    runtime.check(said.append)
    assert any("would take it" in line for line in said)
    assert not cluster.jobs()
    seen: list[TrainingProgress] = []
    result = sft.train(request_, runtime, seen.append)
    assert epochs_of(result) == [0, 1, 2]
    assert seen[-1].validated == 3
    first = cluster.jobs()
    assert len(first) == 1
    again = sft.train(request_, runtime, seen.append)
    assert epochs_of(again) == [0, 1, 2]
    assert cluster.jobs() == first
    nothing_left(cluster, runtime)


@pytest.mark.needs("slurm", "ps")
def test_a_node_that_is_set_down_is_followed_by_another_job(
    cluster: SlurmCluster, programs: Path, request_: SftRequest
) -> None:
    """Training goes on from its last checkpoint, and its record is that of one run."""
    runtime = runtime_for(request_, programs)
    with checkpointed_training(request_, runtime) as (training, flag):
        (first,) = cluster.jobs()
        node = cluster.node()
        with cluster.node_down(node):
            prefect_site.wait_for(lambda: cluster.jobs("running") not in ([], [first]))
            flag.unlink()
            result = training.result(60)
        flag.touch()
    assert epochs_of(result) == [0, 1, 2]
    assert starts(result) == [0, 1]
    nothing_left(cluster, runtime)


@pytest.mark.needs("slurm", "ps")
def test_a_lost_node_without_a_restart_left_ends_by_name(
    cluster: SlurmCluster, programs: Path, request_: SftRequest
) -> None:
    """And the same command goes on from the checkpoint."""
    runtime = runtime_for(request_, programs, restarts=0)
    with checkpointed_training(request_, runtime) as (training, _):
        node = cluster.node()
        refused = pytest.raises(FaultError, match="0 restarts are used up")
        with cluster.node_down(node), refused as failed:
            training.result(60)
    assert failed.value.fault is Fault.NODE_LOST
    nothing_left(cluster, runtime)
    assert starts(sft.train(request_, runtime, lambda _: None)) == [0, 1]
    nothing_left(cluster, runtime)


@pytest.mark.by_night
@pytest.mark.needs("slurm", "ps")
def test_slurm_starts_a_requeued_job_again_by_itself(
    cluster: SlurmCluster, programs: Path, request_: SftRequest
) -> None:
    """The same job goes on with what it had been asked for."""
    runtime = runtime_for(request_, programs, requeue=True)
    with checkpointed_training(request_, runtime) as (training, flag):
        (first,) = cluster.jobs()
        cluster.ask("scontrol", "requeue", first)
        # Slurm would have it wait for two minutes.
        prefect_site.wait_for(lambda: cluster.jobs("pending") == [first])
        cluster.ask("scontrol", "update", f"jobid={first}", "starttime=now")
        flag.unlink()
        result = training.result(180)
        flag.touch()
    assert starts(result) == [0, 1]
    assert cluster.jobs() == [first]
    nothing_left(cluster, runtime)


@pytest.mark.needs("slurm", "ps")
def test_a_job_that_somebody_cancels_ends_the_run_and_keeps_its_checkpoint(
    cluster: SlurmCluster, programs: Path, request_: SftRequest
) -> None:
    """The fault has a name; the next start goes on from the checkpoint."""
    runtime = runtime_for(request_, programs)
    with checkpointed_training(request_, runtime) as (training, _):
        cluster.ask("scancel", *cluster.jobs())
        with pytest.raises(FaultError, match="somebody cancelled") as failed:
            training.result(60)
    assert failed.value.fault is Fault.JOB_CANCELLED
    nothing_left(cluster, runtime)
    result = sft.train(request_, runtime, lambda _: None)
    assert starts(result) == [0, 1]
    nothing_left(cluster, runtime)


@pytest.mark.needs("slurm", "ps")
def test_a_cancelled_run_cancels_its_job(
    cluster: SlurmCluster, programs: Path, request_: SftRequest
) -> None:
    """The job and its processes have ended before the run has."""
    runtime = runtime_for(request_, programs)
    stop = threading.Event()
    with checkpointed_training(request_, runtime, stop) as (training, _):
        (job,) = cluster.jobs()
        stop.set()
        with pytest.raises(KeyboardInterrupt):
            training.result(60)
        assert cluster.jobs() == []
        assert "JobState=CANCELLED" in cluster.ask("scontrol", "show", "job", job)
        nothing_left(cluster, runtime)


@pytest.mark.needs("slurm", "ps")
def test_a_run_cancelled_in_the_queue_cancels_that_job(
    cluster: SlurmCluster, programs: Path, request_: SftRequest
) -> None:
    """A job that has not begun is left to nobody."""
    runtime = runtime_for(request_, programs, more=("--begin=now+1hour",))
    waiting: list[str] = []

    def poll() -> None:
        waiting[:] = cluster.jobs("pending")
        if waiting:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runtime.execute(job_in(request_.model_dir.parents[1]), lambda _: None, poll)
    assert "JobState=CANCELLED" in cluster.ask("scontrol", "show", "job", *waiting)
    nothing_left(cluster, runtime)


@pytest.mark.by_night
@pytest.mark.needs("slurm", "ps")
def test_a_run_goes_on_while_slurm_does_not_answer(
    cluster: SlurmCluster, programs: Path, request_: SftRequest
) -> None:
    """The controller stops in mid-training and comes back after it: one job, one start."""
    said: list[str] = []
    # While scontrol waits for an answer, the run does not look whether the stage has ended.
    runtime = runtime_for(request_, programs, idle_release_s=120)
    runtime = replace(runtime, report=said.append)
    controller = cluster.daemons["slurmctld"]
    with checkpointed_training(request_, runtime) as (training, flag):
        controller.send_signal(signal.SIGSTOP)
        try:
            prefect_site.wait_for(lambda: any("does not answer" in line for line in said), 120)
            flag.unlink()
            result = training.result(120)
        finally:
            controller.send_signal(signal.SIGCONT)
        flag.touch()
    assert starts(result) == [0]
    assert len(cluster.jobs()) == 1
    nothing_left(cluster, runtime)


@pytest.mark.needs("slurm", "ps")
def test_a_job_whose_owner_was_killed_ends_by_itself(
    cluster: SlurmCluster, programs: Path, request_: SftRequest, tmp_path: Path
) -> None:
    """Nobody touches its heartbeat."""
    with owner_that_dies(request_, programs, tmp_path):
        (job,) = cluster.jobs()
        prefect_site.wait_for(lambda: not cluster.jobs(), 40)
        assert "ExitCode=75:0" in cluster.ask("scontrol", "show", "job", job)
    runtime = runtime_for(request_, programs)
    allocation.clear(runtime.place)
    nothing_left(cluster, runtime)


@pytest.mark.needs("slurm", "ps")
def test_the_next_run_cancels_what_a_killed_one_left(
    cluster: SlurmCluster, programs: Path, request_: SftRequest, tmp_path: Path
) -> None:
    """Two jobs never train in one folder; training goes on from the checkpoint."""
    runtime = runtime_for(request_, programs)
    with owner_that_dies(request_, programs, tmp_path):
        (left,) = cluster.jobs()
    result = sft.train(request_, runtime, lambda _: None)
    assert "JobState=CANCELLED" in cluster.ask("scontrol", "show", "job", left)
    assert starts(result)[-1] >= 1
    nothing_left(cluster, runtime)


@pytest.mark.needs("slurm", "ps")
def test_an_idle_job_is_released_and_the_next_stage_gets_another(
    cluster: SlurmCluster, programs: Path, request_: SftRequest
) -> None:
    """No node is held while a run scores and reports."""
    runtime = runtime_for(request_, programs, idle_release_s=5)
    sft.train(request_, runtime, lambda _: None)
    (first,) = cluster.jobs()
    prefect_site.wait_for(lambda: not cluster.jobs(), 30)
    assert "JobState=COMPLETED" in cluster.ask("scontrol", "show", "job", first)
    sft.train(request_, runtime, lambda _: None)
    assert cluster.jobs() not in ([], [first])
    nothing_left(cluster, runtime)


@pytest.mark.needs("slurm", "ps", "mount")
def test_a_full_working_folder_ends_the_run_by_name(
    cluster: SlurmCluster, programs: Path, request_: SftRequest
) -> None:
    """The model does not fit; nothing half-written stays under a model's name."""
    models = request_.model_dir.parent
    models.mkdir()
    with small_disk.mounted(models, "4m"):
        runtime = runtime_for(request_, programs)
        with held(request_) as flag:
            training = in_background(request_, runtime, threading.Event())
            prefect_site.wait_for(lambda: checkpointed(request_))
            small_disk.fill(models)
            flag.unlink()
            with pytest.raises(FaultError) as failed:
                training.result(60)
            flag.touch()
        assert failed.value.fault is Fault.DISK_FULL
        assert not request_.model_dir.exists()
        nothing_left(cluster, runtime)


@pytest.mark.needs("slurm", "ps")
def test_a_folder_that_the_node_does_not_see_is_refused(
    cluster: SlurmCluster, programs: Path, lower_nemo: Path
) -> None:
    """A node is asked before anything is submitted; where none is free the job itself looks."""
    clinic = cluster.unseen / "clinic" / "cycle1"
    request = recorded(clinic, lower_nemo)
    runtime = runtime_for(request, programs, partition="blind")
    with pytest.raises(InputError, match="a node does not see this folder"):
        runtime.check()
    assert list(clinic.parent.iterdir()) == [clinic]
    with pytest.raises(FaultError) as failed:
        allocation.forget(run_nothing(runtime, clinic), cancel=True)
    assert failed.value.fault is Fault.FOLDER_UNSEEN
    nothing_left(cluster, runtime)


@pytest.mark.needs("slurm")
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"partition": "gpus"}, r"partition 'gpus': .*no such one.*\(blind, closed, main\)"),
        ({"partition": "closed"}, "partition 'closed': is not up"),
        ({"time_limit": "2:00:00"}, "time_limit 2:00:00: is 7200 s, .* may take 3600 s"),
        ({"gres": "gpu:1"}, r"gres gpu:1: partition 'main' has no gpu \(it has none\)"),
        ({"more": ("--constraint=a100",)}, "job-refused: .*Invalid feature specification"),
        ({"cpus": 4096}, "job-refused: .*Requested node configuration is not available"),
    ],
)
def test_bad_input_is_refused_before_a_job_is_submitted(
    cluster: SlurmCluster, programs: Path, request_: SftRequest, settings: Any, says: str
) -> None:
    """The message names field, value and fix, and no job is there."""
    runtime = runtime_for(request_, programs, **settings)
    with pytest.raises(FlywheelError, match=f"(?s){says}"):
        runtime.check()
    nothing_left(cluster, runtime)


@pytest.mark.needs("slurm")
def test_a_slurm_that_does_not_answer_has_a_name(
    cluster: SlurmCluster, request_: SftRequest, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The controller's port is nobody's."""
    text = cluster.config.read_text()
    elsewhere = cluster.folder / "elsewhere.conf"
    port = slurm_cluster.free_ports(1)[0]
    elsewhere.write_text(re.sub(r"SlurmctldPort=\d+", f"SlurmctldPort={port}", text))
    monkeypatch.setenv("SLURM_CONF", str(elsewhere))
    with pytest.raises(FaultError) as failed:
        runtime_for(request_, programs).check()
    assert failed.value.fault is Fault.SCHEDULER_DOWN


@pytest.mark.needs("slurm", "ps", "charliecloud")
def test_programs_run_in_an_image_by_charliecloud(
    cluster: SlurmCluster,
    request_: SftRequest,
    programs: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Paths are the image's, it is read-only, and what is written belongs to the caller."""
    image = slurm_image.make(tmp_path_factory.mktemp("image"))
    plain = request_in(request_.model_dir.parents[1], request_.base)
    runtime = runtime_for(plain, programs, launcher="charliecloud", image=str(image))
    runtime.check()
    result = sft.train(plain, runtime, lambda _: None)
    assert epochs_of(result) == [0, 1, 2]
    nothing_left(cluster, runtime)
    assert not any((image / "mnt").iterdir())


@pytest.mark.by_night
@pytest.mark.needs("slurm", "ps")
def test_training_goes_on_in_another_job_after_the_time_limit(
    cluster: SlurmCluster, tmp_path: Path, request_: SftRequest
) -> None:
    """A limit of one minute; three epochs of 35 s each."""
    slow = tmp_path / "slow"
    shutil.copytree(stub_programs.STUB, slow, ignore=shutil.ignore_patterns("__pycache__"))
    launcher = slow / "launch_training.py"
    launcher.write_text(launcher.read_text().replace(HOLD, "time.sleep(35)"))
    runtime = runtime_for(request_, slow, time_limit="1")
    result = sft.train(request_, runtime, lambda _: None)
    assert epochs_of(result) == [0, 1, 2]
    assert len(starts(result)) >= 2
    nothing_left(cluster, runtime)


@pytest.mark.by_night
@pytest.mark.needs("slurm", "ps")
def test_a_time_limit_without_a_checkpoint_ends_the_run(
    cluster: SlurmCluster, request_: SftRequest
) -> None:
    """Another job would end in the same way: no hour of a GPU is spent on it."""
    runtime = runtime_for(request_, stub_programs.STUB, time_limit="1")
    with held(request_), pytest.raises(FaultError, match="no checkpoint in that time") as failed:
        sft.train(request_, runtime, lambda _: None)
    assert failed.value.fault is Fault.TIME_LIMIT
    nothing_left(cluster, runtime)
