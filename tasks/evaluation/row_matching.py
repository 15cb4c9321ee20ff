"""Match the same row in two files from hosts with different folders.

A row is known by the end of its audio's path and by its reference in the canonical view, so that
two spellings of one sentence match. How much of the end is needed depends on the files: the name
alone usually, the folder too where voice_a/001.wav and voice_b/001.wav say the same sentence.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tasks.common.errors import InputError
from tasks.data.audio_paths import path_parts
from tasks.data.canonical import canonical
from tasks.data.text_normalizer import normalise

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

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
