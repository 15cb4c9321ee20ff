"""A site as a team runs it: launched by API, cancelled, two runs on one slot, a killed worker."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import soundfile
from prefect.blocks.system import Secret

from asr_flywheel.site.local_site import Site
from blocks.stores import LocalArtifactStore, open_store
from flows import gpu_slots
from tasks.common import atomic_files
from tasks.common.errors import FlywheelError, InputError
from tasks.runtimes import docker_engine
from tasks.runtimes.base import ENTRYPOINTS_VARIABLE, OWN_SCRIPT
from tasks.runtimes.hardware import Gpu
from tasks.training import run as training_run
from tests.support import doc_pages, docker_daemon, prefect_site, stub_programs


@pytest.fixture
def cycle(fresh_cycle: Path) -> Path:
    """A cycle to be trained on."""
    return fresh_cycle


@pytest.mark.parametrize(
    ("field", "value"),
    [("epochs", 0), ("priority", ["drugs"]), ("recipe", "best"), ("store", "archive")],
)
def test_bad_parameters_are_refused_over_the_api(
    site: Site, cycle: Path, field: str, value: object
) -> None:
    """Before a run is made, with the field's name."""
    with pytest.raises(httpx.HTTPStatusError) as refused:
        prefect_site.launch(site, prefect_site.quick(cycle, **{field: value}))
    assert refused.value.response.status_code == 409
    assert field in refused.value.response.text


def test_a_block_with_a_relative_folder_is_refused(site: Site, tmp_path: Path) -> None:
    """Saved before folders had to be absolute, or by a program: it is named with its field."""
    with prefect_site.speaking_to(site):
        saved = LocalArtifactStore(root=tmp_path / "kept").save("kept-here", overwrite=True)
        open_store("local-artifact-store/kept-here").check()
        prefect_site.call(site, "PATCH", f"block_documents/{saved}", data={"root": "kept"})
        with pytest.raises(InputError, match=r"local-artifact-store/kept-here: root: .*relative"):
            open_store("local-artifact-store/kept-here")
        with pytest.raises(InputError, match="there is no block 'local-artifact-store/never-made'"):
            open_store("local-artifact-store/never-made")


def test_the_worker_says_what_it_has(site: Site) -> None:
    """An artifact tells which GPU, driver and image the host has."""
    here = f"worker-{gpu_slots.slug(socket.gethostname())}"

    def told_of() -> list[dict[str, Any]]:
        found = prefect_site.call(site, "POST", "artifacts/latest/filter")
        return [one for one in found if one["key"] == here]

    prefect_site.wait_for(told_of)
    (told,) = told_of()
    assert json.loads(told["data"])[0]["cores"] == len(os.sched_getaffinity(0))


@pytest.mark.by_night
def test_nemo_trains_and_decodes_on_the_site(site: Site, cycle: Path) -> None:
    """A run with this project's own programs, not the stub: both models decode every row."""
    own = {"env": {ENTRYPOINTS_VARIABLE: ""}}
    run = prefect_site.launch(site, prefect_site.quick(cycle), job_variables=own)
    prefect_site.ends(site, run, "Completed")
    (info,) = cycle.glob("models/*/training_run_info.json")
    trained = atomic_files.read_json(info)
    assert trained["runtime"]["nemo"] == metadata.version("nemo_toolkit")
    assert trained["runtime"]["script"] == str(OWN_SCRIPT)
    assert trained["base"]["parameters"] > 5_000_000
    record = atomic_files.read_json(cycle.parent / "cycle2" / "run.json")
    # Base, the mixture that is shipped, and the plain tuned model.
    assert [model["rows_decoded"] for model in record["transcription"]] == [180, 180, 180]


def test_one_changed_recording_redoes_what_depends_on_it_and_no_more(
    site: Site, trained_cycle: Path
) -> None:
    """The base decodes one row, not all; the model, whose data changed, is trained anew."""
    train = (trained_cycle / "train.jsonl").read_text(encoding="utf-8").splitlines()
    audio = trained_cycle / "audio" / Path(json.loads(train[0])["audio_filepath"]).name
    samples, rate = soundfile.read(audio, dtype="int16")
    soundfile.write(audio, samples // 2, rate)
    prefect_site.run_here(site, trained_cycle)
    record = atomic_files.read_json(trained_cycle.parent / "cycle2" / "run.json")
    assert record["sft"]["reused"] is False
    # The base; what is shipped, and the plain tuned model where that is a mixture.
    base, *tuned = (model["rows_decoded"] for model in record["transcription"])
    assert (base, set(tuned)) == (1, {180})


def test_a_run_that_does_not_fit_is_refused_in_words(site: Site, cycle: Path) -> None:
    """Its log names the image that this host cannot have, and nothing was trained or written."""
    docker_daemon.client()
    settings = {"image": "nowhere.invalid/nemo:1"}
    run = prefect_site.launch(
        site, prefect_site.quick(cycle, runtime="container", container=settings)
    )
    prefect_site.ends(site, run, "Failed")
    prefect_site.says(site, run, "nowhere.invalid/nemo:1")
    assert not (cycle / "models").exists()
    assert not (cycle.parent / "cycle2").exists()


def test_cancelling_while_a_container_trains_leaves_nothing(site: Site, cycle: Path) -> None:
    """The container is gone within the grace period, the run is Cancelled, and no model is left."""
    client = docker_daemon.with_standin()
    settings = {"image": docker_daemon.STANDIN}
    labels = {"cycle": str(cycle)}
    (cycle / stub_programs.HOLD_TRAINING).touch()
    run = prefect_site.launch(
        site, prefect_site.quick(cycle, runtime="container", container=settings)
    )
    prefect_site.trains(site, run, cycle)
    assert len(docker_engine.orphans(client, labels)) == 1
    prefect_site.call(
        site,
        "POST",
        f"flow_runs/{run}/set_state",
        state={"type": "CANCELLING", "name": "Cancelling"},
    )
    started = time.monotonic()
    prefect_site.wait_for(
        lambda: not docker_engine.orphans(client, labels), docker_engine.GRACE_S + 10
    )
    assert time.monotonic() - started < docker_engine.GRACE_S + 10
    prefect_site.ends(site, run, "Cancelled")
    assert not list(cycle.glob(f"models/*/{training_run.MODEL_NAME}"))
    assert not (cycle.parent / "cycle2").exists()


def test_of_two_runs_one_waits_for_the_gpu_and_both_finish(
    site: Site, made_cycle: Path, tmp_path: Path
) -> None:
    """Both are taken at once; the second trains only when the first has given the slot back."""
    cycles = [
        Path(shutil.copytree(made_cycle, tmp_path / clinic / "cycle1")) for clinic in ("a", "b")
    ]

    def at_work() -> list[bool]:
        return [any(cycle.glob("models/.*.work")) for cycle in cycles]

    with stub_programs.held(cycles[0]), stub_programs.held(cycles[1]):
        runs = [prefect_site.launch(site, prefect_site.quick(cycle)) for cycle in cycles]
        # Both have come to their training; one has begun it.
        prefect_site.wait_for(
            lambda: all(prefect_site.task_runs(site, run).get("sft") == "Running" for run in runs),
            180,
        )
        prefect_site.wait_for(lambda: any(at_work()))
        time.sleep(4)
        assert sum(at_work()) == 1
    for run in runs:
        prefect_site.ends(site, run, "Completed")


def limits_of(site: Site) -> list[dict[str, Any]]:
    """The server's global concurrency limits."""
    return list(prefect_site.call(site, "POST", "v2/concurrency_limits/filter", limit=200))


def test_each_gpu_of_a_host_is_used_by_one_run_at_a_time(site: Site) -> None:
    """Two holders at once; who wants both GPUs waits for both; a host that is gone has none."""
    pair = (Gpu("one", uuid="GPU-aaaaaaaa-1"), Gpu("two", uuid="GPU-bbbbbbbb-2"))
    one, two = (gpu.uuid for gpu in pair)
    with prefect_site.speaking_to(site):
        gpu_slots.offer(pair)
        with ExitStack() as first, ExitStack() as second:
            first.enter_context(prefect_site.holding_slot(site, one))
            second.enter_context(prefect_site.holding_slot(site, two))
            with prefect_site.asking_for_slot(site, one, two) as both:
                assert not both.wait(12)
                second.close()
                assert not both.wait(5)
                first.close()
                assert both.wait(60)
        names = {*gpu_slots.slot_names(pair), gpu_slots.host_slot()}
        assert len(names) == 3
        assert {one["limit"] for one in limits_of(site) if one["name"] in names} == {1}
        with prefect_site.holding_slot(site, one, two):
            # As when a rented host goes whose run was killed.
            gpu_slots.withdraw(socket.gethostname())
            assert not names & {one["name"] for one in limits_of(site)}
        gpu_slots.offer(pair)
        gpu_slots.offer(pair[:1])
        assert names <= {one["name"] for one in limits_of(site)}
        with prefect_site.holding_slot(site, one, two):
            pass


def test_a_second_start_keeps_what_somebody_has_set(site: Site) -> None:
    """Schedules, default parameters and pauses of the deployments; the code's version is new."""
    names = ("finetune-cycle", "evaluate-cycle")
    tuned, evaluated = (
        prefect_site.call(site, "GET", f"deployments/name/{one}/{one}") for one in names
    )
    place = f"deployments/{tuned['id']}"
    weekly = {"schedule": {"cron": "0 4 * * 0", "timezone": "Europe/Zurich"}, "active": False}
    prefect_site.call(site, "POST", f"{place}/schedules", [weekly])
    default = {"config": {"cycle": "/srv/ward-7/cycle1"}}
    prefect_site.call(site, "PATCH", place, parameters=default, version="older")
    prefect_site.call(site, "POST", f"deployments/{evaluated['id']}/pause_deployment")
    try:
        before = prefect_site.call(site, "GET", place)
        site.configure()
        after = prefect_site.call(site, "GET", place)
        assert after["schedules"] == before["schedules"]
        assert len(after["schedules"]) == 2
        assert after["parameters"] == default
        assert after["version"] == tuned["version"]
        assert prefect_site.call(site, "GET", f"deployments/{evaluated['id']}")["paused"]
    finally:
        for one in prefect_site.call(site, "GET", place)["schedules"]:
            if one["schedule"].get("cron") == "0 4 * * 0":
                prefect_site.call(site, "DELETE", f"{place}/schedules/{one['id']}")
        prefect_site.call(site, "PATCH", place, parameters={})
        prefect_site.call(site, "POST", f"deployments/{evaluated['id']}/resume_deployment")


def test_a_site_does_not_take_another_ones_port(site: Site, tmp_path: Path) -> None:
    """Its deployments and its worker would go to a foreign server; a site has one port."""
    with pytest.raises(FlywheelError, match=f"port {site.port}: another Prefect server answers"):
        Site(tmp_path / "another", site.port).up()
    with pytest.raises(FlywheelError, match=f"this site runs on port {site.port}"):
        Site(site.folder, prefect_site.free_port()).up()
    assert site.answers()


def test_a_second_run_of_the_same_cycle_is_refused(site: Site, cycle: Path) -> None:
    """Two runs would write the same files; the first goes on."""
    with stub_programs.held(cycle):
        first = prefect_site.launch(site, prefect_site.quick(cycle))
        prefect_site.trains(site, first, cycle)
        second = prefect_site.launch(site, prefect_site.quick(cycle))
        prefect_site.ends(site, second, "Failed")
        prefect_site.says(site, second, "another run works on this cycle")
    prefect_site.ends(site, first, "Completed")


def test_the_database_comes_back_from_its_backup(site: Site, trained: Path, tmp_path: Path) -> None:
    """Copied while a run holds a slot, as docs/operations.md says; it is free, blocks are there."""
    assert trained.is_dir()
    with prefect_site.speaking_to(site):
        Secret(value="planted").save("kept-secret", overwrite=True)
    restored = Site(tmp_path / "restored", prefect_site.free_port())
    backup = restored.folder / "prefect" / "prefect.db"
    backup.parent.mkdir(parents=True)
    shell = {**os.environ, "SITE": str(site.folder), "BACKUP": str(backup)}
    line = ["bash", "-euo", "pipefail", "-c", doc_pages.script("operations.md", "bash", "SQLite")]
    with prefect_site.holding_slot(site):
        subprocess.run(line, env=shell, check=True)
    try:
        restored.start_server()
        for what in ("flow_runs", "task_runs", "artifacts", "deployments"):
            before, after = (
                prefect_site.call(one, "POST", f"{what}/count") for one in (site, restored)
            )
            assert before == after > 0, what
        assert prefect_site.slots_taken(restored)[gpu_slots.host_slot()] == 0
        with prefect_site.speaking_to(restored):
            kept = cast("Secret[str]", Secret.load("kept-secret"))
            assert kept.get() == "planted"
    finally:
        restored.down()
