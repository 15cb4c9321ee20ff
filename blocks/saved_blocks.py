"""Load the blocks that somebody has saved on the server."""

from __future__ import annotations

from typing import TypeVar

from prefect.blocks.core import Block

from tasks.common.errors import InputError
from tasks.common.parameter_names import name_of

SavedBlock = TypeVar("SavedBlock", bound=Block)


def load_block(
    kind: type[SavedBlock], name: str, parameter: str, instead: str = "leave the field empty"
) -> SavedBlock:
    """Load a block that somebody has saved on the server.

    Args:
        kind: its class.
        name: under which it was saved.
        parameter: that names it, for the message.
        instead: what to do without one, for the message.

    Raises:
        InputError: there is none of this kind and name.
    """
    try:
        block = kind.load(name)
    except ValueError as unknown:
        raise InputError(
            f"{name_of(parameter)}: there is no {kind.get_block_type_slug()} block {name!r}. "
            f"Fix: save one in the UI, or {instead}."
        ) from unknown
    if not isinstance(block, kind):
        raise TypeError(f"{parameter}: {name!r} is a {type(block).__name__}")
    return block
