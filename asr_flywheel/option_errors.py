"""Values that the command line cannot read: the option as it was typed, the value, and a fix.

The command line's library says what is wrong, by its version with or without the value, and never
what to write instead. The command's own signature knows that.
"""

from __future__ import annotations

import inspect
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

import typer
from typer.core import TyperGroup

from asr_flywheel.options import BREV_HOST, CYCLE, RENTAL, RENTED_CYCLE, SERVING, SSH_HOST
from asr_flywheel.signal_ends import command_ended_by_signals
from tasks.common.errors import InputError
from tasks.common.parameter_model import values_of
from tasks.common.valid_values import valid_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.common.valid_values import ValidValues

_PATH_FIXES = {
    "is not readable": "give this user the right to read it, or name a copy of it",
    "is not writable": "give this user the right to write it, or name another place",
    "does not exist": "name one that is there",
}
_PATH_FAULT = re.compile(
    rf"[\w ]*'(?P<path>.+)' (?P<fault>{'|'.join(_PATH_FIXES)})", re.IGNORECASE | re.DOTALL
)
"""What the library says of a path that a command's argument or option names."""
_ARGUMENTS = "asr_flywheel.arguments"


class ExplainingGroup(TyperGroup):
    """The program, which explains a value that none of its commands can read."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer's own class
        """Keep the command line: the library does not keep the value that it cannot read."""
        ctx.meta[_ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - likewise
        """Run the command, which a signal ends in one line.

        Raises:
            InputError: a value cannot be read; names option, value and fix.
            SignalExit: SIGINT or SIGTERM has come.
        """
        arguments = ctx.meta[_ARGUMENTS]
        if any(map(_is_infinite, arguments)):
            _refuse_infinite(self, arguments)
        try:
            with command_ended_by_signals(arguments[0] if arguments else ""):
                return super().invoke(ctx)
        except typer.BadParameter as wrong:
            # A class of its own says that an option is missing, and which.
            if type(wrong) is not typer.BadParameter or wrong.param is None or wrong.ctx is None:
                raise
            raise InputError(_explain(wrong, arguments)) from wrong


def _explain(wrong: Any, arguments: Sequence[str]) -> str:  # noqa: ANN401 - a BadParameter
    values = _values(wrong.ctx.command.callback, str(wrong.param.name))
    given = _typed(wrong.param, arguments) or [(wrong.param.opts[0], "")]
    # Of an option that is repeated, others may be right.
    typed, value = next((one for one in given if not values.accepts(one[1])), given[-1])
    fault = values.fault(value)
    if fault is None and (found := _PATH_FAULT.fullmatch(str(wrong.message).removesuffix("."))):
        return f"{found['path']}: {found['fault']}. Fix: {_PATH_FIXES[found['fault']]}."
    if fault is None:
        return f"{typed} {value!r}: {str(wrong.message).removesuffix('.')}. Fix: see --help."
    return f"{typed} {value!r} {fault}. Fix: {values.fix(value)}."


def _is_infinite(argument: str) -> bool:
    """Return whether an argument, or the value of an option in it, is nan or infinite."""
    try:
        return not math.isfinite(float(argument.rpartition("=")[2]))
    except ValueError:
        return False


def _refuse_infinite(group: Any, arguments: Sequence[str]) -> None:  # noqa: ANN401 - a group
    """Refuse numbers that are none: an open bound lets them through, or all bounds do.

    Raises:
        InputError: names the option, its value and what it takes.
    """
    command, left = group, list(arguments)
    while left and (commands := getattr(command, "commands", None)):
        command = commands.get(left.pop(0))
    for parameter in getattr(command, "params", ()):
        if parameter.param_type_name != "option":
            continue
        for typed, value in _typed(parameter, left):
            values = _values(command.callback, str(parameter.name)) if _is_infinite(value) else None
            if values is not None and values.number is not None:
                raise InputError(
                    f"{typed} {value!r} {values.fault(value)}. Fix: {values.fix(value)}."
                )


def _typed(parameter: Any, arguments: Sequence[str]) -> list[tuple[str, str]]:  # noqa: ANN401 - typer's
    """Return an option as it is on the command line, with its values."""
    names = [*parameter.opts, *parameter.secondary_opts]
    found: list[tuple[str, str]] = []
    for place, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name in names and equals:
            found.append((name, value))
        elif name in names and place + 1 < len(arguments):
            found.append((name, arguments[place + 1]))
    return found


def _values(command: Any, name: str) -> ValidValues:  # noqa: ANN401 - any command
    """Return what a parameter of a command takes: by its field, if it is one's, else its type."""
    parameter = inspect.signature(command, eval_str=True).parameters[name]
    annotation, declaration = parameter.annotation, None
    if get_origin(annotation) is Annotated:
        annotation, declaration, *_ = get_args(annotation)
    for table in (CYCLE, RENTED_CYCLE, RENTAL, SSH_HOST, BREV_HOST, SERVING):
        for option in table.options.values():
            if option.declaration is declaration:
                return values_of(option.info)
    bounds = (getattr(declaration, "min", None), getattr(declaration, "max", None))
    return valid_values(annotation, (_ClosedBounds(*bounds),), (parameter.default,))


@dataclass(frozen=True, slots=True)
class _ClosedBounds:
    """The bounds of an option, under the names that pydantic's have."""

    ge: float | None
    le: float | None
