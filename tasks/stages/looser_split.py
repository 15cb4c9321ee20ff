"""A split without a row to decide on: whether one that holds less apart would have some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tasks.common.errors import InputError
from tasks.common.parameter_names import name_of
from tasks.data.split_parts import Disjointness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tasks.data.split_parts import Split


class SplitAgain(Protocol):
    """Makes a split of the same rows, by whole terms or not, and disjoint by what is said."""

    def __call__(self, *, by_term: bool, disjoint: Disjointness) -> Split:
        """Return the split.

        Raises:
            InputError: there is none.
        """


def require_rows_of_split(
    check: Callable[[Split], None], split: Split, split_again: SplitAgain | None
) -> None:
    """Check that a split has rows to decide on; if not, say which looser one has.

    Args:
        check: raises InputError where a split has none.
        split: that was asked for.
        split_again: how it is made; None where it cannot be made otherwise.

    Raises:
        InputError: of the check, with the looser split that passes it, if one does.
    """
    try:
        check(split)
    except InputError as none:
        if split_again is None:
            raise
        for by_term, disjoint, change in _looser(split):
            if _passes(check, split_again, by_term=by_term, disjoint=disjoint):
                raise InputError(f"{none} Or {change}: then there are such rows.") from none
        raise


def _looser(split: Split) -> Iterator[tuple[bool, Disjointness, str]]:
    """Yield the splits that hold less apart, the nearest first, and what the user changes."""
    terms_out = f"leave {name_of('hold_out_terms')} out"
    row = Disjointness.ROW
    rows_only = f"take {name_of('disjoint')} {row}"
    if split.by_term:
        yield False, split.disjoint, terms_out
    if split.disjoint is not row:
        yield split.by_term, row, rows_only
        if split.by_term:
            yield False, row, f"{terms_out} and {rows_only}"


def _passes(
    check: Callable[[Split], None],
    split_again: SplitAgain,
    *,
    by_term: bool,
    disjoint: Disjointness,
) -> bool:
    try:
        check(split_again(by_term=by_term, disjoint=disjoint))
    except InputError:
        return False
    return True
