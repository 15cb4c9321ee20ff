"""A training run around a launcher that is planned: what counts as finished, what stays."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tasks.common import atomic_files, hashing
from tasks.common.errors import TrainingError
from tasks.runtimes import local as local_runtime
from tasks.runtimes.base import Job, JobResult
from tasks.training import progress, sft
from tasks.training import run as training_run
from tests.support import factories
from tests.support.sft_request_cases import (
    WHOLE,
    end,
    epoch,
    local,
    plan_launcher,
    request_in,
    start,
    step,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def request_(tmp_path: Path, lower_nemo: Path) -> training_run.SftRequest:
    """A run of the verified recipe on a CTC base."""
    return request_in(tmp_path, lower_nemo)


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lower_nemo: Path) -> Callable[..., None]:
    """Put the stand-in in the launcher's place; the returned function says what it shall do."""
    return plan_launcher(tmp_path, monkeypatch, lower_nemo)


def test_a_whole_run_leaves_model_and_record_and_nothing_else(
    request_: training_run.SftRequest, plan: Callable[..., None], lower_nemo: Path
) -> None:
    """The best epoch is the one of lowest validation WER; the work folder goes."""
    plan(WHOLE)
    seen: list[progress.TrainingProgress] = []
    result = sft.train(request_, local(), seen.append)
    assert result.model.read_bytes() == lower_nemo.read_bytes()
    assert result.model_sha256 == hashing.sha256_file(lower_nemo)
    assert [one.val_wer for one in result.epochs] == [0.9, 0.4, 0.6]
    assert result.best is not None
    assert result.best.epoch == 1
    assert not request_.work_dir.exists()
    assert {path.name for path in request_.model_dir.iterdir()} == {
        "adapted_model.nemo",
        "recording_roles.jsonl",
        "training_events.jsonl",
        "training_run_info.json",
        "trained_recordings.txt",
        "training.log",
    }
    info = atomic_files.read_json(result.info)
    assert info["model_sha256"] == result.model_sha256
    assert info["base"]["sha256"] == hashing.sha256_file(lower_nemo)
    assert info["recipe"]["lr"] == 3e-4
    assert info["recipe"]["warmup_steps"] == 5
    assert info["dataset"]["train_rows"] == 2
    assert info["dataset"]["validation_rows"] == 1
    assert info["dataset"]["train_sha256"] == hashing.sha256_file(request_.data.train)
    assert [one["val_wer"] for one in info["epochs"]] == [0.9, 0.4, 0.6]
    assert info["peak_gpu_memory_mib"] == 102
    assert info["key"] == request_.key
    assert info["best_epoch"] == 1
    assert info["runtime"]["precision"] == "32-true"
    last = seen[-1]
    assert (last.batch, last.batches, last.validated, last.val_wer) == (2, 6, 3, 0.6)
    assert last.share == pytest.approx(1 / 3)


def test_a_finished_run_is_found_again(
    request_: training_run.SftRequest, plan: Callable[..., None]
) -> None:
    """The same figures, marked as reused."""
    assert training_run.find_finished(request_) is None
    plan(WHOLE)
    done = sft.train(request_, local(), lambda _: None)
    found = training_run.find_finished(request_)
    assert found is not None
    assert found.reused
    assert not done.reused
    assert (found.model_sha256, found.epochs) == (done.model_sha256, done.epochs)


@pytest.mark.parametrize("damage", ["changed", "no model", "no record"])
def test_a_run_that_is_not_whole_is_not_found(
    request_: training_run.SftRequest, plan: Callable[..., None], damage: str
) -> None:
    """A model whose hash differs, or one without its record, is trained again."""
    plan(WHOLE)
    done = sft.train(request_, local(), lambda _: None)
    if damage == "changed":
        with done.model.open("ab") as model:
            model.write(b"x")
    elif damage == "no model":
        done.model.unlink()
    else:
        done.info.unlink()
    assert training_run.find_finished(request_) is None


@pytest.mark.parametrize(
    "events",
    [
        [],
        [start()],
        [start(), step(0, 1)],
        [start(), epoch(0)],
        [start(), epoch(0), epoch(1)],
        [start(), epoch(0), epoch(1), end()],
    ],
)
def test_exit_code_0_before_the_last_epoch_is_no_success(
    request_: training_run.SftRequest, plan: Callable[..., None], events: list[dict[str, Any]]
) -> None:
    """A script that was stopped ends with 0 as well."""
    plan(events)
    with pytest.raises(TrainingError, match="of 3 epochs"):
        sft.train(request_, local(), lambda _: None)
    assert not request_.model_dir.exists()
    assert training_run.find_finished(request_) is None
    # Nothing to go on from: only the log stays.
    assert list(request_.model_dir.parent.iterdir()) == [training_run.failed_log(request_)]


def test_a_failed_run_leaves_what_the_next_one_can_use(
    request_: training_run.SftRequest, plan: Callable[..., None]
) -> None:
    """Its checkpoints, and the log in their folder, whose place the message tells."""
    plan([start(), epoch(0)])
    request_.checkpoints.mkdir(parents=True)
    (request_.checkpoints / "sft-last.ckpt").touch()
    with pytest.raises(TrainingError, match=r"The whole log: .*\.run\.work/training\.log"):
        sft.train(request_, local(), lambda _: None)
    assert (request_.checkpoints / "sft-last.ckpt").is_file()
    assert not request_.model_dir.exists()


def test_training_reads_no_field_that_nemo_would_take_otherwise(
    tmp_path: Path, lower_nemo: Path, plan: Callable[..., None]
) -> None:
    """NeMo prefers audio_filename to the path that was checked, and cuts at an offset."""
    request = request_in(tmp_path, lower_nemo)
    row = {
        "audio_filepath": str(request.audio_roots[0] / "a.wav"),
        "text": "hello",
        "duration": 1.0,
        "lang": "en",
        "audio_filename": "/etc/passwd",
        "offset": 0.5,
        "context": "x",
    }
    factories.write_rows(request.data.train, [row, row])
    plan([start()])
    request.checkpoints.mkdir(parents=True)
    (request.checkpoints / "sft-last.ckpt").touch()  # so that the copy stays
    with pytest.raises(TrainingError):
        sft.train(request, local(), lambda _: None)
    copied = atomic_files.read_jsonl(request.copy("train"))[0]
    assert sorted(copied) == ["audio_filepath", "duration", "lang", "text"]


def test_early_stopping_is_a_success(
    request_: training_run.SftRequest, plan: Callable[..., None]
) -> None:
    """Fewer epochs than asked for are enough where the script says that it stopped by itself."""
    plan([start(), epoch(0, 0.4), epoch(1, 0.5), end(early=True)])
    result = sft.train(request_, local(), lambda _: None)
    assert [one.epoch for one in result.epochs] == [0, 1]


def test_a_failure_shows_the_end_of_the_log(
    request_: training_run.SftRequest, plan: Callable[..., None]
) -> None:
    """The last lines, not all of them, and the exit code; whatever the epochs say."""
    plan(WHOLE, exit_code=7, says="RuntimeError: the very last word")
    with pytest.raises(TrainingError) as told:
        sft.train(request_, local(), lambda _: None)
    text = str(told.value)
    assert "exit code 7" in text
    assert "RuntimeError: the very last word" in text
    assert "log line 39" in text
    assert "log line 5\n" not in text
    assert not request_.model_dir.exists()


@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_run_without_a_whole_model_is_no_success(
    request_: training_run.SftRequest,
    plan: Callable[..., None],
    tmp_path: Path,
    lower_nemo: Path,
    damage: str,
) -> None:
    """All epochs are done, but what was written cannot be opened."""
    cut = tmp_path / "cut.nemo"
    cut.write_bytes(lower_nemo.read_bytes()[:2000])
    plan(WHOLE, model=None if damage == "missing" else cut)
    with pytest.raises(TrainingError):
        sft.train(request_, local(), lambda _: None)
    assert training_run.find_finished(request_) is None
    assert not (request_.model_dir / "adapted_model.nemo").exists()


FAMILY = """
import os, subprocess, sys, time
os.chdir(os.path.dirname(sys.argv[1]))
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
with open("pids.part", "w") as out:
    out.write(f"{os.getpid()} {child.pid}")
os.rename("pids.part", "pids")
time.sleep(60)
"""


STUBBORN = """
import os, signal, subprocess, sys, time
os.chdir(os.path.dirname(sys.argv[1]))
child = subprocess.Popen(
    [sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN);"
     "open('ready', 'w').close(); time.sleep(60)"]
)
while not os.path.exists("ready"):
    time.sleep(0.01)
with open("pids.part", "w") as out:
    out.write(f"{os.getpid()} {child.pid}")
os.rename("pids.part", "pids")
time.sleep(60)
"""


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not yet collected does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@pytest.mark.needs("proc")
@pytest.mark.parametrize("family", [FAMILY, STUBBORN], ids=["polite", "stubborn"])
def test_nothing_is_left_running_when_the_watcher_gives_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    """What report() raises is passed on and ends all, also a child that ignores SIGTERM."""
    entry, work = tmp_path / "entry", tmp_path / "work"
    entry.mkdir()
    (entry / "family.py").write_text(family)
    monkeypatch.setattr(local_runtime, "_POLL_S", 0.01)
    pids: list[int] = []

    def report() -> None:
        if (work / "pids").is_file():
            pids.extend(map(int, (work / "pids").read_text().split()))
            assert all(map(alive, pids))
            raise KeyboardInterrupt

    job = Job("training", "family.py", {}, work, (), {})
    with pytest.raises(KeyboardInterrupt):
        local(programs=entry).execute(job, lambda _: None, report)
    assert len(pids) == 2
    deadline = time.monotonic() + 5
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    left = [pid for pid in pids if alive(pid)]
    for pid in left:
        os.kill(pid, 9)
    assert not left


def test_every_line_of_a_programs_output_is_seen_and_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Standard output and standard error, in the log and line by line; the exit code comes back."""
    entry = tmp_path / "entry"
    entry.mkdir()
    (entry / "talk.py").write_text(
        "import sys, json\nprint('one ⁇')\nprint('two', file=sys.stderr)\n"
        "print(json.load(open(sys.argv[1]))['word'])\nsys.exit(5)\n"
    )
    job = Job("talk", "talk.py", {"word": "three é"}, tmp_path / "work", (), {})
    seen: list[str] = []
    ended = local(programs=entry).execute(job, seen.append, lambda: None)
    assert ended == JobResult(5)
    assert seen == ["one ⁇", "two", "three é"]
    assert job.log.read_text(encoding="utf-8").splitlines() == seen


def test_the_script_gets_the_recipes_seed_and_the_users_paths(
    request_: training_run.SftRequest, plan: Callable[..., None]
) -> None:
    """The launcher's request, as the stand-in found it, after a run that did not end well."""
    plan([start()])
    request_.checkpoints.mkdir(parents=True)
    (request_.checkpoints / "sft-last.ckpt").touch()  # so that the request stays
    with pytest.raises(TrainingError):
        sft.train(request_, local(), lambda _: None)
    told = json.loads((request_.work_dir / "training.request.json").read_text(encoding="utf-8"))
    assert told["seed"] == 42
    assert told["rows"] == {"train": 2, "validation": 1}
    assert told["limits"] == [0.1, 20.0]
    assert f"init_from_nemo_model='{request_.base}'" in told["arguments"]
    assert all(not key.startswith("+") for key in told["keys"])
    copy = (request_.work_dir / "train.jsonl").read_text(encoding="utf-8")
    copies = [json.loads(line) for line in copy.splitlines()]
    assert [row["text"] for row in copies] == ["hello", "hello"]
    assert all(os.path.isabs(row["audio_filepath"]) for row in copies)  # noqa: PTH117


def test_output_that_is_no_utf_8_does_not_end_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library may print bytes of its own; they are replaced."""
    entry = tmp_path / "entry"
    entry.mkdir()
    (entry / "noise.py").write_text(
        "import sys\nsys.stdout.buffer.write(b'caf\\xe9\\n')\nprint('after')\n"
    )
    seen: list[str] = []
    job = Job("noise", "noise.py", {}, tmp_path / "work", (), {})
    assert local(programs=entry).execute(job, seen.append, lambda: None) == JobResult(0)
    assert seen[-1] == "after"


def test_a_character_that_is_half_written_does_not_end_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of it is waited for."""
    entry = tmp_path / "entry"
    entry.mkdir()
    (entry / "slow.py").write_text(
        "import sys, time\nout = sys.stdout.buffer\n"
        "out.write(b'\\xe2\\x81'); out.flush(); time.sleep(0.4)\n"
        "out.write(b'\\x87\\n'); out.flush()\n"
    )
    monkeypatch.setattr(local_runtime, "_POLL_S", 0.02)
    seen: list[str] = []
    job = Job("slow", "slow.py", {}, tmp_path / "work", (), {})
    assert local(programs=entry).execute(job, seen.append, lambda: None) == JobResult(0)
    assert seen == ["⁇"]


def test_a_run_that_was_stopped_after_its_last_validation_is_no_success(
    request_: training_run.SftRequest, plan: Callable[..., None]
) -> None:
    """Without an orderly end the last epoch's checkpoint may not have been written."""
    plan([start(), epoch(0), epoch(1), epoch(2)])
    with pytest.raises(TrainingError):
        sft.train(request_, local(), lambda _: None)


def test_a_term_that_the_base_writes_otherwise_can_be_trained_on(
    tmp_path: Path, lower_nemo: Path, plan: Callable[..., None]
) -> None:
    """The preflight only warns of it, so that training must not refuse it."""
    request = request_in(tmp_path, lower_nemo)
    row = {
        "audio_filepath": str(request.audio_roots[0] / "a.wav"),
        "text": "give beta blocker now",
        "duration": 1.0,
        "term": "beta-blocker",
    }
    factories.write_rows(request.data.train, [row, row])
    plan(WHOLE)
    assert sft.train(request, local(), lambda _: None).model.is_file()
