"""Parameters that cannot take effect: refused where they would be paid for, else told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic
import pytest
from prefect.exceptions import ParameterTypeError

from flows import parameters_without_effect as tables
from flows.config import CycleConfig
from flows.evaluate_cycle import EvaluationConfig
from flows.finetune_cycle import finetune_cycle
from flows.rental.config import RentConfig
from flows.serving_config import ServingConfig
from flows.watch_inbox import WatchConfig
from tasks.common.effect_rules import find_effectless
from tasks.common.parameter_names import spelled_as, with_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.common.effect_rules import EffectRule

CYCLE = Path("cycle1")
SSH = {"provider": "ssh", "ssh": {"destination": "me@there"}}
MODELS: dict[type[pydantic.BaseModel], tuple[dict[str, Any], Sequence[EffectRule]]] = {
    CycleConfig: ({"cycle": CYCLE}, tables.CYCLE_RULES),
    EvaluationConfig: ({"cycle": CYCLE}, tables.RUNTIME_RULES),
    RentConfig: ({"run": {"cycle": CYCLE}}, tables.RENT_RULES),
    ServingConfig: ({"cycle": CYCLE}, tables.SERVING_RULES),
}


@dataclass(frozen=True)
class Case:
    """Parameters of which one has no effect.

    Attributes:
        path: of that one.
        given: all that is set.
        instead: what the fix changes, where it does not leave the parameter out.
        refused: whether it is an error.
        model: whose parameters they are.
    """

    path: str
    given: dict[str, Any]
    instead: dict[str, Any] = field(default_factory=dict)
    refused: bool = False
    model: type[pydantic.BaseModel] = CycleConfig

    def __str__(self) -> str:
        return f"{self.model.__name__} {self.path} {sorted(self.given)}"


CASES = [
    Case("container.image", {"container": {"image": "x:1"}}, {"runtime": "container"}),
    Case("container_block", {"container_block": "b"}, {"runtime": "container"}),
    Case("slurm.partition", {"slurm": {"partition": "gpu"}}, {"runtime": "slurm"}),
    Case("slurm_block", {"slurm_block": "b", "runtime": "container"}, {"runtime": "slurm"}),
    Case(
        "container.image",
        {"container": {"image": "x:1"}, "container_block": "b", "runtime": "container"},
        {"container_block": None},
        refused=True,
    ),
    Case(
        "slurm.account",
        {"slurm": {"account": "ward"}, "slurm_block": "b", "runtime": "slurm"},
        {"slurm_block": None},
        refused=True,
    ),
    Case(
        "recipe",
        {"recipe": "production", "recipe_block": "b"},
        {"recipe_block": None},
        refused=True,
    ),
    Case(
        "replay_share", {"replay_share": 0.3, "general": "none"}, {"general": None}, refused=True
    ),
    Case("general_limit", {"general_limit": 1.0, "general": "none"}, {"general": "g.jsonl"}),
    Case("compare_with", {"compare_with": "imported", "folds": 5}, {"folds": 0}, refused=True),
    Case("remedies", {"remedies": 2, "interpolate": "off"}, {"interpolate": "auto"}),
    Case("remedies", {"remedies": 1, "interpolate": 0.5}, {"interpolate": "auto"}),
    Case("remedies", {"remedies": 2, "general": "none"}, {"general": "g.jsonl"}),
    Case("remedies", {"remedies": 2, "two_part": True}, {"two_part": False}),
    Case("keep_tuned", {"keep_tuned": False, "interpolate": "off"}, {"interpolate": "auto"}),
    Case("selection_share", {"selection_share": 0.2, "two_part": True}, {"two_part": False}),
    Case("variants", {"variants": 8, "compare_with": "imported"}, {"compare_with": "offline"}),
    Case("fused_adamw", {"fused_adamw": False, "compile": "off"}, {"compile": "on"}),
    Case("audio", {"audio": True, "no_audio": True}, {"no_audio": False}),
    Case("store_audio", {"store_audio": False}, {"store": "/srv/store"}),
    Case(
        "container.gpus", {"container": {"gpus": "all"}}, {"runtime": "container"},
        model=EvaluationConfig,
    ),
    Case(
        "slurm.gres",
        {"slurm": {"gres": "gpu:1"}, "slurm_block": "b", "runtime": "slurm"},
        {"slurm_block": None},
        refused=True,
        model=EvaluationConfig,
    ),
    Case(
        "host.ssh.destination",
        {"host": SSH, "host_block": "ssh-gpu-host/b"},
        {"host_block": None},
        refused=True,
        model=RentConfig,
    ),
    Case(
        "host.python",
        {"host": {"provider": "brev", "python": "/p"}, "host_block": "brev-gpu-host/b"},
        {"host_block": None},
        refused=True,
        model=RentConfig,
    ),
    Case("disk_gb", {"host": SSH, "disk_gb": 300}, model=RentConfig),
    Case("disk_gb", {"host_block": "ssh-gpu-host/b", "disk_gb": 300}, model=RentConfig),
    Case("upload_mbit", {"upload_mbit": 80}, {"bundle": ["part-1"]}, model=RentConfig),
    Case("run.when_busy", {"run": {"cycle": CYCLE, "when_busy": "wait"}}, model=RentConfig),
    Case(
        "endpoint_block",
        {"bundles": ["b"], "endpoint_block": "riva"},
        {"bundles": ()},
        refused=True,
        model=ServingConfig,
    ),
    Case(
        "endpoint.address",
        {"endpoint": {"address": "here:1"}, "endpoint_block": "riva"},
        {"endpoint_block": None},
        refused=True,
        model=ServingConfig,
    ),
    Case(
        "boost_scores",
        {"boost_scores": [20]},
        {"phrases": "phrases.txt"},
        refused=True,
        model=ServingConfig,
    ),
    Case(
        "api_key_secret",
        {"bundles": ["b"], "api_key_secret": "s"},
        {"server": "http://127.0.0.1:1"},
        model=ServingConfig,
    ),
    Case(
        "api_key_secret",
        {"endpoint": {"address": "here:1"}, "api_key_secret": "s"},
        model=ServingConfig,
    ),
]  # fmt: skip


def made(case: Case, changed: dict[str, Any]) -> pydantic.BaseModel:
    """The parameters of a case with some of them changed."""
    return case.model.model_validate({**MODELS[case.model][0], **case.given, **changed})


def found(case: Case, changed: dict[str, Any]) -> dict[str, str]:
    """What has no effect of a case's parameters, with the message."""
    rules = MODELS[case.model][1]
    return {one.path: str(one) for one in find_effectless(made(case, changed), rules)}


def refused(case: Case) -> str:
    """The error of a case."""
    with pytest.raises(pydantic.ValidationError) as wrong:
        made(case, {})
    return str(wrong.value)


def without(case: Case) -> dict[str, Any]:
    """A change that leaves the parameter out."""
    name, _, rest = case.path.partition(".")
    if name == "run":
        return MODELS[case.model][0]
    fields = case.model.model_fields
    return {name: fields[name].get_default() if rest else fields[name].default}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_default_configuration_gives_nothing(model: type[pydantic.BaseModel]) -> None:
    """Neither where nothing is set, nor where a form hands over every default."""
    needed, rules = MODELS[model]
    plain = model.model_validate(needed)
    whole = model.model_validate(plain.model_dump())
    assert find_effectless(plain, rules) == find_effectless(whole, rules) == ()


@pytest.mark.parametrize("case", [case for case in CASES if not case.refused], ids=str)
def test_what_changes_nothing_is_told(case: Case) -> None:
    """With the parameter, its value, and a fix; either part of the fix ends the warning."""
    message = found(case, {})[case.path]
    assert message.startswith(case.path)
    assert " has no effect: " in message
    assert "Fix: " in message
    assert case.path not in found(case, without(case))
    if case.instead:
        assert case.path not in found(case, case.instead)


@pytest.mark.parametrize("case", [case for case in CASES if case.refused], ids=str)
def test_what_would_be_paid_for_and_not_got_is_refused(case: Case) -> None:
    """By the model, so in form, API and command line; either part of the fix goes through."""
    with pytest.raises(pydantic.ValidationError, match=rf"{case.path} .*has no effect: .*Fix: "):
        made(case, {})
    assert case.path not in found(case, without(case))
    assert case.path not in found(case, case.instead)


def test_every_rule_has_its_case() -> None:
    """A condition that nothing can meet would never be told."""
    told = "\n".join(
        (refused(case) if case.refused else found(case, {})[case.path]) for case in CASES
    )
    for _, rules in MODELS.values():
        for rule in rules:
            assert with_names(rule.because) in told


def test_a_value_that_asks_for_nothing_is_not_told() -> None:
    """No remedies, one decode a row, and the same image as by default."""
    quiet = CycleConfig.model_validate(
        {
            "cycle": CYCLE,
            "remedies": 0,
            "interpolate": "off",
            "variants": 1,
            "compare_with": "imported",
            "container": {"image": CycleConfig(cycle=CYCLE).container.image},
        }
    )
    assert tables.effectless_in_run(quiet) == ()


def test_a_rental_tells_of_its_run_too() -> None:
    """Before anybody is asked for a YES; a run's error refuses the rental."""
    run = {"cycle": CYCLE, "remedies": 2, "interpolate": "off"}
    rental = RentConfig.model_validate({"run": run, "upload_mbit": 80})
    told = tables.effectless_in_rental(rental, rental.run)
    assert [one.path for one in told] == ["upload_mbit", "remedies"]
    with pytest.raises(pydantic.ValidationError, match=r"replay_share 0\.3 has no effect"):
        RentConfig.model_validate({"run": {**run, "replay_share": 0.3, "general": "none"}})


def test_a_block_may_name_the_host_of_a_provider() -> None:
    """``rent --provider ssh --host-block …`` names no host of its own."""
    host = {"provider": "ssh", "ssh": {"destination": tables.HOST_OF_BLOCK}}
    rental = RentConfig.model_validate(
        {"run": {"cycle": CYCLE}, "host": host, "host_block": "ssh-gpu-host/b"}
    )
    assert rental.host_block == "ssh-gpu-host/b"


def test_names_are_those_that_the_user_typed() -> None:
    """Options where a command line has set them; a switch that is off with its own name."""
    config = CycleConfig.model_validate(
        {"cycle": CYCLE, "keep_tuned": False, "interpolate": "off", "remedies": 2}
    )
    names = {path: f"--{path.replace('_', '-')}" for path in ("keep_tuned", "interpolate")}
    with spelled_as(names):
        remedies, tuned = map(str, tables.effectless_in_run(config))
    assert tuned.startswith("--no-keep-tuned has no effect: with --interpolate off ")
    assert remedies.startswith("remedies 2 has no effect: ")
    record = tables.effectless_in_run(config)[0].as_dict()
    assert (record["parameter"], record["value"]) == ("remedies", "2")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            {"cycle": "cycle1", "replay_share": 0.3, "general": "none"},
            " - config: replay_share 0.3 has no effect: with general none there are no general ",
        ),
        (
            {"cycle": "cycle1", "priority": ["drugs"]},
            " - config.priority.0: 'drugs' is none of its values. Fix: write drug, or else ",
        ),
    ],
)
def test_a_run_of_the_form_fails_before_it_begins(config: dict[str, Any], said: str) -> None:
    """Prefect checks a run's parameters first; parameters have their own names there."""
    with pytest.raises(ParameterTypeError, match=f"^Flow run received invalid parameters:\n{said}"):
        finetune_cycle.validate_parameters({"config": config})


def test_what_an_inbox_starts_is_checked_before_anything_arrives() -> None:
    """Its settings are those of a run."""
    watch = WatchConfig.model_validate(
        {"store": "/srv", "cycles": "/srv", "settings": {"replay_share": 0.3, "general": "none"}}
    )
    with pytest.raises(pydantic.ValidationError, match=r"replay_share 0\.3 has no effect"):
        watch.run_for(CYCLE)
