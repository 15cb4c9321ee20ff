"""Errors of parameters as form and API show them: the parameter, its value, and what to write."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError, field_validator

from tasks.common.parameter_model import ParameterModel
from tasks.common.valid_values import valid_values


class Colour(StrEnum):
    """Words to choose from."""

    RED = "red"
    GREEN = "green"


class Inner(ParameterModel):
    """Parameters in others."""

    count: int = Field(3, ge=1, le=9)
    token: str = ""

    @field_validator("token")
    @classmethod
    def _no_token(cls, token: str) -> str:
        if token:
            raise ValueError("holds a secret. Fix: leave it empty")
        return token


class Outer(ParameterModel):
    """Parameters of each kind."""

    folder: Path
    share: float = Field(0.2, gt=0, lt=1)
    colours: tuple[Colour, ...] = Field((Colour.RED,), min_length=1)
    either: Literal["auto", "off"] | Annotated[float, Field(ge=0, le=2)] = Field(
        "auto", examples=[0.5]
    )
    inner: Inner = Inner()


def errors(**given: Any) -> dict[str, str]:
    """What is said of each parameter."""
    with pytest.raises(ValidationError) as wrong:
        Outer.model_validate({"folder": "f", **given})
    return {".".join(map(str, one["loc"])): one["msg"] for one in wrong.value.errors()}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"share": 2},
            {"share": "2 is out of range. Fix: write a number above 0 and below 1, such as 0.2."},
        ),
        (
            {"share": "nan"},
            {
                "share": "'nan' is no finite number. Fix: write a number above 0 and below 1, such "
                "as 0.2."
            },
        ),
        (
            {"either": "1,5"},
            {
                "either": "'1,5' is neither auto nor off nor a number. Fix: write 1.5, with a "
                "point; it takes auto, off or a number from 0 to 2, such as 0.5."
            },
        ),
        (
            {"either": "7,5"},  # with a point it would be none either
            {
                "either": "'7,5' is neither auto nor off nor a number. Fix: write auto, off or a "
                "number from 0 to 2, such as 0.5."
            },
        ),
        (
            {"colours": ["gren", "red"]},
            {"colours.0": "'gren' is none of its values. Fix: write green, or else red."},
        ),
        ({"colours": []}, {"colours": "is empty. Fix: write red or green."}),
        (
            {"inner": {"count": 0}},
            {
                "inner.count": "0 is out of range. Fix: write a whole number from 1 to 9, such as "
                "3."
            },
        ),
        ({"inner": {"counts": 1}}, {"inner.counts": "there is no such parameter. Fix: count is "
                                    "the nearest."}),
        ({"inner": 3}, {"inner": "3 is no Inner. Fix: write its fields by their names."}),
    ],
    ids=str,
)  # fmt: skip
def test_each_error_says_what_to_write(given: dict[str, Any], said: dict[str, str]) -> None:
    """One error for a value, however many types it might have had."""
    assert errors(**given) == said


def test_what_is_missing_is_named() -> None:
    """By its parameter."""
    with pytest.raises(ValidationError) as wrong:
        Outer.model_validate({})
    (one,) = wrong.value.errors()
    assert (one["loc"], one["msg"]) == (("folder",), "is missing. Fix: name it.")


def test_a_value_that_a_check_keeps_to_itself_is_in_no_message() -> None:
    """Somebody may have pasted a secret; the check's own words are shown, and no more."""
    assert errors(inner={"token": "sesame"}) == {
        "inner.token": "holds a secret. Fix: leave it empty."
    }


def test_a_flow_names_the_parameter_and_the_fix() -> None:
    """As Prefect tells whoever started a run by form or API."""
    from prefect.exceptions import ParameterTypeError  # noqa: PLC0415 - of this test alone

    with pytest.raises(ValidationError) as wrong:
        Outer.model_validate({"folder": "f", "share": 2, "inner": {"count": 0}})
    told = str(ParameterTypeError.from_validation_error(wrong.value))
    assert "- share: 2 is out of range. Fix: write a number above 0 and below 1" in told
    assert "- inner.count: 0 is out of range. Fix: write a whole number from 1 to 9" in told


def test_the_schema_of_a_form_keeps_its_bounds() -> None:
    """The server refuses by it before there is a run."""
    share = Outer.model_json_schema()["properties"]["share"]
    assert (share["exclusiveMinimum"], share["exclusiveMaximum"]) == (0, 1)


@pytest.mark.parametrize(
    ("annotation", "examples", "words"),
    [
        (bool, [True], "true or false"),
        (int | None, [], "a whole number"),
        (tuple[Colour, ...], [], "red or green"),
        (str, ["a/b"], "one such as a/b"),
        (str, [], ""),
        (list[float] | None, [3.5], "a number, such as 3.5"),
    ],
)
def test_what_a_parameter_takes_is_said_in_words(
    annotation: Any, examples: list[Any], words: str
) -> None:
    """By its type, with an example where one is known."""
    assert str(valid_values(annotation, (), examples)) == words
