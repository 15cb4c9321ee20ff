"""Where a row's audio lies on this host, and whether it may be read there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.common.counted import agreed, counted
from tasks.common.parameter_names import name_of
from tasks.common.shell_words import in_shell
from tasks.data import findings
from tasks.data.audio_paths import as_posix, is_url, is_windows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tasks.data.findings import ManifestFinding
    from tasks.data.manifest import Utterance


def locate_audio(manifest: Path, utterance: Utterance, roots: Sequence[Path]) -> Path:
    """Return the real path of a row's audio, links resolved; it need not exist.

    A manifest that came from another host names folders that are not here. What follows the name of
    the cycle's folder, or of another root, is then looked for in that.
    """
    written = Path(as_posix(utterance.audio_filepath))
    if is_file(literal := manifest.parent / utterance.audio_filepath):
        written = literal  # a backslash may stand in a name of this host
    if written.is_absolute() and not os.path.lexists(written):
        for root in roots:
            for place in reversed(range(1, len(written.parts))):
                local_path = root.joinpath(*written.parts[place + 1 :])
                if written.parts[place] == root.name and is_file(local_path):
                    return Path(os.path.realpath(local_path))
    return Path(os.path.realpath(written if written.is_absolute() else manifest.parent / written))


def check_places(
    audio_paths: Sequence[tuple[Utterance, Path]], roots: Sequence[Path]
) -> Iterable[ManifestFinding]:
    """Report each row whose audio is not there, or lies outside of the roots.

    Args:
        audio_paths: each row with the real path of its audio.
        roots: the folders whose audio may be read.
    """
    for utterance, path in audio_paths:
        name = utterance.audio_filepath
        if not is_inside(path, roots) and not os.path.lexists(path):
            yield findings.error(
                "audio-missing",
                utterance.row,
                name,
                f"there is no such audio file on this host{_name_foreign(name)}",
                _advise_missing(name),
            )
        elif not is_inside(path, roots):
            yield findings.error(
                "audio-outside",
                utterance.row,
                name,
                f"the audio lies outside the cycle's folder, at {path}",
                "copy it into the cycle, or allow its folder with "
                f"{name_of('audio_roots')} {in_shell(path.parent)}",
            )
        elif not os.path.exists(path):  # noqa: PTH110 - a name that is too long does not exist
            yield findings.error(
                "audio-missing",
                utterance.row,
                name,
                f"there is no such audio file{_name_foreign(name)}",
                f"put the file there ({path}) or correct audio_filepath (relative to the "
                "manifest's folder)",
            )
        elif not is_file(path):
            yield findings.error(
                "audio-not-a-file",
                utterance.row,
                name,
                "audio_filepath is not a file",
                "name the audio file itself",
            )


def check_moved(audio_paths: Sequence[tuple[Utterance, Path]]) -> Iterable[ManifestFinding]:
    """Warn where audio is found at another place than the manifest names."""
    moved_rows = [
        (utterance, path)
        for utterance, path in audio_paths
        if os.path.isabs(as_posix(utterance.audio_filepath))  # noqa: PTH117 - any length
        and not os.path.lexists(utterance.audio_filepath)
        and is_file(path)
    ]
    if moved_rows:
        first, path = moved_rows[0]
        yield findings.warning(
            "audio-moved",
            first.row,
            first.audio_filepath,
            f"{counted(len(moved_rows), 'row')} {agreed(len(moved_rows), 'names', 'name')} audio "
            f"by a path that is not here; it is read from {path} and beside it",
            "nothing, if that is the audio; `asr-flywheel paths` rewrites a manifest for this host",
        )


def is_inside(path: Path, roots: Iterable[Path]) -> bool:
    """Return whether a real path lies in one of the roots."""
    return any(path.is_relative_to(root) for root in roots)


def is_file(path: Path) -> bool:
    """Return whether a path is a file; a name that is too long for the file system is none."""
    # Path.is_file raises where a name is too long for the file system.
    return os.path.isfile(path)  # noqa: PTH113


def _name_foreign(name: str) -> str:
    """Say that a path is another system's; nothing for one of this host."""
    if is_url(name):
        return ": it is a URL, and recordings are read from files"
    return ": it is a path of Windows" if is_windows(name) else ""


def _advise_missing(name: str) -> str:
    """Return the fix for an absolute path that leads nowhere here."""
    if is_url(name) and not name.lower().startswith("file:"):
        return "download it into the cycle's folder and write audio_filepath relative to that"
    folder = name.rpartition("\\" if "\\" in name else "/")[0]
    return (
        "copy the recordings into the cycle's folder, laid out as they were, or rewrite the "
        f"manifest: asr-flywheel paths MANIFEST --out COPY --map {in_shell(f'{folder}=OURS')}"
    )
