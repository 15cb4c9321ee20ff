"""Options of the command line, made from the fields of the pydantic models.

A field gives an option its type, default, bounds, choices and help, so that form, API and command
line say the same. A ``ConfigOptions`` holds what is different on the command line: names, defaults,
and the fields that are no options, each with its reason.
"""

from __future__ import annotations

import inspect
import types
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from typer.models import ArgumentInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pydantic.fields import FieldInfo

Command = TypeVar("Command", bound="Callable[..., None]")
_REQUIRED = inspect.Parameter.empty
_PLAIN = (bool, int, float, str, PurePath)


@dataclass(frozen=True, slots=True)
class FieldOption:
    """A field as a parameter of a command.

    Attributes:
        path: of the field in its model, such as ``container.image``.
        name: of the command's parameter; with dashes it is the option's.
        type: what typer reads a value as.
        declaration: the option or argument, for typer.
        default: where nothing is given; ``inspect.Parameter.empty`` if something must be.
        info: the field.
    """

    path: str
    name: str
    type: Any
    declaration: Any
    default: Any
    info: FieldInfo

    @property
    def typed(self) -> str:
        """How a user types it: ``--image``, or the name of an argument in capitals."""
        if isinstance(self.declaration, ArgumentInfo):
            return self.name.upper()
        return f"--{self.name.replace('_', '-')}"

    def parameter(self) -> inspect.Parameter:
        """Return the parameter in the signature of a command."""
        return inspect.Parameter(
            self.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=self.default,
            annotation=Annotated[self.type, self.declaration],
        )


@dataclass(frozen=True)
class ConfigOptions:
    """How the fields of a model appear on the command line.

    Attributes:
        model: its fields become options; those of a model within it by paths such as
            ``container.image``.
        not_options: paths of the fields that are no options, and why.
        names: paths whose options are not called as the last part of the path.
        arguments: paths of positional arguments.
        defaults: paths whose default differs on the command line.
        conversions: paths whose value, as typed in a shell, is first converted.
        opposites: paths of switches, off by default, that can be switched off on the command line.
        panel: heading of the options in the help.
    """

    model: type[BaseModel]
    not_options: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    arguments: frozenset[str] = frozenset()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    conversions: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    opposites: frozenset[str] = frozenset()
    panel: str | None = None

    @cached_property
    def options(self) -> dict[str, FieldOption]:
        """The options by their paths.

        Raises:
            TypeError: a table names a field that the model does not have, or a field has a type
                that no option can have, or no description.
        """
        fields = dict(self._fields(self.model))
        tables = (self.names, self.arguments, self.defaults, self.conversions, self.opposites)
        known = {*fields, *self.not_options}
        if unknown := {path for table in tables for path in table} - known:
            raise TypeError(f"{self.model.__name__} has no option {', '.join(sorted(unknown))}")
        return {path: self._option(path, info) for path, info in fields.items()}

    def declare(self, path: str) -> Any:  # noqa: ANN401 - typer has two classes for it
        """Return the declaration of one field's option, for a command that has a few of them."""
        option = self.options.get(path) or self._option(path, self.model.model_fields[path])
        return option.declaration

    def parameters(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the model's parameters from those of a command; what is None is left out.

        Args:
            given: values by the names of options; others among them are no concern.
        """
        found: dict[str, Any] = {}
        for path, option in self.options.items():
            value = given.get(option.name)
            if value is None:
                continue
            if path in self.conversions:
                value = self.conversions[path](value)
            *parents, last = path.split(".")
            place = found
            for parent in parents:
                place = place.setdefault(parent, {})
            place[last] = value
        return found

    def _fields(self, model: type[BaseModel], above: str = "") -> Iterator[tuple[str, FieldInfo]]:
        for name, info in model.model_fields.items():
            path = above + name
            if path in self.not_options:
                continue
            if inspect.isclass(info.annotation) and issubclass(info.annotation, BaseModel):
                yield from self._fields(info.annotation, f"{path}.")
            else:
                yield path, info

    def _option(self, path: str, info: FieldInfo) -> FieldOption:
        name = self.names.get(path, path.rpartition(".")[2])
        kind, metavar = _typer_type(info.annotation)
        if path in self.defaults:
            default = self.defaults[path]
        else:
            default = _REQUIRED if info.is_required() else _typer_default(info.default)
        if not info.description:
            raise TypeError(f"{self.model.__name__}.{path} has no description for its help")
        repeated = " May be repeated." if get_origin(kind) is list else ""
        more: dict[str, Any] = {
            "help": f"{info.description}{repeated}",
            "metavar": metavar,
            "rich_help_panel": self.panel,
            "min": None,
            "max": None,
        }
        for bound in info.metadata:
            # Typer knows no open bounds; those are the model's to check.
            more["min"] = getattr(bound, "ge", more["min"])
            more["max"] = getattr(bound, "le", more["max"])
        if path in self.arguments:
            return FieldOption(path, name, kind, typer.Argument(**more), default, info)
        # Without a name of its own typer gives a switch its opposite, which one that is on needs.
        has_opposite = kind is bool and (default is True or path in self.opposites)
        flags = () if has_opposite else (f"--{name.replace('_', '-')}",)
        return FieldOption(path, name, kind, typer.Option(*flags, **more), default, info)


def with_options(*tables: ConfigOptions) -> Callable[[Command], Command]:
    """Give a command the options of these tables in the place of its ``**given``.

    Raises:
        TypeError: two options have one name.
    """

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        own = [
            parameter
            for parameter in signature.parameters.values()
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        made = [option.parameter() for table in tables for option in table.options.values()]
        names = [parameter.name for parameter in (*own, *made)]
        if doubled := {name for name in names if names.count(name) > 1}:
            raise TypeError(f"{command.__name__}: two options {', '.join(sorted(doubled))}")
        replaced = signature.replace(parameters=[*own, *made])
        command.__signature__ = replaced  # type: ignore[attr-defined]
        return command

    return decorate


def _typer_type(annotation: Any) -> tuple[Any, str | None]:  # noqa: ANN401 - any type
    """Return the type for typer, and how a value is shown in the help if not by that type."""
    kinds = [kind for kind in _alternatives(annotation) if kind is not types.NoneType]
    if len(kinds) > 1:
        return str, "|".join(map(_shown, kinds))
    kind = kinds[0]
    if get_origin(kind) is tuple:
        element, metavar = _typer_type(get_args(kind)[0])
        return types.GenericAlias(list, (element,)), metavar
    if get_origin(kind) is Literal:
        # Typer takes no list of literals, and the model checks the value in any case.
        return str, _shown(kind)
    if not isinstance(kind, type) or not issubclass(kind, (*_PLAIN, Enum)):
        raise TypeError(f"{annotation}: no option can have this type. Fix: list the field as none")
    return kind, None


def _alternatives(annotation: Any) -> Iterator[Any]:  # noqa: ANN401 - any type
    """Yield the members of a union, each without its annotations."""
    if get_origin(annotation) is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif get_origin(annotation) in {Union, types.UnionType}:
        for member in get_args(annotation):
            yield from _alternatives(member)
    else:
        yield annotation


def _shown(kind: Any) -> str:  # noqa: ANN401 - any type
    return "|".join(map(str, get_args(kind))) if get_origin(kind) is Literal else kind.__name__


def _typer_default(default: Any) -> Any:  # noqa: ANN401 - any value
    return (list(default) or None) if isinstance(default, tuple) else default
