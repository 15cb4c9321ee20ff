"""The copies of the manifest: train.jsonl, selection.jsonl and validation.jsonl.

Training reads the first; checkpoint and mixture are chosen on the second; the third judges, and
nothing that trains or chooses reads it. Where a recipe teaches the base's own outputs on general
sentences, distillation.jsonl has these. They stand beside the manifest, which itself is never
edited. Their text is in the base's writing style and their audio paths resolve where training runs.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tasks.common import atomic_files, hashing
from tasks.common.counted import agreed, counted
from tasks.common.errors import InputError
from tasks.common.parameter_names import name_of
from tasks.data import manifest
from tasks.data.row_groups import UNCATEGORISED, SplitRow
from tasks.data.row_terms import rarest_categories
from tasks.data.sibling_rows import conversation_of, sound_groups, with_siblings_told
from tasks.data.split import fold_rows, split_rows
from tasks.data.split_parts import Disjointness, Split
from tasks.data.text_normalizer import normalise_term

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tasks.data.manifest import Utterance
    from tasks.data.preflight import CheckedRow


ORIGINAL_TEXT = "asr_flywheel_original_text"
"""The field of a copy that holds what the user wrote, where the base would write it otherwise."""


_SHOWN_ROWS = 10


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """The files and the split that they hold.

    Attributes:
        train: path of train.jsonl.
        validation: path of validation.jsonl: the held-out rows.
        split: the rows' numbers of each part.
        durations: seconds of each row of train.jsonl.
        content: hash over what training sees: audio content, text and side of each row. It does
            not depend on paths or times, so that the same data is recognised anywhere.
        trained_recordings: content hashes of the recordings on the training side.
        selection: path of selection.jsonl; None where the held-out rows choose as well.
        selection_recordings: content hashes of the recordings that choose.
        held_out_recordings: content hashes of the recordings that judge.
        replayed: rows of general English at the end of train.jsonl; see
            tasks/data/general_english.py.
        distillation: path of distillation.jsonl, general English on which the base's outputs are
            taught; None without such.
        distilled: its rows.
    """

    train: Path
    validation: Path
    split: Split
    durations: tuple[float, ...]
    content: str
    trained_recordings: frozenset[str] = frozenset()
    replayed: int = 0
    distillation: Path | None = None
    distilled: int = 0
    selection: Path | None = None
    selection_recordings: frozenset[str] = frozenset()
    held_out_recordings: frozenset[str] = frozenset()

    @property
    def validates_on(self) -> tuple[Path, int]:
        """The file that the training script validates on, and its rows."""
        if self.selection is None:
            return self.validation, len(self.split.validation)
        return self.selection, len(self.split.selection)

    @property
    def train_rows(self) -> int:
        """Rows of train.jsonl."""
        return len(self.durations)


def split_checked(
    rows: Sequence[CheckedRow],
    *,
    fraction: float,
    seed: int,
    seen_before: frozenset[str] = frozenset(),
    by_term: bool = False,
    selection: float = 0.0,
    disjoint: Disjointness = Disjointness.ROW,
) -> Split:
    """Split the rows that passed the preflight; see ``split_rows``.

    Raises:
        InputError: a row does not name what the split is disjoint by.
    """

    def split_by(by: Disjointness) -> Split:
        return split_rows(
            _split_rows(rows, by),
            fraction=fraction,
            seed=seed,
            seen_before=seen_before,
            by_term=by_term,
            selection=selection,
            disjoint=by,
        )

    return with_siblings_told(rows, split_by(disjoint), split_by)


def fold_checked(
    rows: Sequence[CheckedRow],
    folds: int,
    *,
    seed: int,
    seen_before: frozenset[str] = frozenset(),
    by_term: bool = False,
    selection: float = 0.0,
    disjoint: Disjointness = Disjointness.ROW,
) -> tuple[Split, ...]:
    """Deal the rows that passed the preflight into folds; see ``fold_rows``."""
    dealt = fold_rows(
        _split_rows(rows, disjoint),
        folds,
        seed=seed,
        seen_before=seen_before,
        by_term=by_term,
        selection=selection,
        disjoint=disjoint,
    )
    return tuple(with_siblings_told(rows, fold) for fold in dealt)


def _split_rows(rows: Sequence[CheckedRow], disjoint: Disjointness) -> list[SplitRow]:
    members = _members(rows, disjoint)
    sound = sound_groups(rows)
    strata = rarest_categories([row.utterance.categories for row in rows])
    return [
        SplitRow(
            row=row.utterance.row,
            category=stratum or UNCATEGORISED,
            recording=row.audio_sha256,
            text=row.utterance.text,
            terms=tuple(
                filter(None, (normalise_term(item.term) for item in row.utterance.flagged))
            ),
            member_of=member,
            sound=sound.get(row.audio_sha256),
        )
        for row, stratum, member in zip(rows, strata, members, strict=True)
    ]


def _members(rows: Sequence[CheckedRow], disjoint: Disjointness) -> list[str | None]:
    """Return the voice or conversation of each row, where a split is disjoint by these.

    Raises:
        InputError: rows name none, so that nothing could be promised of them.
    """
    if disjoint is Disjointness.ROW:
        return [None] * len(rows)
    members = (
        [row.utterance.voice_id for row in rows]
        if disjoint is Disjointness.VOICE
        else conversation_of(rows)
    )
    lacking = [
        row.utterance.row for row, member in zip(rows, members, strict=True) if member is None
    ]
    if lacking:
        shown = ", ".join(map(str, lacking[:_SHOWN_ROWS]))
        more = f" and {len(lacking) - _SHOWN_ROWS} more" if len(lacking) > _SHOWN_ROWS else ""
        raise InputError(
            f"{name_of('disjoint')} {disjoint}: {len(lacking)} of {counted(len(rows), 'row')} "
            f"{agreed(len(lacking), 'has', 'have')} no {disjoint} as text or number (rows "
            f"{shown}{more}). Fix: give each its {disjoint.noun}, a name of its own if it is the "
            f"only row of it, or split with {name_of('disjoint')} {Disjointness.ROW}."
        )
    return members


def write_training_set(
    folder: Path,
    rows: Sequence[CheckedRow],
    split: Split,
    locate: Callable[[CheckedRow], str] = lambda row: str(row.audio),
    replay: Sequence[CheckedRow] = (),
    distilled: Sequence[CheckedRow] = (),
) -> TrainingSet:
    """Write train.jsonl, validation.jsonl and, where there are such rows, the other two files.

    Args:
        folder: where they go: the cycle's, beside the manifest, or a fold's.
        rows: the checked rows.
        split: which row goes where.
        locate: gives a row's audio path where training runs; the absolute path by default.
        replay: rows of general English that are trained on too.
        distilled: rows of general English on which the base's outputs are taught.
    """
    by_number = {row.utterance.row: row for row in rows}
    train = [*(by_number[number] for number in split.train), *replay]
    validation = [by_number[number] for number in split.validation]
    chosen = [by_number[number] for number in split.selection]
    sides = {
        "train": train,
        "validation": validation,
        "selection": chosen,
        "distillation": distilled,
    }
    paths = {name: folder / f"{name}.jsonl" for name in sides}
    for name, side in sides.items():
        if side:
            manifest.write_manifest(paths[name], (_training_row(row, locate) for row in side))
        elif name in {"selection", "distillation"}:
            # Of an earlier run; its rows may be trained on in this one.
            paths[name].unlink(missing_ok=True)
    return TrainingSet(
        train=paths["train"],
        validation=paths["validation"],
        split=split,
        durations=tuple(row.utterance.duration or 0.0 for row in train),
        content=_content_hash(train, chosen or validation, *([distilled] if distilled else [])),
        trained_recordings=_recordings([*train, *distilled]),
        replayed=len(replay),
        distillation=paths["distillation"] if distilled else None,
        distilled=len(distilled),
        selection=paths["selection"] if chosen else None,
        selection_recordings=_recordings(chosen),
        held_out_recordings=_recordings(validation),
    )


def _recordings(rows: Sequence[CheckedRow]) -> frozenset[str]:
    return frozenset(row.audio_sha256 for row in rows)


def _training_row(row: CheckedRow, locate: Callable[[CheckedRow], str]) -> Utterance:
    """Return the row for training; a rewritten text keeps the user's own beside it."""
    original = row.utterance
    restyled = row.training_text != original.text
    return replace(
        original,
        audio_filepath=locate(row),
        text=row.training_text,
        term=row.training_term,
        terms=row.training_terms,
        extra={**original.extra, **({ORIGINAL_TEXT: original.text} if restyled else {})},
    )


@dataclass(frozen=True, slots=True)
class ListedRow:
    """A row of a file that says what is held out.

    Attributes:
        audio: the recording's path, as the file has it.
        text: the user's text; None where the row gives none.
        part: what the row is marked as, where it is one of per-row results.
    """

    audio: str
    text: str | None
    part: object = None


def listed_rows(path: Path) -> list[ListedRow]:
    """Read the rows of validation.jsonl, of any manifest, or of per-row results.

    Raises:
        InputError: it cannot be read, it is empty, or a row lacks its audio's path.
    """
    rows: list[ListedRow] = []
    for number, row in enumerate(atomic_files.read_jsonl(path), start=1):
        audio = row.get("audio_filepath")
        text = next((row[name] for name in (ORIGINAL_TEXT, "text", "ref") if name in row), None)
        if not isinstance(audio, str) or not isinstance(text, str | None):
            raise InputError(
                f"{path}: row {number}: audio_filepath must be text, not {audio!r}, and so must "
                "text, where it is given. Fix: name the validation.jsonl of the cycle."
            )
        rows.append(ListedRow(audio, text, row.get("part") if "hyp" in row else None))
    if not rows:
        raise InputError(f"{path}: no rows. Fix: name the validation.jsonl of the cycle.")
    return rows


def held_out_rows(path: Path) -> list[tuple[str, str | None]]:
    """Read the audio's path and the user's text of each row; see ``listed_rows``."""
    return [(row.audio, row.text) for row in listed_rows(path)]


def _content_hash(*sides: Sequence[CheckedRow]) -> str:
    return hashing.fingerprint(
        [sorted((row.audio_sha256, row.training_text) for row in side) for side in sides]
    )


def counts(rows: Sequence[CheckedRow], split: Split) -> dict[str, dict[str, int]]:
    """Count the rows of each category in each part; selection only where rows choose.

    A row of several categories counts in each.
    """
    categories = {row.utterance.row: row.utterance.categories or (UNCATEGORISED,) for row in rows}
    return {
        side: dict(
            sorted(Counter(name for number in numbers for name in categories[number]).items())
        )
        for side, numbers in (
            ("train", split.train),
            *((("selection", split.selection),) if split.selection else ()),
            ("validation", split.validation),
        )
    }
