"""The container runtime on a real engine, with an image that stands in for NVIDIA's."""

from __future__ import annotations

import io
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tasks.common import atomic_files
from tasks.data.audio_checks import AudioLimits
from tasks.data.cycle_folder import open_cycle
from tasks.data.preflight import preflight
from tasks.models.catalog import embedded_path
from tasks.runtimes import docker_engine, hardware, program_server
from tasks.runtimes.local import LocalRuntime
from tasks.training import run as training_run
from tasks.training import sft
from tasks.transcription import boosting
from tasks.transcription.boosting import BASE, BoostedCandidate, CandidatesWanted
from tasks.transcription.mixtures import ChoosingAudio
from tasks.transcription.rows import audio_set
from tests.support import docker_daemon, prefect_site
from tests.support.container_training_cases import (
    NASTY,
    container,
    few_rows,
    nasty_cycle,
    request_for,
    split_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.data.cycle_folder import Cycle
    from tasks.data.training_set import TrainingSet
    from tasks.transcription.boosting import BoostedTexts


@pytest.fixture(scope="module")
def client() -> Any:
    """The engine, with the stand-in image in it."""
    return docker_daemon.with_standin()


@pytest.fixture(scope="module")
def more_audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second folder of audio."""
    folder = tmp_path_factory.mktemp("more") / NASTY
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, more_audio: Path) -> Cycle:
    """A cycle with awkward names and paths."""
    return nasty_cycle(tmp_path_factory.mktemp("containers") / NASTY / "cycle1", more_audio)


@pytest.fixture(scope="module")
def cycle(whole: Cycle) -> Cycle:
    """A few rows of it: for what needs no gate."""
    return few_rows(whole)


@pytest.fixture(scope="module")
def roots(whole: Cycle, more_audio: Path) -> tuple[Path, ...]:
    """Where audio lies besides the cycle's folder."""
    return more_audio, whole.path


@pytest.fixture(scope="module")
def data(cycle: Cycle, roots: tuple[Path, ...]) -> TrainingSet:
    """Its split."""
    return split_of(cycle, roots)


def weights(model: Path) -> dict[str, Any]:
    """The tensors of a .nemo."""
    with tarfile.open(model) as archive:
        (name,) = [one for one in archive.getnames() if one.endswith("model_weights.ckpt")]
        member = archive.extractfile(name)
        assert member is not None
        loaded: dict[str, Any] = torch.load(io.BytesIO(member.read()), weights_only=True)
    return loaded


def test_container_and_local_runtime_train_the_same(
    client: Any,
    cycle: Cycle,
    data: TrainingSet,
    roots: tuple[Path, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same overrides and seed give the same validation WER, in folders and runs of any name.

    And a run that is killed after its last checkpoint, before its model is whole, becomes that same
    model without another batch.
    """
    local = request_for(cycle, data, roots, f"local {NASTY}", 1)
    left = cycle.path.parent / "left"
    publish = sft._publish

    def keep(request: training_run.SftRequest, *more: Any) -> training_run.SftResult:
        shutil.copytree(request.work_dir, left)
        return publish(request, *more)

    with monkeypatch.context() as patched:
        patched.setattr(sft, "_publish", keep)
        here = sft.train(local, LocalRuntime(hardware.detect()), lambda _: None)
    request = request_for(cycle, data, roots, f"inside {NASTY}", 1)
    inside = sft.train(request, container(), lambda _: None)
    assert [epoch.val_wer for epoch in inside.epochs] == [epoch.val_wer for epoch in here.epochs]
    info = json.loads(inside.info.read_text())
    assert info["runtime"]["image"].startswith("sha256:")
    assert info["gpu_utilisation"] is None
    assert (
        info["runtime"]["nemo"]
        == client.images.get(docker_daemon.STANDIN).labels[docker_daemon.NEMO_LABEL]
    )
    assert inside.model.stat().st_uid == os.getuid()
    assert docker_engine.orphans(client, {"cycle": str(cycle.path)}) == []
    # To the last digit only where both have as many threads.
    assert inside.epochs[0].train_loss == pytest.approx(here.epochs[0].train_loss, rel=1e-3)
    expected = weights(here.model)

    killed = request_for(cycle, data, roots, "killed late", 1)
    shutil.copytree(left, killed.work_dir)
    model = killed.checkpoints / "sft.nemo"
    model.write_bytes(model.read_bytes()[:10_000])
    (last,) = killed.checkpoints.glob("*last.ckpt")
    shutil.copy(last, last.with_name("older-last.ckpt"))  # as if killed before its removal
    os.utime(last)
    finished = sft.train(killed, LocalRuntime(hardware.detect()), lambda _: None)
    found = weights(finished.model)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert json.loads(finished.info.read_text())["starts"] == [{"epoch": 0, "step": 0}]


def test_a_cycle_is_decoded_in_the_container(
    cycle: Cycle, more_audio: Path, whole: Cycle, tmp_path: Path
) -> None:
    """By the command, and with the texts that this environment gives."""
    line = ["transcribe", str(cycle.path), "--model", "embedded", "--audio-root", str(more_audio)]
    line += ["--audio-root", str(whole.path)]
    texts = []
    for name, more in (
        ("inside", ["--runtime", "container", "--image", docker_daemon.STANDIN]),
        ("here", []),
    ):
        out = tmp_path / f"{name}.jsonl"
        program = [sys.executable, "-m", "asr_flywheel", *line, *more, "--out", str(out)]
        answer = subprocess.run(program, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        texts.append([row["hyp"] for row in atomic_files.read_jsonl(out)])
    assert texts[0] == texts[1]
    assert len(texts[0]) == len(cycle.manifest.read_text().splitlines())


def test_boosted_texts_are_the_same_in_the_container(
    client: Any, cycle: Cycle, roots: tuple[Path, ...], tmp_path: Path
) -> None:
    """The list is a read-only input; the dialogue goes through the work folder."""
    limits = AudioLimits(16000, roots, 0.0, math.inf)
    checked = preflight(cycle.manifest, limits, None).rows
    audio = ChoosingAudio("rows", audio_set(checked, (cycle.path, *roots)))
    terms = tuple(dict.fromkeys(item.term for row in checked for item in row.utterance.flagged))
    wanted = (BASE, BoostedCandidate("terms", 1.5))

    def answer(texts: BoostedTexts) -> CandidatesWanted | None:
        return None if texts else CandidatesWanted(wanted, ("rows",))

    found = []
    for name, runtime in (("inside", container()), ("here", LocalRuntime(hardware.detect()))):
        boosting.check_nemo(tmp_path / name, runtime)
        texts, times = boosting.decode_boosted(
            embedded_path(), {"terms": terms}, [audio], tmp_path / name, runtime, answer
        )
        assert "cpu" in times.how.lower()
        found.append({one: of_one["rows"] for one, of_one in texts.items()})
    assert found[0] == found[1]
    assert found[0][BASE] != found[0][wanted[1]]
    assert list(tmp_path.iterdir()) == []


def _has_ended(container: Any) -> bool:
    container.reload()
    return str(container.status) == "exited"


def _hold_still(container: Any) -> None:
    """Stop a container's processes by a signal, as a host without a free core would."""
    table = container.top()
    column = table["Titles"].index("PID")
    for process in table["Processes"]:
        os.kill(int(process[column]), signal.SIGSTOP)


@pytest.mark.parametrize("separate", [pytest.param(True, marks=pytest.mark.by_night), False])
def test_a_killed_run_costs_no_trained_epoch(
    client: Any, whole: Cycle, more_audio: Path, tmp_path: Path, *, separate: bool
) -> None:
    """After kill -9 in mid-training the same command removes the orphan and trains what is left.

    With a container for each program, that is one that goes on until then. One for all ends with
    the run, and the second run starts one again.
    """
    roots = [str(more_audio), str(whole.path)]
    whole = open_cycle(shutil.copytree(whole.path, tmp_path / NASTY / "cycle1", symlinks=True))
    command = [sys.executable, "-m", "asr_flywheel", "run", str(whole.path), "--base", "embedded"]
    command += ["--runtime", "container", "--image", docker_daemon.STANDIN]
    command += ["--audio-root", roots[0], "--audio-root", roots[1]]
    command += ["--general", "none", "--epochs", "2"]
    command += ["--variants", "1", "--interpolate", "off"]  # no part of what is tested here
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path / "prefect")}
    environment["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] = "120"
    environment[program_server.SEPARATE_VARIABLE] = "1" if separate else "0"

    def last_checkpoints() -> list[Path]:
        return list(
            whole.path.glob("models/.embedded-*.work/experiment/sft/checkpoints/*last.ckpt")
        )

    with (tmp_path / "first.log").open("wb") as log:
        first = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        while first.poll() is None and not last_checkpoints():
            time.sleep(0.2)
        first.kill()
        first.wait()
        (orphan,) = docker_engine.orphans(client, {"cycle": str(whole.path)})
        if separate:
            # It must not be done before the second run has begun, however fast the machine is.
            _hold_still(orphan)
        else:
            prefect_site.wait_for(lambda: _has_ended(orphan), 20.0)
    assert last_checkpoints(), (tmp_path / "first.log").read_text()
    assert not list(whole.path.glob(f"models/embedded-*/{training_run.MODEL_NAME}"))
    since = time.time()
    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    assert ("container of its own" in again.stdout) is separate
    jobs = docker_daemon.jobs_started(client, since, whole.path)
    assert jobs == ["training" if separate else "programs"]
    (record,) = whole.path.glob(f"models/embedded-*/{training_run.INFO_NAME}")
    info = json.loads(record.read_text())
    # Rows in batches of 4; no whole epoch was trained again.
    steps = -(-info["dataset"]["train_rows"] // 4)
    first_step, resumed = (start["step"] for start in info["starts"])
    assert (first_step, resumed % steps) == (0, 0)
    assert steps <= resumed < 2 * steps
    assert [epoch["epoch"] for epoch in info["epochs"]] == [0, 1]
    assert (whole.path.parent / "cycle2" / "run.json").is_file()
    assert docker_engine.orphans(client, {"cycle": str(whole.path)}) == []
