"""The ladder: what to change when a run failed for a reason that a change can mend.

Out of GPU memory: half the batch and twice the accumulation, which keeps the effective batch, down
to one row a batch (specification, Troubleshooting: 2 and 2; then 1 and 4). No bf16: fp32 with a
smaller batch. Data, learning rate and effective batch never change, and every rung is recorded.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tasks import sft
from tasks.course import Rung
from tasks.faults import Fault, FaultError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.course import Progress
    from tasks.recipes import Recipe
    from tasks.runtime import Runtime


def next_recipe(recipe: Recipe, fault: Fault) -> Recipe | None:
    """The recipe of the next rung, or None where no change of ours can help."""
    if fault is Fault.GPU_MEMORY and recipe.batch_size > 1:
        return _smaller_batch(recipe)
    if fault is Fault.NO_BF16 and recipe.precision.startswith("bf16"):
        smaller = _smaller_batch(recipe) if recipe.batch_size > 1 else recipe
        return smaller.model_copy(update={"precision": "32-true"})
    return None


def _smaller_batch(recipe: Recipe) -> Recipe:
    """Half the batch; the accumulation makes up for it, so that odd batches go to one row."""
    half = recipe.batch_size // 2
    if recipe.effective_batch % half:
        half = 1
    return recipe.model_copy(
        update={"batch_size": half, "accumulate_grad_batches": recipe.effective_batch // half}
    )


def climb(
    request: sft.SftRequest, runtime: Runtime, report: Callable[[Progress], None]
) -> sft.SftResult:
    """Train, and go down the ladder as long as a rung can help.

    Raises:
        FaultError: of the last rung.
        InputError: the request cannot end well.
    """
    rungs: list[Rung] = []
    while True:
        try:
            return sft.train(replace(request, rungs=tuple(rungs)), runtime, report)
        except FaultError as failed:
            smaller = next_recipe(request.recipe, failed.fault)
            if smaller is None:
                raise
            rungs.append(Rung(request.recipe, failed.fault))
            sft.forget_checkpoints(request)
            request = replace(request, recipe=smaller)
