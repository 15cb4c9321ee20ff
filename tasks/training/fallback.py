"""Fall back to a smaller recipe when a run failed for a reason that it can mend.

Out of GPU memory: half the batch and twice the accumulation, which keeps the effective batch, down
to one row a batch (specification, Troubleshooting: 2 and 2; then 1 and 4). No bf16: fp32 with a
smaller batch. Data, learning rate and effective batch never change, and every rung is recorded.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tasks.common import atomic_files
from tasks.runtimes.failures import Fault, FaultError
from tasks.training import run as training_run
from tasks.training import sft
from tasks.training.progress import FailedAttempt
from tasks.training.recipes import Precision, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.runtimes.base import Runtime
    from tasks.training.progress import TrainingProgress

_STATE = "ladder.json"


def fallback_recipe(recipe: Recipe, fault: Fault) -> Recipe | None:
    """Return the recipe of the next attempt, or None where no change can help."""
    if fault is Fault.GPU_MEMORY and recipe.batch_size > 1:
        return _smaller_batch(recipe)
    if fault is Fault.NO_BF16 and recipe.precision is Precision.BF16:
        smaller = _smaller_batch(recipe) if recipe.batch_size > 1 else recipe
        return smaller.model_copy(update={"precision": Precision.FP32})
    return None


def _smaller_batch(recipe: Recipe) -> Recipe:
    """Halve the batch; accumulation makes up for it, and odd batches go to one row."""
    half = recipe.batch_size // 2
    if recipe.effective_batch % half:
        half = 1
    return recipe.model_copy(
        update={"batch_size": half, "accumulate_grad_batches": recipe.effective_batch // half}
    )


def train_with_fallback(
    request: training_run.SftRequest, runtime: Runtime, report: Callable[[TrainingProgress], None]
) -> training_run.SftResult:
    """Train, with the fallback recipe after each failure that it can mend.

    A run that was killed on a lower rung goes on there: its checkpoint belongs to that batch.

    Raises:
        FaultError: of the last rung.
        InputError: the request cannot end well.
    """
    request = _load_state(request)
    while True:
        try:
            return sft.train(request, runtime, report)
        except FaultError as failed:
            smaller = fallback_recipe(request.recipe, failed.fault)
            if smaller is None:
                raise
            sft.discard_checkpoints(request)
            attempts = (*request.rungs, FailedAttempt(request.recipe, failed.fault))
            request = replace(request, recipe=smaller, rungs=attempts)
            _save_state(request)


def _save_state(request: training_run.SftRequest) -> None:
    atomic_files.write_json(
        request.work_dir / _STATE,
        {
            "key": request.key,
            "recipe": request.recipe.model_dump(mode="json"),
            "rungs": [
                {"recipe": attempt.recipe.model_dump(mode="json"), "fault": attempt.fault.value}
                for attempt in request.rungs
            ],
        },
    )


def _load_state(request: training_run.SftRequest) -> training_run.SftRequest:
    """Return the request of the attempt that an earlier, killed start had reached."""
    state = request.work_dir / _STATE
    if (
        not state.is_file()
        or (saved_state := atomic_files.read_json(state)).get("key") != request.key
    ):
        return request
    attempts = tuple(
        FailedAttempt(Recipe.model_validate(attempt["recipe"]), Fault(attempt["fault"]))
        for attempt in saved_state["rungs"]
    )
    return replace(request, recipe=Recipe.model_validate(saved_state["recipe"]), rungs=attempts)
