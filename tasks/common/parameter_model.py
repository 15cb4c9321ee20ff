"""The base of models of parameters: an error names the parameter, its value, and what to write.

Pydantic's own messages say what is wrong in its own words, once for each member of a union. Form,
API and command line show these instead.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from tasks.common.parameter_names import shown, with_names
from tasks.common.valid_values import ValidValues, valid_values

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

_OURS = "parameter"
_LONGEST = 80


class ParameterModel(BaseModel):
    """Parameters of a flow, or settings among them. No number of them may be nan or infinite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, value: Any, handler: Any) -> Any:  # noqa: ANN401 - pydantic's
        try:
            return handler(value)
        except ValidationError as wrong:
            details = _explained(cls, wrong.errors())
            raise ValidationError.from_exception_data(wrong.title, details) from None


def refusal(message: str) -> PydanticCustomError:
    """Return the error of parameters that do not go together; names in it are written <path>."""
    return _error(with_names(message))


def _error(message: str) -> PydanticCustomError:
    return PydanticCustomError(_OURS, "{message}", {"message": message})


def values_of(info: FieldInfo) -> ValidValues:
    """Return what a field takes: by its type and bounds, its examples, and its default."""
    return valid_values(info.annotation, info.metadata, [*(info.examples or ()), info.default])


def _explained(model: type[BaseModel], errors: Iterable[ErrorDetails]) -> list[InitErrorDetails]:
    """Return the errors in our words; those of one value become one."""
    found: dict[tuple[int | str, ...], InitErrorDetails] = {}
    for one in errors:
        loc = one["loc"]
        if one["type"] != _OURS:
            # Behind a field and the place in its tuple pydantic names the members of a union.
            loc = loc[: 2 if len(loc) > 1 and isinstance(loc[1], int) else 1]
        # A tuple whose members are wrong counts as empty.
        if not any(other[: len(loc)] == loc for other in found):
            message = one["msg"] if one["type"] == _OURS else _message(model, loc, one)
            found[loc] = InitErrorDetails(type=_error(message), loc=loc, input=one["input"])
    return list(found.values())


def _message(model: type[BaseModel], loc: tuple[int | str, ...], error: ErrorDetails) -> str:
    name, value, kind = str(loc[0]) if loc else "", error["input"], error["type"]
    if kind == "value_error":
        # The check says the value itself, unless somebody may have pasted a secret there.
        return f"{str(error['ctx']['error']).removesuffix('.')}."
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(name, model.model_fields, n=1)
        fix = f"{near[0]} is the nearest" if near else "leave it out"
        return f"there is no such parameter. Fix: {fix}."
    if kind == "union_tag_invalid":
        named, tags = (str(error["ctx"][key]) for key in ("discriminator", "expected_tags"))
        found = f"{named} {error['ctx']['tag']!r}".replace("'", "")
        return f"{found} is none of its values. Fix: write one of {tags}."
    if (info := model.model_fields.get(name)) is None:
        return f"{_quoted(value)} is no {model.__name__}. Fix: write its fields by their names."
    values = values_of(info)
    if kind == "missing":
        return f"is missing. Fix: {f'write {values}' if str(values) else 'name it'}."
    fault = values.fault(value) or _fault(error)
    return f"{_quoted(value)} {fault}. Fix: {values.fix(value)}.".lstrip()


def _fault(error: ErrorDetails) -> str:
    """Return what is wrong with a value that is no choice and no number."""
    if error["input"] == "" or error["type"] == "too_short":
        return "is empty"
    if error["type"] == "string_pattern_mismatch":
        return "is not written as it has to be"
    kinds = {"string_type": "text", "path_type": "path"}
    return f"is no {kinds[error['type']]}" if error["type"] in kinds else f"({error['msg']})"


def _quoted(value: object) -> str:
    """Return a value, as far as a line has room for it."""
    text = repr(value) if isinstance(value, str) else shown(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
