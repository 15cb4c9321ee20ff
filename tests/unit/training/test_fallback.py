"""The ladder: what changes after a fault, what never does, and what is recorded."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tasks.runtimes.base import Job, JobResult, Script
from tasks.runtimes.failures import Fault, FaultError
from tasks.runtimes.hardware import Gpu, Hardware
from tasks.runtimes.local import LocalRuntime
from tasks.training import fallback, sft
from tasks.training import run as training_run
from tasks.training.recipes import Recipe
from tests.support.sft_request_cases import WHOLE, request_in, start, step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 6, 16])
@pytest.mark.parametrize("accumulate", [1, 2, 3])
def test_effective_batch_never_changes(batch: int, accumulate: int) -> None:
    """All the way down, rows per optimiser step, learning rate and seed stay."""
    at = Recipe(batch_size=batch, accumulate_grad_batches=accumulate)
    seen = [at]
    while (at_next := fallback.fallback_recipe(seen[-1], Fault.GPU_MEMORY)) is not None:
        seen.append(at_next)
    assert [one.batch_size for one in seen] == sorted({o.batch_size for o in seen}, reverse=True)
    assert seen[-1].batch_size == 1
    for one in seen:
        assert one.effective_batch == at.effective_batch
        unchanged = {"batch_size", "accumulate_grad_batches"}
        assert one.model_dump(exclude=unchanged) == at.model_dump(exclude=unchanged)


def test_out_of_gpu_memory_goes_to_two_and_two_then_one_and_four() -> None:
    """The specification's rung, then the one below."""
    second = fallback.fallback_recipe(Recipe(), Fault.GPU_MEMORY)
    assert second is not None
    assert (second.batch_size, second.accumulate_grad_batches) == (2, 2)
    third = fallback.fallback_recipe(second, Fault.GPU_MEMORY)
    assert third is not None
    assert (third.batch_size, third.accumulate_grad_batches) == (1, 4)
    assert fallback.fallback_recipe(third, Fault.GPU_MEMORY) is None


def test_no_bf16_goes_to_fp32_with_a_smaller_batch_once() -> None:
    """fp16 is never chosen by itself."""
    second = fallback.fallback_recipe(Recipe(), Fault.NO_BF16)
    assert second is not None
    assert (second.precision.lightning, second.batch_size) == ("32-true", 2)
    assert second.effective_batch == 4
    assert fallback.fallback_recipe(second, Fault.NO_BF16) is None


@pytest.mark.parametrize("fault", sorted(set(Fault) - {Fault.GPU_MEMORY, Fault.NO_BF16}))
def test_other_faults_have_no_rung(fault: Fault) -> None:
    """A second try that cannot help costs money."""
    assert fallback.fallback_recipe(Recipe(), fault) is None


class Runtime:
    """Fails as planned, then trains: a GPU that runs out of memory cannot be had here."""

    hardware = Hardware((Gpu("NVIDIA L4"),), 8)
    script = Script("/script.py", "/conf/script.yaml")
    identity = "planned"

    def __init__(self, model: Path, says: Sequence[str]) -> None:
        self._model = model
        self._says = list(says)
        self.arguments: list[list[str]] = []

    def check(self, report: Callable[[str], None] = print) -> None:
        """Nothing to refuse."""

    def path_mapper(self, work: Path, reads: Sequence[Path]) -> Callable[[Path], str]:
        """Every file is where it is."""
        return LocalRuntime(self.hardware).path_mapper(work, reads)

    def execute(
        self, job: Job, on_line: Callable[[str], None], poll: Callable[[], None]
    ) -> JobResult:
        """Say the planned words and fail, or leave a finished run."""
        self.arguments.append(job.request["arguments"])
        job.log.write_text(self._says[0] if self._says else "")
        if self._says:
            self._says.pop(0)
            checkpoint = job.work / "experiment" / "left.ckpt"
            checkpoint.parent.mkdir(exist_ok=True)
            checkpoint.touch()
            return JobResult(1)
        assert not (job.work / "experiment" / "left.ckpt").exists()
        events = "".join(json.dumps(event) + "\n" for event in WHOLE)
        (job.work / "events.jsonl").write_text(events)
        made = job.work / "experiment" / "sft" / "checkpoints" / "sft.nemo"
        made.parent.mkdir(parents=True)
        shutil.copy(self._model, made)
        return JobResult(0)


def test_each_rung_is_recorded(tmp_path: Path, lower_nemo: Path) -> None:
    """The record names every start, what it ran with, and why it ended."""
    runtime = Runtime(lower_nemo, ["CUDA out of memory", "CUDA out of memory"])
    result = fallback.train_with_fallback(request_in(tmp_path, lower_nemo), runtime, lambda _: None)
    info = json.loads(result.info.read_text())
    assert [(rung["batch_size"], rung["fault"]) for rung in info["ladder"]] == [
        (4, "gpu-memory"),
        (2, "gpu-memory"),
    ]
    assert info["recipe"]["batch_size"] == 1
    assert info["recipe"]["accumulate_grad_batches"] == 4
    assert info["recipe"]["effective_batch"] == 4
    batches = [
        next(a for a in one if a.startswith("model.train_ds.batch_size")).rpartition("=")[2]
        for one in runtime.arguments
    ]
    assert batches == ["4", "2", "1"]
    assert training_run.find_finished(request_in(tmp_path, lower_nemo)) is not None


def test_waiting_for_a_gpu_is_no_training_time(
    tmp_path: Path, lower_nemo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 50 seconds between start and end, 40 passed while another job held the GPU."""

    class SharedGpu(Runtime):
        def execute(self, job: Job, *others: Any) -> JobResult:
            phases = [("import", 100.5), ("wait", 101.0), ("load", 141.0)]
            lines = (json.dumps({"phase": name, "time": at}) + "\n" for name, at in phases)
            job.phases_file.write_text("".join(lines))
            return super().execute(job, *others)

    clock = iter([100.0, 150.0])
    monkeypatch.setattr(sft, "time", SimpleNamespace(time=lambda: next(clock)))
    request = request_in(tmp_path, lower_nemo)
    info = json.loads(
        sft.train(request, SharedGpu(lower_nemo, []), lambda _: None).info.read_text()
    )
    assert info["wall_seconds"] == pytest.approx(10.0)


def test_what_a_killed_start_trained_is_training_time(
    tmp_path: Path, lower_nemo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """60 seconds up to its last batch, and 50 of the start that went on."""

    class KilledBefore(Runtime):
        def execute(self, job: Job, *others: Any) -> JobResult:
            ended = super().execute(job, *others)
            events = job.work / "events.jsonl"
            earlier = [start(time=10.0), step(0, 1) | {"time": 70.0}]
            lines = "".join(json.dumps(event) + "\n" for event in earlier)
            events.write_text(lines + events.read_text())
            return ended

    clock = iter([100.0, 150.0])
    monkeypatch.setattr(sft, "time", SimpleNamespace(time=lambda: next(clock)))
    request = request_in(tmp_path, lower_nemo)
    result = sft.train(request, KilledBefore(lower_nemo, []), lambda _: None)
    assert json.loads(result.info.read_text())["wall_seconds"] == pytest.approx(110.0)


def test_the_last_rungs_fault_is_the_users(tmp_path: Path, lower_nemo: Path) -> None:
    """When one row a batch is too much, the user learns so."""
    runtime = Runtime(lower_nemo, ["CUDA out of memory"] * 4)
    with pytest.raises(FaultError) as failed:
        fallback.train_with_fallback(request_in(tmp_path, lower_nemo), runtime, lambda _: None)
    assert failed.value.fault is Fault.GPU_MEMORY
    assert len(runtime.arguments) == 3


def test_a_run_that_was_killed_on_a_lower_rung_goes_on_there(
    tmp_path: Path, lower_nemo: Path
) -> None:
    """Its checkpoint belongs to that batch, and the rung that failed stays in the record."""

    class KilledOnce(Runtime):
        def execute(
            self, job: Job, on_line: Callable[[str], None], poll: Callable[[], None]
        ) -> JobResult:
            if self._says or len(self.arguments) != 1:
                return super().execute(job, on_line, poll)
            self.arguments.append(job.request["arguments"])
            checkpoint = job.work / "experiment" / "sft" / "checkpoints" / "sft-last.ckpt"
            checkpoint.parent.mkdir(parents=True)
            checkpoint.touch()
            raise KeyboardInterrupt

    request = request_in(tmp_path, lower_nemo)
    with pytest.raises(KeyboardInterrupt):
        fallback.train_with_fallback(
            request, KilledOnce(lower_nemo, ["CUDA out of memory"]), lambda _: None
        )
    checkpoints = request.checkpoints

    class GoesOn(Runtime):
        def execute(
            self, job: Job, on_line: Callable[[str], None], poll: Callable[[], None]
        ) -> JobResult:
            assert (checkpoints / "sft-last.ckpt").exists()
            shutil.rmtree(checkpoints)
            return super().execute(job, on_line, poll)

    again = GoesOn(lower_nemo, [])
    info = json.loads(fallback.train_with_fallback(request, again, lambda _: None).info.read_text())
    assert any("model.train_ds.batch_size=2" in argument for argument in again.arguments[0])
    assert [(rung["batch_size"], rung["fault"]) for rung in info["ladder"]] == [(4, "gpu-memory")]
    assert info["recipe"]["effective_batch"] == 4
