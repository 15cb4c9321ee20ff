"""Match the same row in two files from hosts with different folders.

Where both files carry the hash of a row's samples, sound and reference tell: names change when a
grown corpus is imported anew. Else a row is known by the end of its audio's path and by its
reference in the canonical view, so that two spellings of one sentence match. How much of the end is
needed depends on the files: the name alone usually, the folder too where voice_a/001.wav and
voice_b/001.wav say the same sentence.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.common.errors import InputError
from tasks.data.audio_paths import path_parts
from tasks.data.canonical import canonical
from tasks.data.text_normalizer import normalise

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tasks.evaluation.hypotheses import Hypothesis

Key = tuple[tuple[str, ...], str]


def keys(*sets: Sequence[tuple[str, str]]) -> list[list[Key]]:
    """Return a key for each row of each set, such that no set has two rows with one key.

    Args:
        sets: of each file, the rows' (audio path, reference).

    Raises:
        InputError: two rows of one file cannot be told apart by path and reference.
    """
    split = [[(path_parts(audio), canonical(text)) for audio, text in rows] for rows in sets]
    deepest = max((len(parts) for rows in split for parts, _ in rows), default=1)
    for depth in range(1, deepest + 1):
        keyed_sets = [[(parts[-depth:], text) for parts, text in rows] for rows in split]
        if all(len(set(row_keys)) == len(row_keys) for row_keys in keyed_sets):
            return keyed_sets
    duplicate = next(row for rows in split for place, row in enumerate(rows) if row in rows[:place])
    raise InputError(
        f"audio {'/'.join(duplicate[0])!r} stands in two rows of one file with the same reference. "
        "Fix: remove one of them."
    )


@dataclass(frozen=True, slots=True)
class MatchedRows:
    """The rows that two evaluations have in common.

    Attributes:
        places: of each such row in the first and in the second, in the second's order.
        converted: rows of other samples that were matched by name and reference all the same, since
            no row of the two has the same samples: a corpus that was converted or resampled.
    """

    places: tuple[tuple[int, int], ...]
    converted: int = 0


def match_rows(before: Sequence[Hypothesis], after: Sequence[Hypothesis]) -> MatchedRows:
    """Match the rows of two evaluations, by sound where both carry it, else by name.

    Two rows that carry the hashes of other samples are two recordings, whatever their names are.

    Raises:
        InputError: two rows of one evaluation cannot be told apart.
    """
    first, second = keys(
        *([(row.audio_filepath, row.ref) for row in rows] for rows in (before, after))
    )
    by_sound = dict(_match_sound(before, after, first, second))
    matched = set(by_sound.values())
    earlier = {key: place for place, key in enumerate(first) if place not in matched}
    named = {
        place: earlier[key]
        for place, key in enumerate(second)
        if place not in by_sound and key in earlier
    }
    differing = {
        later
        for later, place in named.items()
        if before[place].audio_sha256 is not None and after[later].audio_sha256 is not None
    }
    is_converted = not by_sound and len(differing) == len(named)
    found = by_sound | {
        later: place for later, place in named.items() if is_converted or later not in differing
    }
    places = tuple((found[later], later) for later in sorted(found))
    return MatchedRows(places, len(differing) if is_converted else 0)


def _match_sound(
    before: Sequence[Hypothesis],
    after: Sequence[Hypothesis],
    first: Sequence[Key],
    second: Sequence[Key],
) -> Iterator[tuple[int, int]]:
    """Yield the places of rows of the same samples and reference, the later evaluation's first.

    Where several rows have these, those with the same terms go together, then any in their order.
    """
    places: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for place, (row, (_, text)) in enumerate(zip(before, first, strict=True)):
        if row.audio_sha256 is not None:
            places[row.audio_sha256, text].append(place)
    same: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for place, (row, (_, text)) in enumerate(zip(after, second, strict=True)):
        if row.audio_sha256 is not None and (row.audio_sha256, text) in places:
            same[row.audio_sha256, text].append(place)
    for key, later in same.items():
        earlier = places[key]
        for is_one in (lambda one, other: one.flagged == other.flagged, lambda _, __: True):
            for place in [*later]:
                found = next((one for one in earlier if is_one(before[one], after[place])), None)
                if found is not None:
                    later.remove(place)
                    earlier.remove(found)
                    yield place, found


def row_fingerprint(audio: str, text: str) -> int:
    """Return 64 bits that rows with one path and one normalised reference share."""
    if "\\" in audio or ":" in audio or "./" in audio or "//" in audio:
        audio = "/".join(path_parts(audio))
    digest = hashlib.blake2b(f"{audio}\n{text}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def first_duplicates(rows: Iterable[tuple[str, str]]) -> Iterator[tuple[int, int, str]]:
    """Yield each row that stands already: the first's number, its own (from 1), its audio path.

    Args:
        rows: the rows' (audio path, reference).
    """
    places: dict[tuple[tuple[str, ...], str], int] = {}
    for number, (audio, text) in enumerate(rows, start=1):
        first = places.setdefault((path_parts(audio), normalise(text)), number)
        if first != number:
            yield first, number, audio
