"""Splits and folds in which no voice, no conversation, or no term stands on two sides.

Whole ones are held out, so that the counts come as near to each category's share as their sizes
allow (tasks/data/group_selection.py); where they cannot, the error names the group that is too
large.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tasks.common.counted import counted
from tasks.common.errors import InputError
from tasks.common.parameter_names import name_of
from tasks.data.group_selection import deal_groups, take_groups
from tasks.data.row_groups import group_rows, rank_group, was_seen
from tasks.data.split_parts import Disjointness, assemble_split

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    from tasks.data.row_groups import SplitRow
    from tasks.data.split_parts import Split


def split_whole_groups(
    rows: Sequence[SplitRow],
    fraction: float,
    seed: int,
    seen_before: frozenset[str],
    selection: float,
    disjoint: Disjointness,
    *,
    by_term: bool,
) -> Split:
    """Split so that whole voices or conversations, and terms where asked for, are on one side.

    Raises:
        InputError: nothing can be held out; names the largest voice, conversation or term.
    """
    noun = _noun(disjoint, by_term=by_term)
    groups = group_rows(rows, by_term=by_term, whole=True)
    sizes = Counter(row.category for row in rows)
    judging = _take_whole_groups(groups, sizes, fraction, seed, seen_before, least=1)
    held_out = {row.row for group in judging for row in group}
    if not held_out:
        raise _nothing_whole(groups, sizes, fraction, seen_before, disjoint, by_term=by_term)
    trained = [group for group in groups if group[0].row not in held_out]
    choosing = _take_whole_groups(trained, sizes, selection, seed, seen_before)
    chosen = {row.row for group in choosing for row in group}
    warnings = _whole_group_warnings(groups, sizes, fraction, held_out, disjoint, noun)
    if selection and not chosen:
        warnings.append(
            f"no rows choose: with whole {noun}s, none of those left to train on is small "
            f"enough for a share of {selection:g}"
        )
    return assemble_split(rows, held_out, chosen, warnings, disjoint, by_term=by_term)


def fold_whole_groups(
    rows: Sequence[SplitRow],
    folds: int,
    seed: int,
    seen_before: frozenset[str],
    selection: float,
    disjoint: Disjointness,
    *,
    by_term: bool,
) -> tuple[Split, ...]:
    """Deal whole voices or conversations, and terms where asked for, into folds.

    Raises:
        InputError: fewer of them than folds that the base has not seen.
    """
    groups = group_rows(rows, by_term=by_term, whole=True)
    groups.sort(key=lambda group: rank_group(seed, group))
    unseen = [group for group in groups if not was_seen(group, seen_before)]
    if len(unseen) < folds:
        raise _too_few_for_folds(folds, len(unseen), disjoint, by_term=by_term)
    dealt = deal_groups([Counter(row.category for row in group) for group in unseen], folds)
    sizes = Counter(row.category for row in rows)
    splits = []
    for places in dealt:
        held_out = {row.row for place in places for row in unseen[place]}
        trained = [group for group in groups if group[0].row not in held_out]
        choosing = _take_whole_groups(trained, sizes, selection, seed, seen_before)
        chosen = {row.row for group in choosing for row in group}
        splits.append(assemble_split(rows, held_out, chosen, disjoint=disjoint, by_term=by_term))
    return tuple(splits)


def _too_few_for_folds(
    folds: int, groups: int, disjoint: Disjointness, *, by_term: bool
) -> InputError:
    noun = _noun(disjoint, by_term=by_term)
    apart = f"{noun}s" + (", those that hang together by a row counted once," if by_term else "")
    fixes = [f"rows of more {noun}s"]
    # With fewer than two no number of folds works.
    if groups > 1:
        fixes.insert(0, f"fewer folds ({name_of('folds')} {groups} at most)")
    if disjoint is not Disjointness.ROW:
        fixes.append(f"{name_of('disjoint')} {Disjointness.ROW}")
    if by_term:
        fixes.append(f"leave {name_of('hold_out_terms')} out")
    return InputError(
        f"{name_of('folds')} {folds}: there are {groups} {apart} that the base has not seen. "
        f"Fix: {', '.join(fixes[:-1])}{', or ' if len(fixes) > 1 else ''}{fixes[-1]}."
    )


def _noun(disjoint: Disjointness, *, by_term: bool) -> str:
    """Return what stands on one side of the split only."""
    return "term" if by_term and disjoint is Disjointness.ROW else disjoint.noun


def _take_whole_groups(
    groups: Iterable[Sequence[SplitRow]],
    sizes: Mapping[str, int],
    share: float,
    seed: int,
    seen_before: frozenset[str],
    *,
    least: int = 0,
) -> list[Sequence[SplitRow]]:
    """Take groups, so that of each category about a share of its rows is taken.

    Args:
        groups: to take from; what the base has seen is not taken.
        sizes: rows of each category in the manifest.
        share: of those rows.
        seed: another seed takes others.
        seen_before: recordings that the base has seen.
        least: rows of each category at least.
    """
    ordered = sorted(groups, key=lambda group: rank_group(seed, group))
    # What was seen stays, so that it may be all that is left of a category.
    stays = Counter(
        row.category for group in ordered if was_seen(group, seen_before) for row in group
    )
    unseen = [group for group in ordered if not was_seen(group, seen_before)]
    counted: list[Mapping[str, int]] = [Counter(row.category for row in group) for group in unseen]
    targets = {category: max(least, int(share * rows)) for category, rows in sizes.items()}
    places = take_groups([*counted, stays] if stays else counted, targets)
    return [unseen[place] for place in places if place < len(unseen)]


def _whole_group_warnings(
    groups: Sequence[Sequence[SplitRow]],
    sizes: Mapping[str, int],
    fraction: float,
    held_out: Container[int],
    disjoint: Disjointness,
    noun: str,
) -> list[str]:
    """Name each category of which far fewer or far more rows are held out than asked for."""
    warnings = []
    for category, rows in sorted(sizes.items()):
        target = max(1, int(fraction * rows))
        judged = sum(
            row.row in held_out for group in groups for row in group if row.category == category
        )
        if target / 2 <= judged <= max(2 * target, target + 1):
            continue
        most, named = max(
            (sum(row.category == category for row in group), _name_group(group, disjoint))
            for group in groups
        )
        warnings.append(
            f"category {category}: {counted(judged, 'row')} held out instead of {target}, since "
            f"whole {noun}s are; {named} has {most} of its {counted(rows, 'row')}"
        )
    return warnings


def _name_group(group: Sequence[SplitRow], disjoint: Disjointness) -> str:
    if disjoint is Disjointness.ROW:
        names = sorted({term for row in group for term in row.terms}) or [group[0].recording]
        kind = "term"
    else:
        names, kind = sorted({str(row.member_of) for row in group}), str(disjoint)
    more = f" and {len(names) - 1} more that hang together with it" if len(names) > 1 else ""
    return f"{kind} {names[0]!r}{more}"


def _nothing_whole(
    groups: Sequence[Sequence[SplitRow]],
    sizes: Mapping[str, int],
    fraction: float,
    seen_before: frozenset[str],
    disjoint: Disjointness,
    *,
    by_term: bool,
) -> InputError:
    """Return the error that says which group is too large, and a fix that was tried."""
    rows = sum(map(len, groups))
    most, named = max((len(group), _name_group(group, disjoint)) for group in groups)
    seen = sum(was_seen(group, seen_before) for group in groups)
    noun = _noun(disjoint, by_term=by_term)
    reason = (
        f"nothing can be held out with whole {noun}s: {named} has {most} of "
        f"{counted(rows, 'row')}, in {len(groups)} {noun if len(groups) == 1 else noun + 's'}"
        + (f", {seen} of which the base has seen" if seen else "")
        + f", and about {max(1, int(fraction * rows))} rows are to be held out"
    )
    without_terms = f"leave {name_of('hold_out_terms')} out"
    row_disjoint = (
        without_terms
        if disjoint is Disjointness.ROW
        else f"split by rows, with {name_of('disjoint')} {Disjointness.ROW}"
    )
    for hundredths in range(int(100 * fraction) + 1, 91):
        larger = hundredths / 100
        # Any seed may be the user's, but the smallest group does not depend on it.
        if all(
            _take_whole_groups(groups, sizes, larger, seed, seen_before, least=1)
            for seed in range(3)
        ):
            return InputError(
                f"{reason}. Fix: {name_of('validation_fraction')} {larger:g} or more, or "
                f"{row_disjoint}."
            )
    terms = f", or {without_terms}" if by_term and disjoint is not Disjointness.ROW else ""
    return InputError(f"{reason}. Fix: add rows of other {noun}s, or {row_disjoint}{terms}.")
