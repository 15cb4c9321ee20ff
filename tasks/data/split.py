"""The term-aware split (specification, 4b): row-disjoint and stratified by entity_category.

The same term may stand on both sides through different rows; the same recording never does, not
even under two names. A row's side depends on the seed and on what the row is, not on where it
stands: the order of the manifest, the machine and the Python version do not matter. The
specification's sketch shuffles with ``random``, which depends on the order; here each recording is
ranked by a hash instead. The counts are the sketch's: ``max(1, int(fraction * n))`` a category.

Where voices or conversations must not stand on two sides, whole ones are held out, and the counts
come as near to the sketch's as their sizes allow.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

from tasks.common.errors import InputError
from tasks.data.group_selection import deal_groups, take_groups

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

UNCATEGORISED = "(none)"


class Disjointness(StrEnum):
    """What stands on one side of a split only, besides the recording: the field that names it."""

    ROW = "row"
    VOICE = "voice_id"
    CONVERSATION = "conversation_id"

    @property
    def noun(self) -> str:
        """What the field names."""
        return {"voice_id": "voice", "conversation_id": "conversation"}.get(self, "recording")

    @property
    def summary(self) -> str:
        """What a split was disjoint by, as leaderboard and report say it."""
        if self is Disjointness.ROW:
            return "row-disjoint: no recording is on two sides, but a voice or a term may be"
        return f"disjoint by {self}: no {self.noun} is on two sides"


@dataclass(frozen=True, slots=True)
class SplitRow:
    """The fields of a row that the split needs.

    Attributes:
        row: the row's number in the manifest.
        category: its entity_category, the rarest where it has several; else ``UNCATEGORISED``.
        recording: the content hash of its audio: rows that share it stay together.
        text: its reference transcript.
        terms: its terms, normalised.
        member_of: its voice or conversation, where the split is disjoint by that; else None.
    """

    row: int
    category: str
    recording: str
    text: str
    terms: tuple[str, ...] = ()
    member_of: str | None = None


@dataclass(frozen=True)
class Split:
    """The row numbers of each part, in the manifest's order, and warnings for the user.

    Attributes:
        train: rows that are trained on.
        validation: rows that judge; neither training nor any choice looks at them.
        warnings: what a user should know.
        selection: rows that choose (checkpoint, mixture) and are not trained on; empty where the
            rows that judge choose as well, as the specification has it.
        disjoint: what stands on one side only.
    """

    train: tuple[int, ...]
    validation: tuple[int, ...]
    warnings: tuple[str, ...]
    selection: tuple[int, ...] = ()
    disjoint: Disjointness = Disjointness.ROW

    def __post_init__(self) -> None:
        parts = (self.train, self.validation, self.selection)
        if len(set().union(*parts)) < sum(map(len, parts)):
            raise ValueError("a row stands on two sides of the split")

    @cached_property
    def held_out(self) -> frozenset[int]:
        """The numbers of the rows that judge."""
        return frozenset(self.validation)

    @cached_property
    def chooses(self) -> frozenset[int]:
        """The numbers of the rows that choose and do not judge."""
        return frozenset(self.selection)


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
    if disjoint is not Disjointness.ROW:
        parts = _split_whole_groups(
            rows, fraction, seed, seen_before, selection, disjoint, by_term=by_term
        )
        return replace(parts, disjoint=disjoint)
    groups: defaultdict[str, list[list[SplitRow]]] = defaultdict(list)
    for group in _group_rows(rows, by_term=by_term):
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
        untrained = [group for group in candidates if not _was_seen(group, seen_before)]
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
                f"category {category}: {len(held_out_rows)} rows held out instead of {target_rows}"
                f", since {why_fewer}"
            )
        held_out.update(held_out_rows)
    if not held_out:
        raise _nothing_held_out(by_term=by_term)
    trained_groups = [
        group
        for category_groups in groups.values()
        for group in category_groups
        if group[0].row not in held_out  # groups are held out as a whole
    ]
    chosen = _carve_selection(trained_groups, sizes, selection, seed, seen_before)
    return _parts(rows, held_out, chosen, tuple(warnings))


def _require_shares(fraction: float, selection: float) -> None:
    if not 0 < fraction < 1:
        raise InputError(f"fraction {fraction:g}: must lie between 0 and 1. Fix: 0.2 is usual.")
    if not 0 <= selection < 1 - fraction:
        raise InputError(
            f"selection share {selection:g}: with {fraction:g} held out, it must lie between 0 and "
            f"{1 - fraction:g}, so that rows are left to train on. Fix: 0.2 is usual."
        )


def _split_whole_groups(
    rows: Sequence[SplitRow],
    fraction: float,
    seed: int,
    seen_before: frozenset[str],
    selection: float,
    disjoint: Disjointness,
    *,
    by_term: bool,
) -> Split:
    """Split so that whole voices or conversations, and terms where asked for, are on one side."""
    groups = _group_rows(rows, by_term=by_term, whole=True)
    sizes = Counter(row.category for row in rows)
    judging = _take_whole_groups(groups, sizes, fraction, seed, seen_before, least=1)
    held_out = {row.row for group in judging for row in group}
    if not held_out:
        raise _nothing_whole(groups, sizes, fraction, seen_before, disjoint, by_term=by_term)
    trained = [group for group in groups if group[0].row not in held_out]
    choosing = _take_whole_groups(trained, sizes, selection, seed, seen_before)
    chosen = {row.row for group in choosing for row in group}
    warnings = _whole_group_warnings(groups, sizes, fraction, held_out, disjoint)
    if selection and not chosen:
        warnings.append(
            f"no rows choose: with whole {disjoint.noun}s, none of those left to train on is small "
            f"enough for a share of {selection:g}"
        )
    return _parts(rows, held_out, chosen, tuple(warnings))


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
    ordered = sorted(groups, key=lambda group: _rank(seed, group))
    # What was seen stays, so that it may be all that is left of a category.
    stays = Counter(
        row.category for group in ordered if _was_seen(group, seen_before) for row in group
    )
    unseen = [group for group in ordered if not _was_seen(group, seen_before)]
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
            f"category {category}: {judged} rows held out instead of {target}, since whole "
            f"{disjoint.noun}s are; {named} has {most} of its {rows} rows"
        )
    return warnings


def _name_group(group: Sequence[SplitRow], disjoint: Disjointness) -> str:
    names = sorted({str(row.member_of) for row in group})
    more = f" and {len(names) - 1} more that hang together with it" if len(names) > 1 else ""
    return f"{disjoint} {names[0]!r}{more}"


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
    seen = sum(_was_seen(group, seen_before) for group in groups)
    reason = (
        f"nothing can be held out with whole {disjoint.noun}s: "
        f"{named} has {most} of {rows} rows, in {len(groups)} "
        f"{disjoint.noun if len(groups) == 1 else disjoint.noun + 's'}"
        + (f", {seen} of which the base has seen" if seen else "")
        + f", and about {max(1, int(fraction * rows))} rows are to be held out"
    )
    row_disjoint = f"split by rows, with --disjoint {Disjointness.ROW}"
    for hundredths in range(int(100 * fraction) + 1, 91):
        larger = hundredths / 100
        # Any seed may be the user's, but the smallest group does not depend on it.
        if all(
            _take_whole_groups(groups, sizes, larger, seed, seen_before, least=1)
            for seed in range(3)
        ):
            return InputError(f"{reason}. Fix: --fraction {larger:g} or more, or {row_disjoint}.")
    terms = ", or leave --hold-out-terms out" if by_term else ""
    return InputError(
        f"{reason}. Fix: add rows of other {disjoint.noun}s, or {row_disjoint}{terms}."
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
        if not _was_seen(group, seen_before):
            by_category[group[0].category].append(group)
    chosen: set[int] = set()
    for category, candidates in sorted(by_category.items()):
        target_rows = int(share * sizes[category])
        if target_rows and len(candidates) > 1:
            ordered = _order_groups(candidates, seed, target_rows)
            # One group at least stays to be trained on.
            chosen.update(_take_recordings(ordered[:-1], target_rows))
    return frozenset(chosen)


def _parts(
    rows: Iterable[SplitRow],
    held_out: Container[int],
    chosen: Container[int],
    warnings: tuple[str, ...] = (),
) -> Split:
    numbers = sorted(row.row for row in rows)
    return Split(
        train=tuple(n for n in numbers if n not in held_out and n not in chosen),
        validation=tuple(n for n in numbers if n in held_out),
        warnings=warnings,
        selection=tuple(n for n in numbers if n in chosen),
    )


def fold_rows(
    rows: Sequence[SplitRow],
    folds: int,
    *,
    seed: int = 42,
    seen_before: frozenset[str] = frozenset(),
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
        selection: share of each category's rows that choose; 0 for none.
        disjoint: what no fold shares with the rows that its model is trained on.

    Raises:
        InputError: fewer than two folds, or a fold without a row.
    """
    if folds < 2:  # noqa: PLR2004 - one fold would leave nothing to train on
        raise InputError(f"folds {folds}: at least 2 are needed. Fix: 5 is usual.")
    if disjoint is not Disjointness.ROW:
        return _fold_whole_groups(rows, folds, seed, seen_before, selection, disjoint)
    fold_numbers: list[list[int]] = [[] for _ in range(folds)]
    untrained = [
        group for group in _group_rows(rows, by_term=False) if not _was_seen(group, seen_before)
    ]
    # One deal through all categories, so that the folds differ by one recording at most.
    untrained.sort(key=lambda group: (group[0].category, _rank(seed, group)))
    for place, group in enumerate(untrained):
        fold_numbers[place % folds].extend(row.row for row in group)
    if not all(fold_numbers):
        raise InputError(
            f"folds {folds}: there are {len(untrained)} recordings that the base has not seen. "
            "Fix: fewer folds, or a larger manifest."
        )
    sizes = Counter(row.category for row in rows)
    splits = []
    for held_out in map(frozenset, fold_numbers):
        trained = [
            group
            for group in _group_rows(rows, by_term=False)
            if not any(row.row in held_out for row in group)
        ]
        chosen = _carve_selection(trained, sizes, selection, seed, seen_before)
        splits.append(_parts(rows, held_out, chosen))
    return tuple(splits)


def _fold_whole_groups(
    rows: Sequence[SplitRow],
    folds: int,
    seed: int,
    seen_before: frozenset[str],
    selection: float,
    disjoint: Disjointness,
) -> tuple[Split, ...]:
    """Deal whole voices or conversations into folds."""
    groups = _group_rows(rows, by_term=False, whole=True)
    groups.sort(key=lambda group: _rank(seed, group))
    unseen = [group for group in groups if not _was_seen(group, seen_before)]
    if len(unseen) < folds:
        raise InputError(
            f"folds {folds}: there are {len(unseen)} {disjoint.noun}s that the base has not seen. "
            f"Fix: fewer folds, rows of more {disjoint.noun}s, or --disjoint {Disjointness.ROW}."
        )
    dealt = deal_groups([Counter(row.category for row in group) for group in unseen], folds)
    sizes = Counter(row.category for row in rows)
    splits = []
    for places in dealt:
        held_out = {row.row for place in places for row in unseen[place]}
        trained = [group for group in groups if group[0].row not in held_out]
        choosing = _take_whole_groups(trained, sizes, selection, seed, seen_before)
        chosen = {row.row for group in choosing for row in group}
        splits.append(replace(_parts(rows, held_out, chosen), disjoint=disjoint))
    return tuple(splits)


def _group_rows(
    rows: Iterable[SplitRow], *, by_term: bool, whole: bool = False
) -> list[list[SplitRow]]:
    """Group rows that share a recording, each group in its content's own order.

    Args:
        rows: all.
        by_term: rows that share a term are one group too.
        whole: so are rows of a voice or a conversation.
    """
    groups = _merge_groups(rows, by_term=by_term) if by_term or whole else _recordings(rows)
    for group in groups:
        if len(group) > 1:
            group.sort(key=lambda row: (row.category, row.text, row.recording))
    return groups


def _recordings(rows: Iterable[SplitRow]) -> list[list[SplitRow]]:
    groups: defaultdict[str, list[SplitRow]] = defaultdict(list)
    for row in rows:
        groups[row.recording].append(row)
    return list(groups.values())


def _merge_groups(rows: Iterable[SplitRow], *, by_term: bool) -> list[list[SplitRow]]:
    """Merge rows that share a recording, a voice or a term: two terms of a recording are one group.

    Rows without a ``member_of`` share none.
    """
    groups: dict[str, list[SplitRow]] = {}
    for row in rows:
        existing_groups = {
            id(groups[key]): groups[key]
            for key in _group_keys(row, by_term=by_term)
            if key in groups
        }
        # Into the largest, so that a term of many rows costs no more than many terms.
        home = max(existing_groups.values(), key=len, default=[])
        home.append(row)
        moved_rows = [
            moved_row
            for group in existing_groups.values()
            if group is not home
            for moved_row in group
        ]
        home += moved_rows
        for member in (row, *moved_rows):
            groups.update(dict.fromkeys(_group_keys(member, by_term=by_term), home))
    return list({id(group): group for group in groups.values()}.values())


def _group_keys(row: SplitRow, *, by_term: bool) -> list[str]:
    """List the keys by which a row shares a group with others."""
    keys = [f"recording {row.recording}"]
    if row.member_of is not None:
        keys.append(f"member {row.member_of}")
    return keys + [f"term {term}" for term in row.terms if by_term]


def _was_seen(group: Sequence[SplitRow], seen_before: frozenset[str]) -> bool:
    # Most bases have seen nothing, and a large manifest has many groups.
    return bool(seen_before) and any(row.recording in seen_before for row in group)


def _nothing_held_out(*, by_term: bool) -> InputError:
    if by_term:
        return InputError(
            "nothing can be held out: every category has a single term, or all its rows hang "
            "together by terms that they share, or the base was trained on all of them. Fix: leave "
            "--hold-out-terms out, or grow the manifest with /digital-health-clinical-asr-build."
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
            _rank(seed, group),
        ),
    )


def _is_entangled(group: Sequence[SplitRow]) -> bool:
    return len(group) > 1 and any(len(row.terms) > 1 for row in group)


def _rank(seed: int, group: Sequence[SplitRow]) -> str:
    return hashlib.sha256(f"{seed}\n{group[0].recording}\n{group[0].text}".encode()).hexdigest()


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
