"""SFT: what is asked of the script, and what counts as a finished run.

A small program stands in for the launcher: it writes the events and the model that a test plans,
so that nothing here needs NeMo.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tasks.common import hashing
from tasks.common.errors import InputError, TrainingError
from tasks.data.split_parts import Split
from tasks.runtimes.base import JobResult
from tasks.runtimes.failures import Fault, FaultError
from tasks.runtimes.hardware import Gpu, Hardware
from tasks.runtimes.local import LocalRuntime
from tasks.training import hydra_overrides, progress, sft
from tasks.training import run as training_run
from tasks.training.recipes import Precision, Recipe, RecipeName, recipe
from tests.support import factories
from tests.support.hosts import CPU
from tests.support.sft_request_cases import epoch, local, plan_launcher, request_in, start, step

if TYPE_CHECKING:
    from collections.abc import Callable


GPU = Hardware((Gpu("NVIDIA L40S"),), 16)


@pytest.fixture
def request_(tmp_path: Path, lower_nemo: Path) -> training_run.SftRequest:
    """A run of the verified recipe on a CTC base."""
    return request_in(tmp_path, lower_nemo)


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lower_nemo: Path) -> Callable[..., None]:
    """Put the stand-in in the launcher's place; the returned function says what it shall do."""
    return plan_launcher(tmp_path, monkeypatch, lower_nemo)


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


def test_nemo_keeps_as_many_checkpoints_as_are_averaged(tmp_path: Path, lower_nemo: Path) -> None:
    """One, where too few rows could choose between them."""
    request = request_in(tmp_path, lower_nemo, Recipe(keep_checkpoints=3))
    key = "exp_manager.checkpoint_callback_params.save_top_k"
    assert listed(request, GPU)[key] == "3"
    assert listed(replace(request, keeps_last=True), GPU)[key] == "1"


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
        "keep_checkpoints": 2,
        "distillation": 1.0,
        "compiled": True,
        "fused_adamw": True,
        "frozen_share": 0.5,
        "accumulate_grad_batches": 2,
        "gradient_clip_val": 0.5,
        "precision": Precision.FP32,
        "min_duration": 0.2,
        "max_duration": 10.0,
        "seed": 43,
    }
    assert set(other) == set(Recipe.model_fields)
    # Finished before a recipe had these fields: still the same training.
    newer = {"by_length", "keep_checkpoints", "compiled", "fused_adamw", "frozen_share"}
    newer |= {"distillation"}
    told = first.model_dump(mode="json", exclude=newer)
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


@pytest.mark.parametrize("config", [factories.TDT_CONFIG])
def test_a_tdt_base_is_refused_on_a_cpu(tmp_path: Path, config: dict[str, Any]) -> None:
    """Its loss needs CUDA; on a GPU it is fine."""
    request = request_in(tmp_path, factories.write_nemo(tmp_path / "tdt.nemo", config))
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
    with pytest.raises(InputError, match="audio_roots"):
        local().path_mapper(tmp_path / "work", ())(tmp_path / "a.wav")
