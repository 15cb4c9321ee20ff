"""What tells a purged recording wherever it is named: its paths, its hashes, its texts, its voice.

A path such as ``audio/000/000001.flac`` stands in every imported cycle. It tells the recording only
where no recording that stays has such a path too, or where the row's text or the file's own place
says which of them is meant.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tasks.data.audio_paths import path_parts
from tasks.data.cycle_folder import cycle_number
from tasks.privacy.phrases import PurgedPhrases, split_words
from tasks.privacy.word_search import WordSearch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

GONE = "[purged]"
"""What stands in the place of a text, a name or a value that is removed."""
AUDIO_KEYS = ("audio_filepath", "audio", "recording", "path", "file", "wav", "name")
TEXT_KEYS = ("text", "ref", "asr_flywheel_original_text")
_LONGEST_PATH = 1024
_BEFORE, _AFTER = re.compile(r"[\w.-]"), re.compile(r"[\w-]")
"""What stands beside a word where the word is a part of another one."""
_LONGEST_ASKED = 4


@dataclass(frozen=True, slots=True)
class _PathsByName:
    """Paths by the names of their files: of what goes, of what stays, and from the cycles on."""

    purged: Mapping[str, Sequence[str]]
    kept: Mapping[str, Sequence[str]]
    tails: Mapping[str, Sequence[str]]


def _index(paths: Iterable[str], before: str = "") -> dict[str, list[str]]:
    index: dict[str, list[str]] = {}
    for path in paths:
        index.setdefault(path.rpartition("/")[2], []).append(before + path)
    return index


@dataclass
class RecordingTraces:
    """The traces of purged recordings.

    Attributes:
        paths: absolute paths of their files.
        names: their paths as manifests write them.
        hashes: keyed hashes by the hashes of their samples and of their files' bytes.
        phrases: what was said and heard in them.
        pairs: path as written and words of the reference, of each purged row.
        kept_pairs: the same of the rows that stay.
        kept_paths: absolute paths of the recordings that stay.
        tails: their paths from the folder of cycles on, by which they are known once it was moved.
        sizes: bytes of the recordings' files.
        voices: what stands in the place of the names of voices, where all of a voice is purged.
    """

    paths: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    hashes: dict[str, str] = field(default_factory=dict)
    phrases: PurgedPhrases = field(default_factory=PurgedPhrases)
    pairs: set[tuple[str, tuple[str, ...]]] = field(default_factory=set)
    kept_pairs: set[tuple[str, tuple[str, ...]]] = field(default_factory=set)
    kept_paths: set[str] = field(default_factory=set)
    tails: set[str] = field(default_factory=set)
    sizes: set[int] = field(default_factory=set)
    voices: dict[str, str] = field(default_factory=dict)
    _by_name: _PathsByName | None = field(default=None, repr=False)
    _in_text: WordSearch[str] | None = field(default=None, repr=False)
    _quick: WordSearch[str] | None = field(default=None, repr=False)
    _in_bytes: WordSearch[bytes] | None = field(default=None, repr=False)

    def seal(self) -> None:
        """Prepare the search; call it again when a path or a hash was added."""
        by_name = _PathsByName(
            _index(self.paths), _index(self.kept_paths), _index(self.tails, before="/")
        )
        self._by_name = by_name
        names = {path_parts(path)[-1] for path in (*self.paths, *self.names)}
        unique = names - by_name.kept.keys()
        self._quick = WordSearch({*names, *self.hashes, *self.voices})
        self._in_text = WordSearch({*self.paths, *unique, *self.hashes})
        unique = {path_parts(path)[-1] for path in self.paths} - by_name.kept.keys()
        told = {*self.paths, *unique, *self.hashes}
        self._in_bytes = WordSearch(word.encode() for word in told)

    # -- paths ----------------------------------------------------------------------------------

    def is_path(self, value: str, file: Path, text: str | None = None) -> bool:
        """Return whether a value of a file is the path of a purged recording.

        Args:
            value: as written.
            file: in which it stands.
            text: the reference beside it, if there is one.
        """
        return self._is_path(value, file, text) is True

    def _is_path(self, value: str, file: Path, text: str | None) -> bool | None:
        """Return the same; None where it may be that of a recording that stays as well."""
        if not value or len(value) > _LONGEST_PATH or "\n" in value:
            return False
        if value in self.paths:
            return True
        written = "/" + "/".join(part for part in path_parts(value) if part not in {"/", ".", ".."})
        if self._by_name is None:
            self.seal()
        assert self._by_name is not None  # noqa: S101 - sealed
        name, by_name = written.rpartition("/")[2], self._by_name
        if not any(path.endswith(written) for path in by_name.purged.get(name, ())):
            return any(written.endswith(tail) for tail in by_name.tails.get(name, ()))
        if not any(path.endswith(written) for path in by_name.kept.get(name, ())):
            return True
        if text is not None:
            pair = (value, split_words(text))
            if (pair in self.pairs) != (pair in self.kept_pairs):
                return pair in self.pairs
        place = self._resolve(value, file)
        return None if place is None else place in self.paths

    def _resolve(self, value: str, file: Path) -> str | None:
        """Return the recording that a relative path means, seen from a file's place."""
        for folder in self._places(file):
            path = os.path.normpath(folder / value)
            if path in self.paths or path in self.kept_paths:
                return path
        return None

    @staticmethod
    def _places(file: Path) -> list[Path]:
        """Return the folders that a path in a file may start from, the likeliest first.

        What a run left in cycle N+1 names recordings of cycle N.
        """
        above = list(file.parents)[:_LONGEST_ASKED]
        places: list[Path] = []
        for folder in above:
            number = cycle_number(folder.name)
            if number is not None and (folder / "run.json").is_file():
                before = folder.with_name(f"cycle{number - 1}")
                own_first = file.name in {"manifest.jsonl", "per_sample.json", "train.jsonl"}
                places += [folder, before] if own_first else [before, folder]
            else:
                places.append(folder)
        return places

    # -- values, rows and texts -----------------------------------------------------------------

    def is_row(self, row: Mapping[str, Any], file: Path) -> bool:
        """Return whether a row of a file is about a purged recording."""
        text = next((row[key] for key in TEXT_KEYS if isinstance(row.get(key), str)), None)
        for key, value in row.items():
            if not isinstance(value, str):
                continue
            if value in self.hashes:
                return True
            if key in AUDIO_KEYS and self.is_path(value, file, text):
                return True
        return False

    def is_unclear(self, row: Mapping[str, Any], file: Path) -> bool:
        """Return whether a row may be about a purged recording, or about one that stays."""
        named = (row[key] for key in AUDIO_KEYS if isinstance(row.get(key), str))
        return any(self._is_path(name, file, None) is None for name in named)

    def tells(self, text: str) -> bool:
        """Return whether a text names a purged recording or holds what was said in it."""
        return self._names_one(text) or self.phrases.holds(text)

    def _names_one(self, text: str) -> bool:
        found = self._in_text.find(text) if self._in_text is not None else ()
        return any(
            not _BEFORE.search(text, max(0, begin - 1), begin) and not _AFTER.match(text, end)
            for begin, end in found
        )

    def in_bytes(self, content: bytes) -> bool:
        """Return whether a file's bytes hold a path, a name or a hash of a purged recording."""
        if self._in_bytes is None:
            self.seal()
        return self._in_bytes is not None and self._in_bytes.is_in(content)

    def may_tell(self, line: str) -> bool:
        """Return whether a line of JSON has to be parsed: it may be about the recording."""
        named = self._quick is not None and self._quick.is_in(line)
        return named or self.phrases.may_hold(line)

    def without_voices(self, text: str) -> str:
        """Return a text in which the purged voices have their keyed names.

        A name with a digit, a dash or an underscore is an id, and replaced wherever it stands. Any
        other, such as "Doctor", may be a word: it is replaced where a cell or an element is it.
        """
        for voice, keyed in self.voices.items():
            if voice in text:
                text = _replace_voice(text, voice, keyed)
        return text

    def as_dict(self) -> dict[str, Any]:
        """Return what a journal keeps of them."""
        return {
            "paths": sorted(self.paths),
            "names": sorted(self.names),
            "hashes": self.hashes,
            "phrases": self.phrases.as_dict(),
            "pairs": [[name, list(words)] for name, words in sorted(self.pairs)],
            "kept_paths": sorted(self.kept_paths),
            "tails": sorted(self.tails),
            "sizes": sorted(self.sizes),
            "voices": self.voices,
        }

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> RecordingTraces:
        """Return what a journal kept."""
        traces = cls(
            set(kept["paths"]),
            set(kept["names"]),
            dict(kept["hashes"]),
            PurgedPhrases.from_dict(kept["phrases"]),
            {(name, tuple(words)) for name, words in kept["pairs"]},
            set(),
            set(kept["kept_paths"]),
            set(kept["tails"]),
            set(kept["sizes"]),
            dict(kept["voices"]),
        )
        traces.seal()
        return traces


def _replace_voice(text: str, voice: str, keyed: str) -> str:
    name = re.escape(voice)
    is_id = re.search(r"[\d_-]", voice) is not None
    whole_cell = rf"(?<=[>|,\t])(\s*){name}(?=\s*[<|,\t\n])"
    pattern = rf"(?<![\w-])(){name}(?![\w-])" if is_id else whole_cell
    return re.sub(pattern, lambda match: match[1] + keyed, text)
