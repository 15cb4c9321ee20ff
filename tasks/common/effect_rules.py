"""Parameters that cannot take effect, by rules over the values of a model of parameters.

A rule is data: which parameters, under which condition, why, and what to do. Only a value that is
another than its default counts: a form hands over all of its fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from tasks.common.parameter_model import refusal
from tasks.common.parameter_names import assignment, shown, with_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class EffectRule:
    """A condition under which parameters have no effect.

    Attributes:
        parameters: their paths; a model's path means all of its fields.
        applies: whether it does, by all values of the model by their paths.
        because: the reason, a clause; parameters in it are written <path>.
        fix: what to do instead, likewise.
        refused: whether the user would pay for something else than he asked for.
        spared: values that stand for none.
    """

    parameters: tuple[str, ...]
    applies: Callable[[Mapping[str, Any]], bool]
    because: str
    fix: str
    refused: bool = False
    spared: tuple[object, ...] = ()

    def is_about(self, path: str, value: object) -> bool:
        """Return whether a parameter with a value is one of the rule's."""
        return value not in self.spared and any(
            path == name or path.startswith(f"{name}.") for name in self.parameters
        )


@dataclass(frozen=True, slots=True)
class EffectlessParameter:
    """A parameter that was set and has no effect.

    Attributes:
        path: of it.
        value: of it.
        rule: why.
    """

    path: str
    value: object
    rule: EffectRule

    def __str__(self) -> str:
        because = with_names(self.rule.because)
        fix = with_names(self.rule.fix.replace("<it>", f"<{self.path}>"))
        return f"{assignment(self.path, self.value)} has no effect: {because}. Fix: {fix}."

    def as_dict(self) -> dict[str, str]:
        """Return it as run.json holds it."""
        return {"parameter": self.path, "value": shown(self.value), "message": str(self)}


def find_effectless(
    model: BaseModel, rules: Sequence[EffectRule]
) -> tuple[EffectlessParameter, ...]:
    """Return the parameters that were set and have no effect, each by the first rule about it."""
    leaves = tuple(_leaves(model))
    values = {path: value for path, value, _ in leaves}
    holding = [rule for rule in rules if rule.applies(values)]
    return tuple(
        EffectlessParameter(path, value, rule)
        for path, value, differs in leaves
        if differs and (rule := next((one for one in holding if one.is_about(path, value)), None))
    )


def refuse_effectless(model: BaseModel, rules: Sequence[EffectRule]) -> None:
    """Refuse what a user would pay for and not get.

    Raises:
        PydanticCustomError: names each such parameter, its value, the reason and the fix.
    """
    if refused := [str(one) for one in find_effectless(model, rules) if one.rule.refused]:
        raise refusal(" ".join(refused))


def _leaves(model: BaseModel, above: str = "") -> Iterator[tuple[str, Any, bool]]:
    """Yield path, value, and whether it is another than the default, of all fields below."""
    for name, info in type(model).model_fields.items():
        value, path = getattr(model, name), f"{above}{name}"
        if isinstance(value, BaseModel):
            yield from _leaves(value, f"{path}.")
        else:
            default = info.get_default(call_default_factory=True, validated_data={})
            yield path, value, info.is_required() or value != default
