"""Overrides: what goes in comes out of Hydra's own parser and OmegaConf, whatever it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from tasks.training.hydra_overrides import Override

if TYPE_CHECKING:
    from pathlib import Path

Value = str | int | float | bool | None
NASTY = [
    "/plain/path.nemo",
    "with spaces/and  two",
    " leading and trailing ",
    "a=b",
    "a=b,c=d",
    "one,two",
    "it's",
    "'quoted'",
    '"double"',
    "'",
    "\\",
    "\\\\",
    "back\\slash",
    "ends in \\",
    "\\'",
    "\\\\'",
    "a\\'b\\\\'c",
    "${oc.env:HOME}",
    "${name}",
    "\\${name}",
    "\\\\${name}",
    "$${x} ${",
    "$",
    "{a: 1}",
    "[1, 2]",
    "(a|b)",
    "~delete",
    "++added=1",
    "+a",
    "@pkg",
    "key: value",
    "null",
    "true",
    "3",
    "1e-3",
    "",
    "#comment",
    "%(x)s",
    "tab\tinside",
    "Ménière 測試 😀",
    "*.wav",
    "sweep(1,2)",
    "-",
]


def parsed(override: Override) -> object:
    """The value as Hydra's parser and OmegaConf's interpolation leave it."""
    (found,) = OverridesParser.create().parse_overrides([str(override)])
    assert found.key_or_group == override.key
    assert found.is_delete() is False
    config = OmegaConf.create({"name": "interpolated"})
    OmegaConf.update(config, "target", found.value())
    return OmegaConf.to_container(config, resolve=True)["target"]  # type: ignore[index,call-overload]


@pytest.mark.parametrize("text", NASTY)
def test_nasty_text_comes_out_as_it_went_in(text: str) -> None:
    """Spaces, quotes, backslashes, interpolations, brackets and other alphabets survive."""
    got = parsed(Override("target", text))
    assert got == text
    assert isinstance(got, str)


@given(st.text("ab \\'\"${}[](),=:~+|\t.é", max_size=14))
def test_any_text_comes_out_as_it_went_in(text: str) -> None:
    """No combination of marks ends the value early or changes it."""
    assert parsed(Override("target", text)) == text


@given(st.integers(-(2**62), 2**62) | st.floats(allow_nan=False) | st.booleans() | st.none())
def test_numbers_booleans_and_null_keep_their_type(value: Value) -> None:
    """A float stays that float, to the last bit."""
    got = parsed(Override("target", value))
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize("text", NASTY)
def test_hydra_itself_composes_the_values(tmp_path: Path, text: str) -> None:
    """The whole way, through a config file, for keys that are in it and keys that are not."""
    (tmp_path / "config.yaml").write_text("name: interpolated\nmodel:\n  path: null\n")
    given_overrides = [
        Override("model.path", text),
        Override("model.new", text, added=True),
        Override("exp.deep.er", value=1.5, added=True),
    ]
    with initialize_config_dir(str(tmp_path), version_base=None):
        config = compose("config", overrides=[str(override) for override in given_overrides])
    assert config.model.path == text
    assert config.model.new == text
    assert config.exp.deep.er == 1.5
    assert config.name == "interpolated"


@pytest.mark.parametrize(
    ("override", "text"),
    [
        (Override("a.b", "x y"), "a.b='x y'"),
        (Override("a.b", value=3), "a.b=3"),
        (Override("a.b", value=3e-4), "a.b=0.0003"),
        (Override("a.b", value=True), "a.b=true"),
        (Override("a.b", value=False, added=True), "++a.b=false"),
        (Override("a.b", value=None), "a.b=null"),
    ],
)
def test_how_an_override_reads(override: Override, text: str) -> None:
    """Text is always quoted, so that "3" and "null" stay text."""
    assert str(override) == text


@pytest.mark.parametrize(
    "key", ["", "a=b", "a b", "~a", "+a", "a,b", "a@b", "1a", "a\nb", "a/b", "a.b\n", "${a}"]
)
def test_a_key_cannot_smuggle_in_anything(key: str) -> None:
    """Only dotted names are keys."""
    with pytest.raises(ValueError, match="not a Hydra key"):
        Override(key, "x")


@pytest.mark.parametrize("text", ["a\nb", "a\0b", "a\n"])
def test_a_line_break_is_refused(text: str) -> None:
    """Hydra's grammar has no place for it."""
    with pytest.raises(ValueError, match="line break"):
        str(Override("a", text))
