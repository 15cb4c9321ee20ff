"""Read a Hugging Face data set on disk, or an audio folder, by datasets itself."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.common.errors import InputError
from tasks.common.shell_words import in_shell
from tasks.data.importers import table
from tasks.data.importers.source_rows import (
    SKIP_FIX,
    Recording,
    RowFault,
    SourceRow,
    needs_package,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.data.importers.source_rows import Found, ReadOptions

_DISK = ("dataset_info.json", "dataset_dict.json")
_FILE_NAME = "file_name"
_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


def detect_disk(source: Path) -> bool:
    """Return whether a folder is what ``save_to_disk`` writes."""
    return source.is_dir() and any((source / name).is_file() for name in _DISK)


def detect_folder(source: Path) -> bool:
    """Return whether a folder, or one in it, holds an audio folder's metadata."""
    if not source.is_dir():
        return False
    folders = [source, *(path for path in source.iterdir() if path.is_dir())]
    return any((folder / name).is_file() for folder in folders for name in _METADATA)


def read_disk(source: Path, options: ReadOptions) -> Iterator[Found]:
    """Yield the rows of a data set that ``save_to_disk`` wrote.

    Raises:
        InputError: datasets is not installed or cannot read it, or the columns are not clear.
    """
    datasets = _library()
    with _quiet(source):
        loaded = datasets.load_from_disk(str(source))
    yield from _rows(source, loaded, options)


def read_folder(source: Path, options: ReadOptions) -> Iterator[Found]:
    """Yield the rows of an audio folder, whose metadata datasets reads.

    Its loader of audio folders needs a decoder of its own, torchcodec, only to note the paths.

    Raises:
        InputError: datasets is not installed or cannot read it, or the columns are not clear.
    """
    datasets = _library()
    metadata = _metadata_of(source, options.part)
    loaders = {".csv": "csv", ".jsonl": "json", ".parquet": "parquet"}
    # Its cache holds copies of the table; it must not outlive the import.
    with tempfile.TemporaryDirectory(prefix="asr-flywheel-import-") as cache:
        with _quiet(metadata):
            loaded = datasets.load_dataset(
                loaders[metadata.suffix],
                data_files=[str(metadata)],
                split="train",
                cache_dir=cache,
            )
        if _FILE_NAME not in loaded.column_names:
            raise InputError(
                f"{metadata}: has no column {_FILE_NAME}, by which an audio folder names its "
                f"recordings; there are {', '.join(loaded.column_names)}. Fix: name it so."
            )
        columns = table.map_columns(
            metadata,
            list(loaded.column_names),
            replace(options, columns={table.AUDIO: _FILE_NAME, **options.columns}),
        )
        names = loaded.column_names
        for place, record in enumerate(loaded, start=1):
            where = f"{metadata}: row {place}"
            values = {name: record[names[column]] for name, column in columns.items()}
            try:
                yield table.row_of(where, values, metadata.parent)
            except ValueError as wrong:
                yield RowFault(where, str(wrong), f"correct it, {SKIP_FIX}")


def _metadata_of(source: Path, part: str | None) -> Path:
    """Return the metadata of a folder, or of the split that a folder in it is."""
    folders = [source, *sorted(path for path in source.iterdir() if path.is_dir())]
    found = [folder / name for folder in folders for name in _METADATA if (folder / name).is_file()]
    if part is not None:
        found = [path for path in found if path.parent.name == part]
    if len(found) != 1:
        splits = ", ".join(path.parent.name for path in found)
        raise InputError(
            f"{source}: has {len(found)} tables of metadata{f' ({splits})' if found else ''}, and "
            "one is read. Fix: name its folder with --part."
        )
    return found[0]


def _library() -> Any:  # noqa: ANN401 - a module without types
    try:
        import datasets  # noqa: PLC0415 - an optional package
    except ImportError as absent:
        raise needs_package("datasets", "Reading a Hugging Face data set") from absent
    datasets.disable_progress_bars()
    # Its loader counts itself at a server, of local files too; a clinic's machine calls nobody.
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False
    return datasets


@contextmanager
def _quiet(source: Path) -> Iterator[None]:
    """Turn what datasets raises into an error of the user's."""
    try:
        yield
    except Exception as wrong:
        cause = wrong.__cause__ or wrong
        raise InputError(
            f"{source}: datasets cannot read it ({type(cause).__name__}: {cause}). "
            "Fix: what its message names; save_to_disk or metadata.csv must be whole."
        ) from wrong


def _rows(source: Path, loaded: Any, options: ReadOptions) -> Iterator[Found]:  # noqa: ANN401
    datasets = _library()
    if isinstance(loaded, datasets.DatasetDict):
        names = list(loaded)
        part = options.part or (names[0] if len(names) == 1 else None)
        if part not in names:
            raise InputError(
                f"{source}: has the splits {', '.join(names)}. "
                f"Fix: name one with --part {in_shell(names[0])}."
            )
        loaded = loaded[part]
    audio = [name for name, kind in loaded.features.items() if isinstance(kind, datasets.Audio)]
    if len(audio) == 1 and table.AUDIO not in options.columns:
        loaded = loaded.cast_column(audio[0], datasets.Audio(decode=False))
        header = list(loaded.column_names)
        named = {**options.columns, table.AUDIO: audio[0]}
        columns = table.map_columns(source, header, replace(options, columns=named))
    else:
        raise InputError(
            f"{source}: has {len(audio)} columns of audio, and one is needed. "
            "Fix: remove the others, or cast the column of paths to datasets.Audio."
        )
    labels = {
        name: kind
        for name, kind in loaded.features.items()
        if isinstance(kind, datasets.ClassLabel)
    }
    others = {name: header[place] for name, place in columns.items() if name != table.AUDIO}
    texts = loaded.select_columns([*others.values()]) if others else loaded
    sounds = loaded.select_columns([audio[0]])
    for place, record in enumerate(texts):
        where = f"{source}: row {place + 1}"
        values = {
            name: labels[column].int2str(record[column])
            if column in labels and record[column] is not None
            else record[column]
            for name, column in others.items()
        }
        try:
            found = table.row_of(where, {**values, table.AUDIO: "-"}, source)
        except ValueError as wrong:
            yield RowFault(where, str(wrong), f"correct it, {SKIP_FIX}")
            continue
        sound = sounds[place][audio[0]]
        recording = _recording(source, place, sound, sounds, audio[0])
        if recording is None:
            yield RowFault(where, "holds no sound", f"give it one, {SKIP_FIX}")
            continue
        yield SourceRow(
            where,
            recording,
            found.text,
            start=found.start,
            end=found.end,
            duration=found.duration,
            channel=found.channel,
            fields=found.fields,
        )


def _recording(
    source: Path,
    place: int,
    sound: Any,  # noqa: ANN401 - datasets'
    sounds: Any,  # noqa: ANN401 - datasets'
    column: str,
) -> Recording | None:
    if not isinstance(sound, dict):
        return None
    if sound.get("bytes"):
        name = str(sound.get("path") or "")
        tables = sorted(source.rglob("*.arrow")) or [source]
        member = f"row {place + 1}" + (f" ({Path(name).name})" if name else "")
        return Recording(tables[0], member, partial(_bytes, sounds, place, column))
    path = sound.get("path")
    if not path:
        return None
    local = Path(path)
    return Recording(local if local.is_absolute() else source / local)


def _bytes(sounds: Any, place: int, column: str) -> bytes:  # noqa: ANN401 - datasets'
    return bytes(sounds[place][column]["bytes"])
