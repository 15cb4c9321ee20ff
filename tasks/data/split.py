"""The term-aware split (specification, 4b): row-disjoint and stratified by entity_category.

The same term may stand on both sides through different rows; the same sound never does, not under
two names, nor as overlapping spans of one source recording. A row's side depends on the seed and on
what the row is, not on where it stands: the order of the manifest, the machine and the Python
version do not matter. The specification's sketch shuffles with ``random``, which depends on the
order; here each recording is ranked by a hash instead. The counts are the sketch's:
``max(1, int(fraction * n))`` a category.

Where voices or conversations must not stand on two sides, tasks/data/whole_group_split.py takes the
place of the stratified draw.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from tasks.common.counted import agreed, counted
from tasks.common.errors import InputError
from tasks.common.parameter_names import name_of
from tasks.data.row_groups import group_rows, rank_group, was_seen
from tasks.data.split_parts import Disjointness, assemble_split
from tasks.data.whole_group_split import fold_whole_groups, split_whole_groups

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tasks.data.row_groups import SplitRow
    from tasks.data.split_parts import Split


def split_rows(
    rows: Sequence[SplitRow],
    *,
    fraction: float = 0.2,
    seed: int = 42,
    seen_before: frozenset[str] = frozenset(),
    by_term: bool = False,
    selection: float = 0.0,
    disjoint: Disjointness = Disjointness.ROW,
) -> Split:
    """Split rows into train and validation, and carve selection out of train.

    Args:
        rows: all rows of the manifest.
        fraction: share of each category's rows to hold out, between 0 and 1.
        seed: another seed gives another split.
        seen_before: recordings that the base has learnt or was chosen by; they go to train, since
            a figure on them would not be held out.
        by_term: hold out whole terms, so that none stands on two sides: a harder question than
            the specification's, which wants a term on both. A row is held out if any of its terms
            is.
        selection: share of each category's rows that choose; 0 for none. What is held out does not
            depend on it.
        disjoint: what stands on one side only; each row names its own in ``member_of``.

    Raises:
        InputError: a share is out of bounds, or nothing can be held out.
    """
    _require_shares(fraction, selection)
    grouped = group_rows(rows, by_term=by_term)
    # Then no category can be divided on its own: what is held out of one takes rows of another.
    tied = by_term and any(map(_has_several_categories, grouped))
    if tied or disjoint is not Disjointness.ROW:
        return split_whole_groups(
            rows, fraction, seed, seen_before, selection, disjoint, by_term=by_term
        )
    groups: defaultdict[str, list[list[SplitRow]]] = defaultdict(list)
    for group in grouped:
        groups[group[0].category].append(group)
    sizes = Counter(row.category for row in rows)
    held_out: set[int] = set()
    warnings: list[str] = []
    for category in sorted(sizes):
        target_rows = max(1, int(fraction * sizes[category]))
        candidates = _order_groups(groups[category], seed, target_rows)
        if sizes[category] < 2 or len(candidates) < 2:  # noqa: PLR2004 - two sides need two
            why = _why_single(candidates, by_term=by_term)
            warnings.append(f"category {category} {why}: forced to train")
            continue
        untrained = [group for group in candidates if not was_seen(group, seen_before)]
        # The last candidate stays on the training side, unless what was learnt before is there.
        held_out_rows = list(
            _take_recordings(
                untrained if len(untrained) < len(candidates) else untrained[:-1], target_rows
            )
        )
        why_fewer = ""
        if len(untrained) < len(candidates):
            why_fewer = "the base has seen the others"
        elif by_term and _is_entangled(candidates[-1]):
            why_fewer = "others hang together by terms that they share"
        if len(held_out_rows) < target_rows and why_fewer:
            warnings.append(
                f"category {category}: {counted(len(held_out_rows), 'row')} held out instead of "
                f"{target_rows}, since {why_fewer}"
            )
        held_out.update(held_out_rows)
    if not held_out:
        raise _nothing_held_out(grouped, by_term=by_term)
    trained_groups = [
        group
        for category_groups in groups.values()
        for group in category_groups
        if group[0].row not in held_out  # groups are held out as a whole
    ]
    chosen = _carve_selection(trained_groups, sizes, selection, seed, seen_before)
    return assemble_split(rows, held_out, chosen, warnings, by_term=by_term)


def _require_shares(fraction: float, selection: float) -> None:
    if not 0 < fraction < 1:
        raise InputError(
            f"{name_of('validation_fraction')} {fraction:g}: must lie between 0 and 1. Fix: 0.2 is "
            "usual."
        )
    if not 0 <= selection < 1 - fraction:
        raise InputError(
            f"{name_of('selection_share')} {selection:g}: with {fraction:g} held out, it must lie "
            f"between 0 and {1 - fraction:g}, so that rows are left to train on. Fix: write "
            f"{(1 - fraction) / 2:.2g}, or hold out less by {name_of('validation_fraction')}."
        )


def _carve_selection(
    groups: Iterable[Sequence[SplitRow]],
    sizes: Mapping[str, int],
    share: float,
    seed: int,
    seen_before: frozenset[str],
) -> frozenset[int]:
    """Return the rows that choose: of each category so many, whole recordings or terms at a time.

    Args:
        groups: of the training side.
        sizes: rows of each category in the manifest.
        share: of those rows.
        seed: as the split's.
        seen_before: recordings that tell nothing about a choice, since the base knows them.
    """
    by_category: defaultdict[str, list[Sequence[SplitRow]]] = defaultdict(list)
    for group in groups:
        if not was_seen(group, seen_before):
            by_category[group[0].category].append(group)
    chosen: set[int] = set()
    for category, candidates in sorted(by_category.items()):
        target_rows = int(share * sizes[category])
        if target_rows and len(candidates) > 1:
            ordered = _order_groups(candidates, seed, target_rows)
            # One group at least stays to be trained on.
            chosen.update(_take_recordings(ordered[:-1], target_rows))
    return frozenset(chosen)


def fold_rows(
    rows: Sequence[SplitRow],
    folds: int,
    *,
    seed: int = 42,
    seen_before: frozenset[str] = frozenset(),
    by_term: bool = False,
    selection: float = 0.0,
    disjoint: Disjointness = Disjointness.ROW,
) -> tuple[Split, ...]:
    """Deal rows into folds, each of which is held out once: cross-fitting.

    Every category is dealt evenly, whole recordings at a time. Each fold's rows that choose come
    from its own training side.

    Args:
        rows: all rows of the manifest.
        folds: how many.
        seed: another seed gives other folds.
        seen_before: recordings that the base has seen already; no fold holds them out.
        by_term: deal whole terms, so that no fold's model was trained on a term that it judges by.
        selection: share of each category's rows that choose; 0 for none.
        disjoint: what no fold shares with the rows that its model is trained on.

    Raises:
        InputError: fewer than two folds, or a fold without a row.
    """
    if folds < 2:  # noqa: PLR2004 - one fold would leave nothing to train on
        raise InputError(f"{name_of('folds')} {folds}: at least 2 are needed. Fix: 5 is usual.")
    if by_term or disjoint is not Disjointness.ROW:
        return fold_whole_groups(
            rows, folds, seed, seen_before, selection, disjoint, by_term=by_term
        )
    fold_numbers: list[list[int]] = [[] for _ in range(folds)]
    groups = group_rows(rows, by_term=False)
    untrained = [group for group in groups if not was_seen(group, seen_before)]
    # One deal through all categories, so that the folds differ by one recording at most.
    untrained.sort(key=lambda group: (group[0].category, rank_group(seed, group)))
    for place, group in enumerate(untrained):
        fold_numbers[place % folds].extend(row.row for row in group)
    if not all(fold_numbers):
        raise InputError(
            f"{name_of('folds')} {folds}: there {agreed(len(untrained), 'is', 'are')} "
            f"{counted(len(untrained), 'recording')} that the base has not seen. Fix: fewer "
            "folds, or a larger manifest."
        )
    sizes = Counter(row.category for row in rows)
    splits = []
    for held_out in map(frozenset, fold_numbers):
        trained = [group for group in groups if group[0].row not in held_out]
        chosen = _carve_selection(trained, sizes, selection, seed, seen_before)
        splits.append(assemble_split(rows, held_out, chosen))
    return tuple(splits)


def _nothing_held_out(groups: Sequence[Sequence[SplitRow]], *, by_term: bool) -> InputError:
    if by_term:
        return InputError(
            "nothing can be held out: every category has a single term, or all its rows hang "
            "together by terms that they share, or the base was trained on all of them. Fix: "
            f"leave {name_of('hold_out_terms')} out, or grow the manifest with "
            "/digital-health-clinical-asr-build."
        )
    if any(_is_cut(group) for group in groups):
        return InputError(
            "nothing can be held out: the rows of each category share sound, as spans of a source "
            "recording that overlap. Fix: correct start and end in the source, so that rows do not "
            "overlap, and import it again; `preflight` names them."
        )
    return InputError(
        "nothing can be held out: every category has a single recording, or the base was "
        "trained on all of them. "
        "Fix: grow the manifest with /digital-health-clinical-asr-build."
    )


def _why_single(groups: Sequence[Sequence[SplitRow]], *, by_term: bool) -> str:
    """Say why a category cannot be divided."""
    if by_term and any(map(_is_entangled, groups)):
        return "has rows that all hang together by terms that they share"
    if not by_term and any(map(_is_cut, groups)):
        return "has rows that all share sound, as overlapping spans of a source recording"
    is_row = sum(map(len, groups)) <= 1
    return f"has a single {'row' if is_row else 'term' if by_term else 'recording'}"


def _order_groups(
    groups: Iterable[Sequence[SplitRow]], seed: int, target_rows: int
) -> list[Sequence[SplitRow]]:
    """Order groups by their ranks; last come those that rows of several terms made too large."""
    return sorted(
        groups,
        key=lambda group: (
            len(group) > target_rows and _is_entangled(group),
            rank_group(seed, group),
        ),
    )


def _has_several_categories(group: Sequence[SplitRow]) -> bool:
    return len({row.category for row in group}) > 1


def _is_cut(group: Sequence[SplitRow]) -> bool:
    """Return whether rows of a group share sound without having equal samples."""
    return any(row.sound is not None for row in group)


def _is_entangled(group: Sequence[SplitRow]) -> bool:
    return len(group) > 1 and any(len(row.terms) > 1 for row in group)


def _take_recordings(candidates: Sequence[Sequence[SplitRow]], target_rows: int) -> Iterable[int]:
    """Yield row numbers of whole recordings: at most ``target_rows``, but at least a recording."""
    taken_rows = 0
    for group in candidates:
        if taken_rows and taken_rows + len(group) > target_rows:
            continue
        yield from (row.row for row in group)
        taken_rows += len(group)
        if taken_rows >= target_rows:
            return
