"""Bad values of all options: the error names option, value, and a fix that works when followed."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer.main

from asr_flywheel import cli
from asr_flywheel.options import (
    BREV_HOST,
    CYCLE,
    OPTION_NAMES,
    RENTAL,
    SERVING,
    SSH_HOST,
    validated,
)
from flows.config import CycleConfig
from flows.rental.config import RentConfig
from flows.serving_config import ServingConfig
from tasks.common.errors import InputError
from tasks.common.parameter_model import values_of
from tasks.common.parameter_names import name_of
from tasks.common.valid_values import ValidValues, valid_values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydantic import BaseModel

    from asr_flywheel.config_options import ConfigOptions, FieldOption

PROGRAM: Any = typer.main.get_command(cli.app)
NUMBERS = ("nan", "inf", "-inf", "-1000000", "0,5", "", "many")
SSH = {"provider": "ssh", "ssh": {"destination": "me@there"}}
CYCLES: dict[str, Any] = {"cycle": "cycle1"}
TABLES: list[tuple[ConfigOptions, type[BaseModel], dict[str, Any], tuple[str, ...]]] = [
    (CYCLE, CycleConfig, CYCLES, ()),
    (RENTAL, RentConfig, {"run": CYCLES}, ()),
    (SSH_HOST, RentConfig, {"run": CYCLES, "host": SSH}, ("host",)),
    (BREV_HOST, RentConfig, {"run": CYCLES, "host": {"provider": "brev"}}, ("host",)),
    (SERVING, ServingConfig, {**CYCLES, "phrases": "p.txt"}, ()),
]


def bad_values(values: ValidValues) -> list[str]:
    """Values that are not taken: no finite number, out of bounds, a comma, a slip of the pen."""
    slips = [f"{values.choices[0][:-1]}q"] if values.choices else []
    numbers = list(NUMBERS) if values.number is not None else [""] if values.choices else []
    return [value for value in (*numbers, *slips) if not values.accepts(value)]


def advised(message: str, values: ValidValues) -> str:
    """The value that a fix names: what it says to write, or its example or bound."""
    fix = message.partition("Fix: write ")[2]
    assert fix, message
    for pattern in (r"such as (\S+?)\.?$", r"(?:from|up to) (-?[\d.]+)(?= |,|\.$)", r"^([\w.-]+)"):
        named = re.search(pattern, fix)
        # Of a text with a form only the model knows what it takes.
        if named and (values.accepts(named[1]) or not (values.choices or values.number)):
            return named[1]
    raise AssertionError(f"no value is advised: {message}")


def in_model(path: tuple[str, ...], value: object, base: dict[str, Any]) -> dict[str, Any]:
    """Parameters with one value at its path."""
    name, *rest = path
    if not rest:
        return {**base, name: value}
    return {**base, name: in_model(tuple(rest), value, base.get(name) or {})}


def has_pattern(option: FieldOption) -> bool:
    """Whether a text has to have a form."""
    return any(getattr(one, "pattern", None) for one in option.info.metadata)


def cases() -> Iterator[tuple[Any, ...]]:
    """Each option of the models with each bad value."""
    for table, model, base, above in TABLES:
        for option in table.options.values():
            forms = ["a b;", ""] if has_pattern(option) else []
            for value in (*bad_values(values_of(option.info)), *forms):
                yield pytest.param(
                    (option, model, base, above),
                    value,
                    id=f"{model.__name__} {option.typed}={value}",
                )


@pytest.mark.parametrize(("option", "value"), cases())
def test_a_bad_value_of_a_model_names_option_value_and_fix(option: Any, value: str) -> None:
    """As the command line hands it over; the value that the fix names goes through."""
    field, model, base, above = option
    path = (*above, *field.path.split("."))
    several = "tuple[" in str(field.info.annotation)

    bundles = {"bundles": ("b",), "phrases": None} if field.path == "engine" else {}

    def check(one: str) -> None:
        validated(model, {**in_model(path, (one,) if several else one, base), **bundles})

    with pytest.raises(InputError) as wrong:
        check(value)
    message = str(wrong.value)
    assert message.startswith(f"{field.typed} {value!r} is ")
    assert message.count("Fix: ") == 1
    assert "Input should" not in message
    check(advised(message, values_of(field.info)))


def commands(group: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All commands of the program, by the words that call them."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*above, name))
        else:
            yield (*above, name), command


COMMANDS = dict(commands(PROGRAM))


def needed(command: Any, option: Any) -> list[str]:
    """What a command must have besides an option."""
    line: list[str] = []
    for parameter in command.params:
        if not parameter.required or parameter is option:
            continue
        named = [] if parameter.param_type_name == "argument" else [parameter.opts[0]]
        choices = values_here(command, str(parameter.name)).choices
        line += [*named, choices[0] if choices else "cycle1"]
    return line


def values_here(command: Any, name: str) -> ValidValues:
    """What an option takes by the command's signature."""
    return cli_values(command.callback, name)


def cli_values(callback: Any, name: str) -> ValidValues:
    """What a parameter takes by its type alone, without the model's bounds."""
    import inspect  # noqa: PLC0415 - of this function alone

    annotation = inspect.signature(callback, eval_str=True).parameters[name].annotation
    return valid_values(annotation)


def options() -> Iterator[Any]:
    """Each option of each command that takes a number or one of some words."""
    for words, command in COMMANDS.items():
        for option in command.params:
            if option.param_type_name != "option" or getattr(option, "is_flag", False):
                continue
            values = values_here(command, str(option.name))
            if values.number is not None or values.choices:
                yield pytest.param(words, option, id=f"{' '.join(words)} {option.opts[0]}")


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], None]:
    """Read a command line; the command itself does nothing."""
    for command in COMMANDS.values():

        @functools.wraps(command.callback)
        def nothing(*_: Any, **__: Any) -> None:
            """Do nothing."""

        monkeypatch.setattr(command, "callback", nothing)

    def call(line: list[str]) -> None:
        with pytest.raises(SystemExit) as ended:
            PROGRAM.main(line)
        assert ended.value.code == 0, line

    return call


@pytest.mark.parametrize(("words", "option"), list(options()))
def test_a_value_that_no_command_can_read_names_option_value_and_fix(
    words: tuple[str, ...], option: Any, parse: Callable[[list[str]], None]
) -> None:
    """Of every command; the value that the fix names is read. Open bounds are the model's."""
    command = COMMANDS[words]
    line = [*words, *needed(command, option)]
    name = option.opts[0]
    plain = values_here(command, str(option.name))
    slips = [f"{plain.choices[0][:-1]}q"] if plain.choices else []
    for value in (*slips, *(NUMBERS if plain.number is not None else ())):
        if value == "-1000000":
            continue  # some take it: a score of Riva's
        with pytest.raises(InputError) as wrong:
            PROGRAM.main([*line, f"{name}={value}"])
        message = str(wrong.value)
        assert message.startswith(f"{name} {value!r} is ")
        assert message.count("Fix: ") == 1
        parse([*line, f"{name}={advised(message, plain)}"])


def test_values_below_a_bound_are_refused_by_the_command() -> None:
    """With the bound that holds for it."""
    with pytest.raises(InputError, match=r"^--worst '-1' is out of range.* from 0 on"):
        PROGRAM.main(["score", "hyps.jsonl", "--worst", "-1"])
    with pytest.raises(InputError, match=r"^--jobs '0' is out of range.* from 1 on\.$"):
        PROGRAM.main(["rehearse", "--jobs=0"])


READ: list[tuple[dict[str, Any], str]] = [
    (
        {"priority": ["drugs"]},
        "--priority 'drugs' is none of its values. Fix: write drug, or else procedure, ",
    ),
    (
        {"interpolate": "0,5"},
        "--interpolate '0,5' is neither auto nor off nor a number. Fix: write 0.5, with a point; ",
    ),
    (
        {"validation_fraction": 2.0},
        "--fraction 2 is out of range. Fix: write a number above 0 and below 1, such as 0.2.",
    ),
    (
        {"folds": 1},
        "--folds 1 is a single fold, which leaves nothing to train on. Fix: write 0 for none, ",
    ),
    (
        {"container": {"image": "a b"}},
        "--image 'a b' is not written as it has to be. Fix: write one such as nvcr.io/nvidia/",
    ),
    (
        {"slurm": {"launcher": "pyxis"}},
        "--launcher pyxis needs an image. Fix: name one with --launcher-image, or take --launcher ",
    ),
    (
        {"replay_share": 0.3, "general": Path("none")},
        "--replay-share 0.3 has no effect: with --general none there are no general sentences to ",
    ),
]


@pytest.mark.parametrize(("given", "said"), READ)
def test_what_a_user_reads(given: dict[str, Any], said: str) -> None:
    """Some errors, in full."""
    with pytest.raises(InputError) as wrong:
        validated(CycleConfig, {**CYCLES, **given})
    assert said in str(wrong.value)


@pytest.mark.parametrize("order", [("x", "5"), ("5", "x"), ("5", "inf"), ("nan", "5")])
def test_of_an_option_that_is_repeated_the_bad_value_is_named(order: tuple[str, str]) -> None:
    """Wherever it stands."""
    line = [part for one in order for part in ("--boost-score", one)]
    bad = next(one for one in order if one != "5")
    with pytest.raises(InputError, match=rf"^--boost-score '{bad}' is no "):
        PROGRAM.main(["validate-serving", "cycle1", *line])


def test_several_bad_options_have_a_line_each() -> None:
    """None hides another."""
    with pytest.raises(InputError) as wrong:
        validated(CycleConfig, {**CYCLES, "epochs": 0, "priority": ["drugs", "lab", "x"]})
    starts = [line.partition(" is ")[0] for line in str(wrong.value).splitlines()]
    assert starts == ["--priority 'drugs'", "--priority 'x'", "--epochs 0"]


def test_no_parameter_has_two_options() -> None:
    """A path means one option, in all tables; away from the command line it keeps its own name."""
    tables: list[tuple[str, dict[str, FieldOption]]] = [
        ("", CYCLE.options), ("", RENTAL.options), ("", SERVING.options),
    ]  # fmt: skip
    for above, known in tables:
        for path, option in known.items():
            assert OPTION_NAMES[f"{above}{path}"] == option.typed
    assert name_of("validation_fraction") == "validation_fraction"
