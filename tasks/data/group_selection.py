"""Choose whole groups of rows, such as voices, so that each category's rows come near a target.

Groups are of any size, and a group has rows of several categories, so that a category cannot be
divided on its own. All functions are pure: groups are counts of rows by category, in the order in
which they are asked for, and are named by their places.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Groups = Sequence[Mapping[str, int]]


def take_groups(groups: Groups, targets: Mapping[str, int]) -> list[int]:
    """Take groups one after the other, each if the rows taken are nearer to the targets with it.

    Of each category that is taken from, a row at least stays in the groups that are not taken.

    Args:
        groups: rows of each category, in the order in which they are asked for.
        targets: rows of each category that are wanted.

    Returns:
        The places of the groups that are taken.
    """
    left = Counter[str]()
    for group in groups:
        left.update(group)
    taken = Counter[str]()
    places: list[int] = []
    for place, group in enumerate(groups):
        if any(left[category] <= rows for category, rows in group.items()):
            continue
        if _distance(taken, group, targets) < _distance(taken, {}, targets):
            places.append(place)
            taken.update(group)
            left.subtract(group)
    return places


def _distance(
    taken: Mapping[str, int], group: Mapping[str, int], targets: Mapping[str, int]
) -> float:
    """Return how far rows are from their targets: Pearson's chi-squared."""
    return sum(
        (taken.get(category, 0) + group.get(category, 0) - target) ** 2 / target
        for category, target in targets.items()
        if target
    )


def deal_groups(groups: Groups, parts: int) -> list[list[int]]:
    """Deal groups into parts of about the same rows of each category, the largest group first.

    Args:
        groups: rows of each category; among groups of one size the order decides.
        parts: how many.

    Returns:
        The places of the groups in each part.
    """
    sizes = Counter[str]()
    for group in groups:
        sizes.update(group)
    dealt: list[list[int]] = [[] for _ in range(parts)]
    counts = [Counter[str]() for _ in range(parts)]
    by_size = sorted(range(len(groups)), key=lambda place: -sum(groups[place].values()))
    for place in by_size:
        group = groups[place]

        def fullness(part: int, group: Mapping[str, int] = group) -> tuple[float, int]:
            share = sum(
                rows * counts[part][category] / sizes[category] for category, rows in group.items()
            )
            return share, counts[part].total()

        # A part without a group comes first, since each must judge something.
        part = min(range(parts), key=lambda part: (bool(dealt[part]), *fullness(part)))
        dealt[part].append(place)
        counts[part].update(group)
    return dealt
