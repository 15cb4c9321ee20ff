"""Which parameters of a flow have no effect, and under which others: the tables.

Refused is what a user would pay for and not get. Where the result is the same anyway, a line says
so before the run starts, and run.json keeps it. Each value is looked at by its path in the model.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from blocks.parameter_types import NO_GENERAL
from flows.config_fields import BaselineSource, RuntimeName, WhenBusy
from tasks.common.effect_rules import EffectRule, find_effectless

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import BaseModel

    from tasks.common.effect_rules import EffectlessParameter

_NO_GENERAL = Path(NO_GENERAL)
_LEAVE_OUT = "leave <it> out"
HOST_OF_BLOCK = "block"
"""What stands for a host's name where a block has it."""


def _unless_runtime(name: RuntimeName) -> Callable[[Mapping[str, Any]], bool]:
    return lambda values: values["runtime"] is not name


def _replaced_by(
    block: str,
    parameter: str,
    because: str = "the settings of <{block}> count instead",
    spared: tuple[object, ...] = (),
) -> EffectRule:
    """Return the rule that what a block holds counts in the place of a parameter."""
    return EffectRule(
        (parameter,),
        lambda values: values[block] is not None,
        because.format(block=block),
        f"{_LEAVE_OUT}, or leave <{block}> out",
        refused=True,
        spared=spared,
    )


RUNTIME_RULES = (
    EffectRule(
        ("container", "container_block"),
        _unless_runtime(RuntimeName.CONTAINER),
        "the run starts no container",
        f"add <runtime> {RuntimeName.CONTAINER}, or {_LEAVE_OUT}",
    ),
    EffectRule(
        ("slurm", "slurm_block"),
        _unless_runtime(RuntimeName.SLURM),
        "the run submits no job to a cluster",
        f"add <runtime> {RuntimeName.SLURM}, or {_LEAVE_OUT}",
    ),
    _replaced_by("container_block", "container"),
    _replaced_by("slurm_block", "slurm"),
)
"""Of every flow that has a runtime."""

CYCLE_RULES = (
    *RUNTIME_RULES,
    _replaced_by("recipe_block", "recipe", "the recipe of <{block}> counts instead"),
    EffectRule(
        ("replay_share",),
        lambda values: values["general"] == _NO_GENERAL,
        "with <general> none there are no general sentences to mix into the training",
        "name a manifest with <general>, or leave <general> out: then the sentences are "
        f"synthetic. Or {_LEAVE_OUT}",
        refused=True,
    ),
    EffectRule(
        ("general_limit",),
        lambda values: values["general"] == _NO_GENERAL,
        "with <general> none forgetting is not checked, and no model is kept",
        "name a manifest with <general>, or leave <general> out: then the sentences are "
        f"synthetic. Or {_LEAVE_OUT}",
    ),
    EffectRule(
        ("compare_with",),
        lambda values: values["folds"] > 0,
        "with <folds> the decision rests on rows that the base decodes in this run",
        f"{_LEAVE_OUT}, or leave <folds> out",
        refused=True,
    ),
    EffectRule(
        ("remedies",),
        lambda values: values["remedies"] != 0 and values["interpolate"] != "auto",
        "a remedy follows where no mixture holds, and only <interpolate> auto looks for one that "
        "holds",
        f"leave <interpolate> out, or {_LEAVE_OUT}",
    ),
    EffectRule(
        ("remedies",),
        lambda values: values["remedies"] != 0 and values["general"] == _NO_GENERAL,
        "a remedy follows where no mixture holds general English, and <general> none checks none",
        f"name a manifest with <general>, or {_LEAVE_OUT}",
    ),
    EffectRule(
        ("remedies",),
        lambda values: values["remedies"] != 0 and values["two_part"],
        "a remedy follows where rows that choose find no mixture that holds, and <two_part> sets "
        "none apart",
        f"leave <two_part> out, or {_LEAVE_OUT}",
    ),
    EffectRule(
        ("keep_tuned",),
        lambda values: values["interpolate"] == "off",
        "with <interpolate> off the tuned model itself is shipped, and there is no other",
        f"leave <interpolate> out, or {_LEAVE_OUT}",
    ),
    EffectRule(
        ("selection_share",),
        lambda values: values["two_part"],
        "<two_part> sets no rows apart that choose",
        f"leave <two_part> out, or {_LEAVE_OUT}",
    ),
    EffectRule(
        ("variants",),
        lambda values: (
            values["compare_with"] is BaselineSource.IMPORTED and values["variants"] != 1
        ),
        "the imported evaluation has one hypothesis a row, and is compared with one",
        f"leave <compare_with> out, or {_LEAVE_OUT}",
    ),
    EffectRule(
        ("fused_adamw",),
        lambda values: values["compile"] == "off",
        "it is about compiled layers, and with <compile> off there are none",
        f"leave <compile> out, or {_LEAVE_OUT}",
    ),
    EffectRule(
        ("audio",),
        lambda values: values["no_audio"],
        "with <no_audio> pages have no recordings",
        f"leave <no_audio> out, or {_LEAVE_OUT}",
    ),
    EffectRule(
        ("store_audio",),
        lambda values: values["store"] is None,
        "nothing is kept in a store",
        f"name one with <store>, or {_LEAVE_OUT}",
    ),
)
"""Of a run on a cycle."""

SPLIT_RULES = (
    EffectRule(
        ("validation_fraction", "selection_share", "hold_out_terms", "disjoint", "seed"),
        lambda _: True,
        "the cycle has a split already, and its rows choose and judge",
        f"make that split with `asr-flywheel split`, or {_LEAVE_OUT}",
    ),
)
"""Of a measurement of boosting, where a split lies in the cycle's folder."""

RENT_RULES = (
    _replaced_by("host_block", "host", spared=(HOST_OF_BLOCK,)),
    EffectRule(
        ("disk_gb",),
        lambda values: (values["host_block"] or values["host.provider"]).startswith("ssh"),
        "no host is created: the run goes to one of your own",
        _LEAVE_OUT,
    ),
    EffectRule(
        ("upload_mbit",),
        lambda values: not values["bundle"],
        "it is the speed at which an offline bundle is sent",
        f"name the bundle with <bundle>, or {_LEAVE_OUT}",
    ),
    EffectRule(
        ("run.when_busy",),
        lambda values: values["run.when_busy"] is WhenBusy.WAIT,
        "a rental refuses a busy cycle, and nobody else works on the host's copy",
        _LEAVE_OUT,
    ),
)
"""Of a rental, besides those of its run."""

SERVING_RULES = (
    EffectRule(
        ("endpoint", "endpoint_block", "phrases", "boost_scores"),
        lambda values: bool(values["bundles"]),
        "with <bundles> this machine decodes: no endpoint is asked, and no phrases are boosted",
        f"{_LEAVE_OUT}, or leave <bundles> out",
        refused=True,
    ),
    _replaced_by("endpoint_block", "endpoint"),
    EffectRule(
        ("boost_scores",),
        lambda values: values["phrases"] is None,
        "they are scores of phrases, and none are named",
        f"name a list with <phrases>, or {_LEAVE_OUT}",
        refused=True,
    ),
    EffectRule(
        ("api_key_secret",),
        lambda values: bool(values["bundles"]) and values["server"] is None,
        "with <bundles> this machine decodes, which needs no key",
        f"name the ward server with <server>, or {_LEAVE_OUT}",
    ),
    EffectRule(
        ("api_key_secret",),
        lambda values: (
            not values["bundles"]
            and values["endpoint_block"] is None
            and bool(values["endpoint.address"])
            and not values["endpoint.function_id"]
        ),
        "a key is sent to a hosted function only, and <endpoint.address> names a server of your "
        "own",
        _LEAVE_OUT,
    ),
)
"""Of a validation of what is served."""


def effectless_in_run(config: BaseModel) -> tuple[EffectlessParameter, ...]:
    """Return the parameters of a run on a cycle that were set and have no effect."""
    return find_effectless(config, CYCLE_RULES)


def effectless_where_it_runs(config: BaseModel) -> tuple[EffectlessParameter, ...]:
    """Return those about the runtime, of a flow that trains nothing."""
    return find_effectless(config, RUNTIME_RULES)


def effectless_in_rental(config: BaseModel, run: BaseModel) -> tuple[EffectlessParameter, ...]:
    """Return those of a rental and of its run."""
    return find_effectless(config, RENT_RULES) + effectless_in_run(run)


def effectless_in_validation(config: BaseModel) -> tuple[EffectlessParameter, ...]:
    """Return those of a validation of what is served."""
    return find_effectless(config, SERVING_RULES)
