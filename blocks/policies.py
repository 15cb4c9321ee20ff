"""The gate's thresholds and a recipe as Prefect blocks, for sites that settle their own.

A cycle names them by ``gate_policy_block`` and ``recipe_block``. The defaults are the
specification's; what a block changes stands in the run's record.
"""

from __future__ import annotations

from prefect.blocks.core import Block
from pydantic import Field, HttpUrl

from tasks.decision.gate_policy import GatePolicy
from tasks.training.recipes import Recipe

_DEFAULT = GatePolicy()
_BLOCKS = HttpUrl("https://docs.prefect.io/v3/concepts/blocks")


class GateThresholds(Block):
    """When tuning is worth the GPU time.

    Example:
        Use it:
        ```python
        from blocks.policies import GateThresholds

        policy = GateThresholds.load("BLOCK_NAME").policy(("drug",))
        ```
    """

    _block_type_name = "Gate Policy"
    _block_type_slug = "gate-policy"
    _description = "The gate's thresholds. Cycles refer to it by its name."
    _documentation_url = _BLOCKS

    tune_above: float = Field(
        _DEFAULT.tune_above,
        ge=0,
        le=1,
        title="Tune above (KER)",
        description="Tuning is worth it if the priority category's KER is above this share.",
    )
    harden_below: float = Field(
        _DEFAULT.harden_below,
        ge=0,
        le=1,
        title="Harden below (KER)",
        description="Under this share the evaluation is too easy; at most the one above.",
    )
    min_rows: int = Field(
        _DEFAULT.min_rows, ge=1, title="Least rows", description="That the manifest must have."
    )
    min_priority_rows: int = Field(
        _DEFAULT.min_priority_rows,
        ge=2,
        title="Least rows of a priority category",
        description="Fewer cannot be split into rows to train on and rows held out.",
    )
    min_source_rows: int = Field(
        _DEFAULT.min_source_rows,
        ge=1,
        title="Least rows of a pronunciation source",
        description="Fewer are not compared.",
    )
    good_pronunciation: float = Field(
        _DEFAULT.good_pronunciation,
        ge=0,
        le=1,
        title="Good pronunciations (KER)",
        description="A dictionary's rows are good at or under this share.",
    )
    bad_pronunciation: float = Field(
        _DEFAULT.bad_pronunciation,
        ge=0,
        le=1,
        title="Bad pronunciations (KER)",
        description="Guessed pronunciations are bad above this share.",
    )

    def policy(self, priority: tuple[str, ...]) -> GatePolicy:
        """Make the gate's policy for these priority categories.

        Raises:
            InputError: the thresholds contradict each other.
        """
        return GatePolicy(
            priority=priority,
            tune_above=self.tune_above,
            harden_below=self.harden_below,
            min_rows=self.min_rows,
            min_priority_rows=self.min_priority_rows,
            min_source_rows=self.min_source_rows,
            good_pronunciation=self.good_pronunciation,
            bad_pronunciation=self.bad_pronunciation,
        )


class TuningRecipe(Block):
    """Hyperparameters of stock SFT.

    Example:
        Use it:
        ```python
        from blocks.policies import TuningRecipe

        recipe = TuningRecipe.load("BLOCK_NAME").recipe
        ```
    """

    _block_type_name = "Tuning Recipe"
    _block_type_slug = "tuning-recipe"
    _description = "Hyperparameters of stock SFT. Cycles refer to it by its name."
    _documentation_url = _BLOCKS

    recipe: Recipe = Field(
        default_factory=Recipe,
        title="Recipe",
        description="The defaults are the verified ones; name it after what it is for.",
    )
