"""What several commands share: options, exit codes, checked parameters, and printing JSON.

Options of a run, a rental and a validation come from the models of their flows. The tables here say
what is different on the command line, and why a field is no option.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from asr_flywheel.config_options import ConfigOptions
from blocks.parameter_types import store_from_here
from flows.config import CycleConfig
from flows.config_fields import RuntimeName
from flows.parameters_without_effect import effectless_in_run
from flows.rental.config import RentConfig
from flows.serving_config import ServingConfig
from tasks.common.errors import InputError
from tasks.common.parameter_names import name_of, spelled_as
from tasks.data.split_parts import Disjointness
from tasks.gpu_hosts.host_settings import BrevSettings, SshHostSettings
from tasks.models.catalog import Method
from tasks.records.tracking.tracking_names import server_name
from tasks.training.recipes import RecipeName

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pydantic

    from tasks.common.effect_rules import EffectlessParameter

Model = TypeVar("Model", bound="pydantic.BaseModel")

EXIT_FAILED, EXIT_BAD_INPUT, EXIT_REFUSED = 1, 2, 3

_IN_CONTAINER_BLOCK = "rarely set; a saved block has it: --container-block"
_IN_SLURM_BLOCK = "rarely set; a saved block has it: --slurm-block"
_IN_HOST_BLOCK = "rarely set; a saved block has it: --host-block"
_IN_ENDPOINT_BLOCK = "rarely set; a saved block has it: --endpoint-block"
# An option that may be repeated is called after one of its values.
_ONE_EACH = {"audio_roots": "audio_root"}

CYCLE = ConfigOptions(
    CycleConfig,
    arguments=frozenset({"cycle"}),
    names={
        **_ONE_EACH,
        "validation_fraction": "fraction",
        "slurm.image": "launcher_image",
        "slurm.more": "sbatch",
    },
    conversions={"store": store_from_here, "track": server_name},
    not_options={
        "shards": "needs the workers of a site, which start the run from its form; "
        "`transcribe --shards` has it",
        "container.tmp_gib": _IN_CONTAINER_BLOCK,
        "container.unlimited_memlock": _IN_CONTAINER_BLOCK,
        "container.user": _IN_CONTAINER_BLOCK,
        "container.network": _IN_CONTAINER_BLOCK,
        "container.python": _IN_CONTAINER_BLOCK,
        "container.examples": _IN_CONTAINER_BLOCK,
        "container.abandoned_after_s": _IN_CONTAINER_BLOCK,
        "slurm.setup": _IN_SLURM_BLOCK,
        "slurm.python": _IN_SLURM_BLOCK,
        "slurm.examples": _IN_SLURM_BLOCK,
        "slurm.idle_release_s": _IN_SLURM_BLOCK,
        "slurm.abandoned_after_s": _IN_SLURM_BLOCK,
    },
)
_NO_SLURM = "is of a cluster, and a rented host has none"
RENTED_CYCLE = replace(
    CYCLE,
    panel="Cycle",
    names={path: name for path, name in CYCLE.names.items() if not path.startswith("slurm.")},
    defaults={
        "cycle": None,  # --reap and --forget need none
        "runtime": RuntimeName.CONTAINER,  # nothing is installed on a host that was just created
    },
    not_options={
        **CYCLE.not_options,
        "track": "a rented host reaches no server here; `track` sends the run when it is back",
        "stock_script": "is a file of this machine, which a rental refuses",
        "slurm": _NO_SLURM,
        "slurm_block": _NO_SLURM,
        "when_busy": "a rental refuses a busy cycle, and nobody else works on the host's copy",
    },
)
RENTAL = ConfigOptions(
    RentConfig,
    panel="Rental",
    not_options={
        "run": "its fields are the options of RENTED_CYCLE",
        "host": "its fields are --provider and the options of SSH_HOST and BREV_HOST",
    },
)
SSH_HOST = ConfigOptions(
    SshHostSettings,
    panel="Host",
    names={"ssh.destination": "host"},
    defaults={"ssh.destination": None},  # a block may name it, and Brev needs none
    not_options={
        "provider": "--provider names it",
        "ssh.config": _IN_HOST_BLOCK,
        "ssh.new_host_key": _IN_HOST_BLOCK,
        "ssh.connect_s": _IN_HOST_BLOCK,
        "give_back": _IN_HOST_BLOCK,
        "at_limit": _IN_HOST_BLOCK,
    },
)
BREV_HOST = ConfigOptions(
    BrevSettings,
    not_options={
        "provider": "--provider names it",
        "program": _IN_HOST_BLOCK,
        "organisation": _IN_HOST_BLOCK,
        "ssh_config": _IN_HOST_BLOCK,
        "at_limit": _IN_HOST_BLOCK,
        "settle_s": _IN_HOST_BLOCK,
    },
)
SERVING = ConfigOptions(
    ServingConfig,
    arguments=frozenset({"cycle"}),
    names={
        **_ONE_EACH,
        "endpoint.address": "endpoint",
        "endpoint.language_code": "language",
        "audio_may_leave": "yes",
        "boost_scores": "boost_score",
        "bundles": "bundle",
    },
    opposites=frozenset({"endpoint.tls"}),
    not_options={
        "endpoint.function_id": f"ASR_NVCF_FUNCTION_ID names it, or {_IN_ENDPOINT_BLOCK}",
        "endpoint.model_name": f"ASR_MODEL_NAME names it, or {_IN_ENDPOINT_BLOCK}",
        "endpoint.punctuation": _IN_ENDPOINT_BLOCK,
        "endpoint.verbatim": _IN_ENDPOINT_BLOCK,
    },
)


def _option_names() -> dict[str, str]:
    """Return what each parameter is called on the command line, by its path in its flow's model."""
    tables = {
        "": (CYCLE, RENTAL, SERVING),
        "run.": (RENTED_CYCLE,),
        "host.ssh.": (SSH_HOST,),
        "host.brev.": (BREV_HOST,),
        "host.": (SSH_HOST, BREV_HOST),
    }
    names = {
        f"{above}{path}": option.typed
        for above, several in tables.items()
        for table in several
        for path, option in table.options.items()
    }
    # No option of `run`, but of `transcribe`.
    return {**names, "shards": "--shards"}


OPTION_NAMES = _option_names()
DEFAULTS = CycleConfig(cycle=Path())
DEFAULT_PRIORITY = list[str](DEFAULTS.priority)

CycleArgument = Annotated[Path, CYCLE.declare("cycle")]
BaseOption = Annotated[str, CYCLE.declare("base")]
RuntimeOption = Annotated[RuntimeName, CYCLE.declare("runtime")]
ImageOption = Annotated[str, CYCLE.declare("container.image")]
PartitionOption = Annotated[str | None, CYCLE.declare("slurm.partition")]
AccountOption = Annotated[str | None, CYCLE.declare("slurm.account")]
TimeLimitOption = Annotated[str | None, CYCLE.declare("slurm.time_limit")]
GresOption = Annotated[str | None, CYCLE.declare("slurm.gres")]
CpusOption = Annotated[int | None, CYCLE.declare("slurm.cpus")]
TrustOption = Annotated[bool, CYCLE.declare("trust")]
PriorityOption = Annotated[list[str], CYCLE.declare("priority")]
BaselineOption = Annotated[Path | None, CYCLE.declare("baseline")]
AudioRootOption = Annotated[list[Path] | None, CYCLE.declare("audio_roots")]
MaxDurationOption = Annotated[float | None, CYCLE.declare("max_duration")]
KeepStyleOption = Annotated[bool, CYCLE.declare("keep_style")]
MethodOption = Annotated[Method, CYCLE.declare("method")]
GeneralLimitOption = Annotated[float | None, CYCLE.declare("general_limit")]
HoldOutTermsOption = Annotated[bool, CYCLE.declare("hold_out_terms")]
DisjointOption = Annotated[Disjointness, CYCLE.declare("disjoint")]
NoTextsOption = Annotated[bool, CYCLE.declare("no_texts")]
SeedOption = Annotated[int, CYCLE.declare("seed")]
SelectionShareOption = Annotated[float, CYCLE.declare("selection_share")]
TwoPartOption = Annotated[bool, CYCLE.declare("two_part")]
FractionOption = Annotated[float, CYCLE.declare("validation_fraction")]
RecipeOption = Annotated[RecipeName, CYCLE.declare("recipe")]
EpochsOption = Annotated[int | None, CYCLE.declare("epochs")]
ReplayShareOption = Annotated[float, CYCLE.declare("replay_share")]
ShardsOption = Annotated[int | None, CYCLE.declare("shards")]
SpeechOption = Annotated[
    bool,
    typer.Option(
        "--speech",
        help="Find recordings in which nobody speaks, too, by Silero's detector (extra vad): about "
        "ten seconds of the processor for an hour of sound.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


def slurm_settings(
    partition: str | None,
    account: str | None,
    time_limit: str | None,
    gres: str | None,
    cpus: int | None,
) -> dict[str, Any]:
    """Return the parameters of a cluster's job that single stages have as options."""
    return {
        "partition": partition,
        "account": account,
        "time_limit": time_limit,
        "gres": gres,
        "cpus": cpus,
    }


def validated(model: type[Model], parameters: dict[str, Any]) -> Model:
    """A flow's parameters, checked by their model.

    Raises:
        InputError: names each option as it is typed, its value, what is wrong with it, and the fix.
    """
    import pydantic  # noqa: PLC0415 - --help never pays for it

    with spelled_as(OPTION_NAMES):
        try:
            return model.model_validate(parameters)
        except pydantic.ValidationError as wrong:
            lines = [f"{_option_at(one['loc'])} {one['msg']}".lstrip() for one in wrong.errors()]
    raise InputError("\n".join(lines))


def _option_at(loc: tuple[int | str, ...]) -> str:
    """Return the option whose value is at a place in a model; nothing for the whole model."""
    path = ".".join(str(part) for part in loc if isinstance(part, str))
    return name_of(path)


def check_options(cycle: Path, **given: Any) -> CycleConfig:  # noqa: ANN401 - any parameters of a run
    """Check what one stage takes of a run's parameters, and tell what of it has no effect.

    Raises:
        InputError: names each option, its value, what is wrong with it, and the fix.
    """
    config = validated(CycleConfig, {"cycle": cycle, **given})
    warn_of(effectless_in_run(config))
    return config


def warn_of(found: Iterable[EffectlessParameter]) -> None:
    """Tell of options that have no effect, beside what a program reads."""
    with spelled_as(OPTION_NAMES):
        for one in found:
            typer.echo(f"warning: {one}", err=True)


def refuse_with(chosen: str, options: Mapping[str, object]) -> None:
    """Refuse options that have no effect beside another one.

    Args:
        chosen: the other one, as it is typed.
        options: their values by their names as typed; None, False and nothing are no value.

    Raises:
        InputError: names those that were given.
    """
    if given := _given(options):
        raise InputError(f"{given} no effect with {chosen}. Fix: leave one of the two out.")


def refuse_without(needed: str, options: Mapping[str, object]) -> None:
    """Refuse options that have no effect without another one; see ``refuse_with``.

    Raises:
        InputError: names those that were given.
    """
    if given := _given(options):
        raise InputError(
            f"{given} no effect without {needed}. Fix: add {needed}, or leave the other out."
        )


def _given(options: Mapping[str, object]) -> str:
    """Return the options that were given, with the verb of a sentence about them."""
    names = [name for name, value in options.items() if value]
    return f"{', '.join(names)}: {'has' if len(names) == 1 else 'have'}" if names else ""


def print_json(value: object) -> None:
    """Print a value for programs."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))
