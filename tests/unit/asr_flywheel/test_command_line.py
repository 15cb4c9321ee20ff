"""Options of the command line: those of 0.1 are all there, and the models' fields are each one."""

from __future__ import annotations

import inspect
import json
from enum import Enum
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal

import pytest
import typer.main
from pydantic import BaseModel, Field

from asr_flywheel import cli, options
from asr_flywheel.commands import rent, run, serving
from asr_flywheel.config_options import ConfigOptions, with_options
from asr_flywheel.options import BREV_HOST, CYCLE, RENTAL, RENTED_CYCLE, SERVING, SSH_HOST
from tasks.common.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

BEFORE = json.loads((Path(__file__).parents[2] / "command_line.json").read_text())
"""Options and parsed parameters of version 0.1, when each was written by hand; but the demo has
another recipe since."""
PROGRAM: Any = typer.main.get_command(cli.app)
TABLES = [CYCLE, RENTED_CYCLE, RENTAL, SSH_HOST, BREV_HOST, SERVING]


def shape(parameter: Any) -> dict[str, Any]:
    """What the data file records of an option or argument; what is usual is left out."""
    default = parameter.default
    if isinstance(default, Enum | PurePath):
        default = str(default.value if isinstance(default, Enum) else default)
    found = {
        "default": default,
        "required": parameter.required,
        "multiple": getattr(parameter, "multiple", False),
        "flag": bool(getattr(parameter, "is_flag", False)),
        "nargs": parameter.nargs,
    }
    usual = {"default": None, "required": False, "multiple": False, "flag": False, "nargs": 1}
    return {name: value for name, value in found.items() if value != usual[name]}


def parameters_of(command: str) -> dict[str, Any]:
    """The parameters of a command by their names as typed."""
    return {
        "/".join(found.opts + found.secondary_opts)
        if found.param_type_name == "option"
        else found.name: found
        for found in PROGRAM.commands[command].params
    }


def flat(tree: dict[str, Any], above: str = "") -> dict[str, Any]:
    """A nested dictionary by dotted paths."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= (
            flat(value, f"{above}{name}.") if isinstance(value, dict) else {above + name: value}
        )
    return found


class ParsedError(Exception):
    """The command has its parameters; nothing of it is to be run."""


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[BaseModel]:
    """The parameters that commands make, each of which ends its command."""
    configs: list[BaseModel] = []

    def validated(model: type[BaseModel], given: dict[str, Any]) -> BaseModel:
        configs.append(options.validated(model, given))
        raise ParsedError

    for module in (run, rent, serving):
        monkeypatch.setattr(module, "validated", validated)
    return configs


@pytest.mark.parametrize("command", sorted(BEFORE["options"]))
def test_every_option_of_before_is_there(command: str) -> None:
    """No name, default or kind of an option is lost; where there was no default it may be shown."""
    now = {name: shape(parameter) for name, parameter in parameters_of(command).items()}
    for name, before in BEFORE["options"][command].items():
        assert name in now
        found = now[name] if "default" in before else {**now[name], "default": None}
        assert {"default": None, **found} == {"default": None, **before}, name


@pytest.mark.parametrize("case", BEFORE["parsed"], ids=lambda case: " ".join(case["arguments"]))
def test_a_command_line_means_what_it_meant(case: Any, parsed: list[BaseModel]) -> None:
    """The same arguments make the same parameters, of a run, a rental and a validation."""
    with pytest.raises(ParsedError):
        PROGRAM.main(case["arguments"])
    found = flat(parsed[0].model_dump(mode="json"))
    assert {name: found.get(name) for name in case["parameters"]} == case["parameters"]


def test_a_relative_store_is_one_of_the_shells_folder(parsed: list[Any]) -> None:
    """A worker could not know where the shell is."""
    with pytest.raises(ParsedError):
        PROGRAM.main(["run", "cycle1", "--store", "kept"])
    assert parsed[0].store == str(Path("kept").absolute())


def test_a_rental_takes_what_a_run_takes(parsed: list[Any]) -> None:
    """Options of the cycle were few, so that a rented run could not be cross-fitted."""
    with pytest.raises(ParsedError):
        PROGRAM.main(["rent", "cycle1", "--folds", "5", "--batch", "auto", "--reach-s", "60"])
    config = parsed[0]
    assert (config.run.folds, config.run.batch, config.reach_s) == (5, "auto", 60)


def test_a_rental_takes_a_bundle_by_its_parts(parsed: list[Any]) -> None:
    """Each named, or the folder above them; the line's speed is a figure of its own."""
    with pytest.raises(ParsedError):
        PROGRAM.main(
            [
                "rent",
                "cycle1",
                "--bundle",
                "out/part-1",
                "--bundle",
                "part-2",
                "--upload-mbit",
                "80",
            ]
        )
    config = parsed[0]
    assert config.bundle == (Path("out/part-1"), Path("part-2"))
    assert config.upload_mbit == 80


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.model.__name__)
def test_every_field_is_an_option_or_has_its_reason(table: ConfigOptions) -> None:
    """A field that is no option is listed with a reason, and no list outlives its field."""
    paths = set(fields(table.model, ""))
    listed = set(table.not_options)
    assert all(reason.strip() for reason in table.not_options.values())
    assert listed <= paths
    leaves = {path for path in paths if not any(other.startswith(f"{path}.") for other in paths)}
    under = {path for path in leaves if any(path.startswith(f"{name}.") for name in listed)}
    assert set(table.options) == leaves - listed - under
    assert not set(table.options) & listed


def fields(model: type[BaseModel], above: str) -> Iterator[str]:
    """The paths of all fields of a model and of the models in it."""
    for name, info in model.model_fields.items():
        yield above + name
        if inspect.isclass(info.annotation) and issubclass(info.annotation, BaseModel):
            yield from fields(info.annotation, f"{above}{name}.")


def test_the_options_of_a_brev_host_are_options_of_rent() -> None:
    """Both providers' options stand in one command; what they share is there once."""
    names = {parameter.name for parameter in PROGRAM.commands["rent"].params}
    assert {option.name for option in BREV_HOST.options.values()} <= names


@pytest.mark.parametrize("command", ["gate", "preflight", "split", "transcribe", "demo", "diff"])
def test_a_stages_option_is_that_of_the_run(command: str) -> None:
    """Type, default, bounds and help are the field's in every command."""
    whole = {parameter.name: parameter for parameter in PROGRAM.commands["run"].params}
    # diff takes the hypotheses of general English, not its manifest.
    own = {"json", "general"}
    shared = [
        parameter
        for parameter in PROGRAM.commands[command].params
        if parameter.name in whole and parameter.name not in own
    ]
    assert shared
    for parameter in shared:
        twin = whole[parameter.name]
        assert parameter.help == twin.help
        if (command, parameter.name) != ("demo", "recipe"):  # it has one of its own
            assert shape(parameter) == shape(twin)
        assert parameter.bare_type() == twin.bare_type()
        for bound in ("min", "max"):
            info = parameter.type_descriptor.parameter_info
            assert getattr(info, bound) == getattr(twin.type_descriptor.parameter_info, bound)


class Color(Enum):
    """An enumeration for a field."""

    RED = "red"
    BLUE = "blue"


class Inner(BaseModel):
    """A model within a model."""

    depth: int = Field(3, ge=1, le=9, description="How deep.")


class Example(BaseModel):
    """One field of each kind that an option is made of."""

    place: Path = Field(description="Where.")
    share: float = Field(0.5, gt=0, lt=1, description="How much.")
    batch: int | Literal["auto"] | None = Field(None, description="How many.")
    color: Color = Field(Color.RED, description="Which.")
    names: tuple[str, ...] = Field((), description="Who.")
    kinds: tuple[Literal["a", "b"], ...] = Field(("a",), description="What.")
    off: bool = Field(False, description="Off.")
    on: bool = Field(True, description="On.")
    inner: Inner = Inner()


def program(*tables: ConfigOptions) -> tuple[Any, list[dict[str, Any]]]:
    """A command of these tables, and what it was given."""
    app = typer.Typer(rich_markup_mode=None)
    seen: list[dict[str, Any]] = []

    @app.command()
    @with_options(*tables)
    def command(**given: Any) -> None:
        seen.append(given)

    return typer.main.get_command(app), seen


def test_a_field_becomes_an_option_with_type_default_bounds_and_help() -> None:
    """A new field is an option without a line of the command's code."""
    table = ConfigOptions(Example, arguments=frozenset({"place"}), names={"names": "name"})
    command, seen = program(table)
    command.main(["here"], standalone_mode=False)
    assert table.parameters(seen[-1]) == {
        "place": Path("here"),
        "share": 0.5,
        "color": Color.RED,
        "kinds": ["a"],
        "off": False,
        "on": True,
        "inner": {"depth": 3},
    }
    line = "here --batch auto --color blue --name x --name y --kinds b --off --no-on --depth 9"
    command.main(line.split(), standalone_mode=False)
    example = Example.model_validate(table.parameters(seen[-1]))
    assert (example.batch, example.color, example.names) == ("auto", Color.BLUE, ("x", "y"))
    assert (example.kinds, example.off, example.on, example.inner.depth) == (("b",), True, False, 9)
    text = command.get_help(command.make_context("", ["here"]))
    for said in ("How deep.", "1<=x<=9", "int|auto", "a|b", "red|blue", "Who. May be repeated."):
        assert said in text


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["run", "cycle1", "--epochs", "1001"], "--epochs"),
        (["run", "cycle1", "--shm-gib", "0"], "--shm-gib"),
        (["run", "cycle1", "--runtime", "cloud"], "--runtime"),
        (["rent", "cycle1", "--disk-gb", "49"], "--disk-gb"),
    ],
)
def test_a_value_beyond_its_bounds_is_refused_by_the_options_name(
    arguments: list[str], option: str
) -> None:
    """Before anything of the run is imported; with the value, and what to write instead."""
    with pytest.raises(InputError, match=f"^{option} '{arguments[-1]}' is .* Fix: write "):
        PROGRAM.main(arguments)


def test_an_open_bound_is_the_models(parsed: list[BaseModel]) -> None:
    """Typer knows closed bounds alone; the model refuses the rest, with exit 2 as well."""
    with pytest.raises(InputError, match="--fraction 1 is out of range"):
        PROGRAM.main(["run", "cycle1", "--fraction", "1"])
    assert not parsed


def test_a_field_that_no_option_can_hold_is_named() -> None:
    """Such a field must be listed with its reason; it does not go missing."""

    class Odd(BaseModel):
        table: dict[str, int] = Field({}, description="No option.")

    with pytest.raises(TypeError, match=r"dict\[str, int\]: no option can have this type"):
        _ = ConfigOptions(Odd).options
    assert ConfigOptions(Odd, not_options={"table": "is a table"}).options == {}


def test_a_field_without_a_description_is_named() -> None:
    """It would have no help."""

    class Mute(BaseModel):
        loud: int = 3

    with pytest.raises(TypeError, match=r"Mute\.loud has no description"):
        _ = ConfigOptions(Mute).options


def test_a_name_that_the_model_does_not_have_is_refused() -> None:
    """A field that was renamed takes its line in a table with it."""
    with pytest.raises(TypeError, match="Example has no option plcae"):
        _ = ConfigOptions(Example, arguments=frozenset({"plcae"})).options


def test_two_options_of_one_name_are_refused() -> None:
    """One would hide the other."""
    with pytest.raises(TypeError, match="two options depth"):
        program(ConfigOptions(Example), ConfigOptions(Inner))
