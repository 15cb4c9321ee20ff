"""SFT: what is asked of the script, and what counts as a finished run.

A small program stands in for the launcher: it writes the events and the model that a test plans,
so that nothing here needs NeMo.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tasks.common import atomic_files, hashing
from tasks.common.errors import InputError, TrainingError
from tasks.data.split import Split
from tasks.data.training_set import TrainingSet
from tasks.runtimes import base as runtimes
from tasks.runtimes import local as local_runtime
from tasks.runtimes.base import Job, JobResult
from tasks.runtimes.failures import Fault, FaultError
from tasks.runtimes.hardware import Gpu, Hardware
from tasks.runtimes.local import LocalRuntime
from tasks.training import hydra_overrides, progress, sft
from tasks.training import run as training_run
from tasks.training.recipes import Precision, Recipe, RecipeName, recipe
from tests import samples
from tests.support import stub_programs

if TYPE_CHECKING:
    from collections.abc import Callable

CPU = Hardware((), 2)
GPU = Hardware((Gpu("NVIDIA L40S"),), 16)

STAND_IN = """
import json, sys, shutil
from pathlib import Path
request = json.loads(Path(sys.argv[1]).read_text())
plan = json.loads(Path(__file__).with_name("plan.json").read_text())
for number in range(40):
    print("log line", number)
print(plan["says"])
with open(request["events"], "a") as out:
    for event in plan["events"]:
        out.write(json.dumps(event) + "\\n")
if plan["model"]:
    (argument,) = [a for a in request["arguments"] if a.startswith("exp_manager.exp_dir=")]
    folder = Path(argument.partition("=")[2].strip("'")) / "sft" / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(plan["model"], folder / "sft.nemo")
sys.exit(plan["exit_code"])
"""


def start(**values: Any) -> dict[str, Any]:
    """The event of a start."""
    return {
        "event": "start",
        "epoch": 0,
        "step": 0,
        "batches_per_epoch": 2,
        "rows": 8,
        "parameters": 1000,
        "devices": 1,
        "nemo": "3.0.0",
        "torch": "2.13.0",
        **values,
    }


def step(epoch: int, batch: int, loss: float = 1.0) -> dict[str, Any]:
    """The event of a batch."""
    return {
        "event": "step",
        "epoch": epoch,
        "step": batch,
        "batch": batch,
        "loss": loss,
        "lr": 1e-4,
        "seconds": 0.25,
        "gpu_memory_mib": 100 + batch,
    }


def epoch(number: int, val_wer: float | None = 0.5) -> dict[str, Any]:
    """The event of a validation."""
    return {
        "event": "epoch",
        "epoch": number,
        "step": 2 * (number + 1),
        "train_loss": 1.0,
        "val_loss": 2.0,
        "val_wer": val_wer,
        "seconds": 0.5,
        "gpu_memory_mib": 0,
    }


def end(*, early: bool = False) -> dict[str, Any]:
    """The event of an orderly end."""
    return {"event": "end", "epoch": 0, "step": 0, "stopped_early": early}


WHOLE = [start(), step(0, 1), step(0, 2), epoch(0, 0.9), epoch(1, 0.4), epoch(2, 0.6), end()]


def request_in(folder: Path, nemo: Path, wanted: Recipe | None = None) -> training_run.SftRequest:
    """A run on two rows to train on and one held out."""
    rows = [
        {"audio_filepath": f"{folder}/audio/{n}.wav", "text": "hello", "duration": 1.0}
        for n in range(3)
    ]
    data = TrainingSet(
        train=samples.write_rows(folder / "train.jsonl", rows[:2]),
        validation=samples.write_rows(folder / "validation.jsonl", rows[2:]),
        split=Split((1, 2), (3,), ()),
        durations=(1.0, 1.0),
        content="content",
    )
    return training_run.SftRequest(
        base=nemo,
        base_name="mine.nemo",
        data=data,
        recipe=wanted or recipe("verified"),
        model_dir=folder / "models" / "run",
        audio_roots=(folder,),
        key="key",
    )


@pytest.fixture
def request_(tmp_path: Path, lower_nemo: Path) -> training_run.SftRequest:
    """A run of the verified recipe on a CTC base."""
    return request_in(tmp_path, lower_nemo)


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lower_nemo: Path) -> Callable[..., None]:
    """Put the stand-in in the launcher's place; the returned function says what it shall do."""
    entry = stub_programs.own_programs(tmp_path / "entry", launch_training=STAND_IN)
    monkeypatch.setenv(runtimes.ENTRYPOINTS_VARIABLE, str(entry))
    monkeypatch.setattr(local_runtime, "_POLL_S", 0.01)

    def make(
        events: list[dict[str, Any]],
        *,
        exit_code: int = 0,
        says: str = "the end",
        model: Path | None = lower_nemo,
    ) -> None:
        told = {
            "events": events,
            "exit_code": exit_code,
            "says": says,
            "model": str(model) if model else None,
        }
        (entry / "plan.json").write_text(json.dumps(told))

    return make


def local(hardware: Hardware = CPU, programs: Path | None = None) -> LocalRuntime:
    """This machine, with the programs of a folder."""
    return LocalRuntime(hardware, programs=programs or runtimes.entrypoints())


def listed(request: training_run.SftRequest, hardware: Hardware) -> dict[str, str]:
    """The overrides as the script gets them."""
    return dict(
        str(one).split("=", 1) for one in hydra_overrides.overrides(request, local(hardware))
    )


def test_on_a_gpu_the_verified_recipe_becomes_these_overrides(
    request_: training_run.SftRequest,
) -> None:
    """The specification's keys and values, each once, and no other precision."""
    folder = request_.work_dir
    assert listed(request_, GPU) == {
        "init_from_nemo_model": f"'{request_.base}'",
        "name": "'sft'",
        "model.train_ds.manifest_filepath": f"'{folder}/train.jsonl'",
        "model.train_ds.batch_size": "4",
        "model.train_ds.min_duration": "0.1",
        "model.train_ds.max_duration": "20.0",
        "model.validation_ds.manifest_filepath": f"'{folder}/validation.jsonl'",
        "model.validation_ds.batch_size": "16",
        "model.optim.lr": "0.0003",
        "model.optim.sched.name": "'CosineAnnealing'",
        "model.optim.sched.warmup_steps": "5",
        "model.optim.sched.min_lr": "5e-06",
        "trainer.max_epochs": "3",
        "trainer.accumulate_grad_batches": "1",
        "trainer.gradient_clip_val": "1.0",
        "trainer.enable_progress_bar": "false",
        "trainer.log_every_n_steps": "10",
        "model.train_ds.num_workers": "1",
        "model.train_ds.pin_memory": "true",
        "model.validation_ds.num_workers": "1",
        "model.validation_ds.pin_memory": "true",
        "trainer.precision": "'bf16-mixed'",
        "exp_manager.exp_dir": f"'{folder}/experiment'",
        "exp_manager.create_tensorboard_logger": "false",
        "++exp_manager.use_datetime_version": "false",
        "exp_manager.resume_if_exists": "true",
        "exp_manager.resume_ignore_no_checkpoint": "true",
        "++exp_manager.checkpoint_callback_params.save_best_model": "true",
        "exp_manager.checkpoint_callback_params.save_top_k": "1",
        "exp_manager.checkpoint_callback_params.always_save_nemo": "false",
    }
    keys = [one.key for one in hydra_overrides.overrides(request_, local(GPU))]
    assert len(set(keys)) == len(keys)


def test_on_a_cpu_training_is_in_fp32_without_workers(request_: training_run.SftRequest) -> None:
    """bf16 and loader processes would only cost time there."""
    on_cpu, on_gpu = listed(request_, CPU), listed(request_, GPU)
    changed = {key: value for key, value in on_cpu.items() if on_gpu.get(key) != value}
    assert changed == {
        "model.train_ds.num_workers": "0",
        "model.train_ds.pin_memory": "false",
        "model.validation_ds.num_workers": "0",
        "model.validation_ds.pin_memory": "false",
        "trainer.accelerator": "'cpu'",
        "trainer.devices": "1",
        "trainer.precision": "32",
        "trainer.sync_batchnorm": "false",
    }


def test_production_stops_early_on_validation_wer(tmp_path: Path, lower_nemo: Path) -> None:
    """Patience 3, lower is better; 20 epochs; warm-up by the data."""
    found = listed(request_in(tmp_path, lower_nemo, recipe("production")), GPU)
    stopping = "++exp_manager.early_stopping_callback_params"
    assert found["++exp_manager.create_early_stopping_callback"] == "true"
    assert found[f"{stopping}.monitor"] == "'val_wer'"
    assert found[f"{stopping}.mode"] == "'min'"
    assert found[f"{stopping}.patience"] == "3"
    assert found["trainer.max_epochs"] == "20"


def test_batches_by_length_are_nemos_semi_sorted_ones(tmp_path: Path, lower_nemo: Path) -> None:
    """Only where they are wanted; the rows a batch stay."""
    plain = listed(request_in(tmp_path, lower_nemo, Recipe(seed=7)), GPU)
    found = listed(request_in(tmp_path, lower_nemo, Recipe(seed=7, by_length=True)), GPU)
    assert {key: found[key] for key in found.keys() - plain.keys()} == {
        "++model.train_ds.use_semi_sorted_batching": "true",
        "++model.train_ds.randomization_factor": "0.2",
        "++model.train_ds.semi_sort_sampler_seed": "7",
    }
    assert {key: found[key] for key in plain} == plain


def test_the_fingerprint_depends_on_base_data_and_every_hyperparameter() -> None:
    """Two runs that differ in anything that changes the model differ in their key."""
    first = recipe("verified")
    other = {
        "name": RecipeName.PRODUCTION,
        "lr": 1e-4,
        "min_lr": 1e-6,
        "warmup_steps": 6,
        "epochs": 4,
        "early_stopping_patience": 2,
        "batch_size": 8,
        "by_length": True,
        "accumulate_grad_batches": 2,
        "gradient_clip_val": 0.5,
        "precision": Precision.FP32,
        "min_duration": 0.2,
        "max_duration": 10.0,
        "seed": 43,
    }
    assert set(other) == set(Recipe.model_fields)
    # Finished before there were batches by length: still the same training.
    told = first.model_dump(mode="json", exclude={"by_length"})
    assert training_run.run_key("base", "content", first, "script") == hashing.fingerprint(
        ["base", "content", told, "script"]
    )
    recipes = [first, *(first.model_copy(update={name: value}) for name, value in other.items())]
    keys = [training_run.run_key("base", "content", one, "script") for one in recipes]
    keys += [
        training_run.run_key("base 2", "content", first, "script"),
        training_run.run_key("base", "content 2", first, "script"),
        training_run.run_key("base", "content", first, "script 2"),
    ]
    assert len(set(keys)) == len(keys)
    assert training_run.run_key("base", "content", Recipe(), "script") == keys[0]


@pytest.mark.parametrize(
    ("base", "name"),
    [
        pytest.param(
            "nvidia/parakeet-tdt-0.6b-v2",
            "parakeet-tdt-0-6b-v2-verified-01234567",
        ),
        ("embedded", "embedded-verified-01234567"),
        ("/models/My Model (new).nemo", "my-model--new-verified-01234567"),
        ("../../etc/passwd.nemo", "passwd-verified-01234567"),
    ],
)
def test_a_runs_folder_name_is_harmless(base: str, name: str) -> None:
    """Letters, digits and dashes of the base's name, the recipe, the fingerprint's start."""
    assert training_run.run_name(base, recipe("verified"), "0123456789abcdef") == name


@pytest.mark.parametrize(
    ("gpus", "cores", "rows", "workers"),
    [
        (1, 16, 2000, 8),
        (1, 16, 24, 3),
        (1, 4, 2000, 3),
        (1, 1, 2000, 1),
        (8, 64, 9000, 7),
        (0, 64, 9000, 0),
    ],
)
def test_loader_processes_fit_the_machine_and_the_set(
    request_: training_run.SftRequest, gpus: int, cores: int, rows: int, workers: int
) -> None:
    """Each GPU's process keeps a core; a small set does not start more than it can keep busy."""
    split = Split(tuple(range(rows)), (rows,), ())
    request = replace(request_, data=replace(request_.data, split=split))
    found = listed(request, Hardware((Gpu("NVIDIA L40S"),) * gpus, cores))
    assert found["model.train_ds.num_workers"] == str(workers)


@pytest.mark.parametrize(
    ("gpus", "rows", "batches"),
    [(1, 39, 10), (1, 120, 15), (2, 120, 10), (0, 120, 15), (1, 9000, 100)],
)
def test_two_batches_an_epoch_are_decoded_while_training(
    request_: training_run.SftRequest, gpus: int, rows: int, batches: int
) -> None:
    """No more than each tenth, as the stock script has it, and no fewer than each hundredth."""
    split = Split(tuple(range(rows)), (rows,), ())
    request = replace(request_, data=replace(request_.data, split=split))
    found = listed(request, Hardware((Gpu("NVIDIA L40S"),) * gpus, 16))
    assert found["trainer.log_every_n_steps"] == str(batches)


@pytest.mark.parametrize("config", [samples.TDT_CONFIG])
def test_a_tdt_base_is_refused_on_a_cpu(tmp_path: Path, config: dict[str, Any]) -> None:
    """Its loss needs CUDA; on a GPU it is fine."""
    request = request_in(tmp_path, samples.write_nemo(tmp_path / "tdt.nemo", config))
    with pytest.raises(InputError, match="a TDT base cannot train on a CPU"):
        sft.check_request(request, local(CPU))
    sft.check_request(request, local(GPU))
    with pytest.raises(InputError):
        sft.train(request, local(CPU), lambda _: None)
    assert not request.work_dir.exists()
    assert not request.model_dir.exists()


@pytest.mark.parametrize("missing", ["script", "yaml"])
def test_a_stock_script_that_is_not_whole_is_refused(
    tmp_path: Path, request_: training_run.SftRequest, missing: str
) -> None:
    """The script and the YAML beside it are both needed."""
    script = tmp_path / "nemo" / "speech_to_text_finetune.py"
    config = script.parent / "conf/asr_finetune/speech_to_text_finetune.yaml"
    config.parent.mkdir(parents=True)
    script.write_text("")
    config.write_text("")
    sft.check_request(request_, LocalRuntime(CPU, script))
    gone = script if missing == "script" else config
    gone.unlink()
    with pytest.raises(InputError, match=gone.name):
        sft.check_request(request_, LocalRuntime(CPU, script))


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


def test_a_run_that_began_nothing_leaves_nothing(
    request_: training_run.SftRequest, plan: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even the folder of the models."""

    def refuse(*_: object) -> None:
        raise FaultError(Fault.BAD_MOUNT)

    plan([])
    monkeypatch.setattr(LocalRuntime, "execute", refuse)
    with pytest.raises(FaultError):
        sft.train(request_, local(), lambda _: None)
    assert not request_.model_dir.parent.exists()


def test_a_disk_that_is_too_small_is_told_before_anything_is_started(
    request_: training_run.SftRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what is needed, what there is, and where."""
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(FaultError, match=r"models: training writes about .* GB are free") as told:
        sft.train(request_, local(), lambda _: None)
    assert told.value.fault is Fault.DISK_FULL
    assert not request_.model_dir.parent.exists()


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
    samples.write_rows(request.data.train, [row, row])
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


def test_a_run_killed_for_its_memory_says_so(tmp_path: Path) -> None:
    """Not as a script that failed."""
    with pytest.raises(TrainingError, match="host-memory"):
        progress.check_outcome(JobResult(137, oom_killed=True), [], 3, tmp_path / "no.log")


def test_half_a_line_of_events_is_left_for_later(tmp_path: Path) -> None:
    """What is still being written is not read."""
    path = tmp_path / "events.jsonl"
    events = progress.Events(path)
    assert list(events.read()) == []
    path.write_text(json.dumps(start()) + "\n" + '{"event": "st')
    assert [one["event"] for one in events.read()] == ["start"]


def test_progress_is_the_newest_that_is_known(tmp_path: Path) -> None:
    """Batches over all epochs, the newest loss and validation WER, the peak of memory."""
    path = tmp_path / "events.jsonl"
    following = progress.ProgressReader(path, 3)
    assert following.read().share == 0.0
    before = [json.dumps(one) + "\n" for one in (start(), step(0, 1, 9.0), epoch(0, 0.8))]
    path.write_text("".join(before) + '{"event": "st')
    assert following.read().validated == 1
    with path.open("a") as out:
        out.write(json.dumps(step(1, 3, 4.0)).removeprefix('{"event": "st') + "\n")
    now = following.read()
    assert now == progress.TrainingProgress(
        epoch=1,
        epochs=3,
        batch=3,
        batches=6,
        validated=1,
        loss=4.0,
        val_wer=0.8,
        gpu_memory_mib=103,
    )
    assert now.share == 0.5


def test_a_best_epoch_needs_a_validation() -> None:
    """Epochs without a figure cannot be the best."""
    made = [progress.Epoch(n, n, 1.0, 1.0, wer, 1.0) for n, wer in enumerate([None, 0.0, 0.2])]
    result = training_run.SftResult(Path(), "", Path(), tuple(made))
    assert result.best == made[1]
    assert training_run.SftResult(Path(), "", Path(), (made[0],)).best is None


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
    samples.write_rows(request.data.train, [row, row])
    plan(WHOLE)
    assert sft.train(request, local(), lambda _: None).model.is_file()


@pytest.mark.parametrize("name", ["a,b", "${x}", "it's", "[1]", "{a,b}", "é", "a#b", "a;b&c"])
def test_a_folder_of_any_name_is_reached_by_a_plain_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """NeMo takes such characters for its own; the link is the same at every start."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    work = tmp_path / name
    work.mkdir()
    (work / "train.jsonl").write_text("seen")
    place = local().path_mapper(work, ())
    assert place(work / "train.jsonl") == local().path_mapper(work, ())(work / "train.jsonl")
    assert name not in place(work / "train.jsonl")
    assert Path(place(work / "train.jsonl")).read_text() == "seen"


def test_a_plain_path_is_left_as_it_is(tmp_path: Path) -> None:
    """No link is made where none is needed."""
    assert local().path_mapper(tmp_path, ())(tmp_path / "a b=c.jsonl") == str(
        tmp_path / "a b=c.jsonl"
    )


def test_audio_outside_of_all_roots_is_no_path_for_training(tmp_path: Path) -> None:
    """It is named before anything is started."""
    with pytest.raises(InputError, match="--audio-root"):
        local().path_mapper(tmp_path / "work", ())(tmp_path / "a.wav")
