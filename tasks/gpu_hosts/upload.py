"""Send a cycle to another host; download.py is the way back.

Only what the run reads is sent: the manifest, the recordings that it names, the spans that they
are of source recordings, the baseline, and a base of the user's own.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from tasks.common.errors import InputError
from tasks.common.parameter_names import name_of
from tasks.data import path_mapping
from tasks.data.audio_paths import as_posix
from tasks.data.cycle_folder import LABELLED_NAME, clinic_of
from tasks.data.manifest import read_manifest
from tasks.data.row_reviews import review_files
from tasks.data.source_spans import PROVENANCE, folders_of, provenance_folders, write_spans
from tasks.gpu_hosts.ssh import retry_connection
from tasks.records import verdict_ledger
from tasks.training import recording_roles, tuned_models
from tasks.training import run as training_run

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tasks.data.cycle_folder import Cycle
    from tasks.gpu_hosts.ssh import Connection


@dataclass(frozen=True, slots=True)
class UploadPlan:
    """The files to send.

    Attributes:
        cycle: the cycle.
        base: a known name, or the path of a file here, which is sent.
        baseline: an evaluation that lies elsewhere than the cycle's own.
        general: the manifest of general English, if there is one.
        audio_roots: more folders in which recordings lie.
    """

    cycle: Cycle
    base: str
    baseline: Path | None = None
    general: Path | None = None
    audio_roots: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class RemotePaths:
    """The places on the host: absolute paths."""

    clinic: str
    cycle: str
    base: str
    baseline: str | None
    general: str | None
    audio_roots: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Part:
    folder: Path
    names: tuple[str, ...]
    target: str


def check(cargo: UploadPlan) -> None:
    """Make sure, while nothing is paid for yet, that all of it can be sent.

    Raises:
        InputError: a recording lies under none of the cargo's folders, or a manifest is broken.
    """
    with tempfile.TemporaryDirectory(prefix="asr-flywheel-") as folder:
        _plan_parts("/", cargo, Path(folder))


def send(
    connection: Connection, root: str, cargo: UploadPlan, patience_s: float = 0.0
) -> RemotePaths:
    """Send a cycle to a host; again sends what is not there yet.

    Args:
        connection: to the host.
        root: the lease's folder there.
        cargo: what to send.
        patience_s: how long the connection may be gone.

    Raises:
        InputError: a recording lies under none of the cargo's folders.
        HostError: not everything arrived.
    """
    with tempfile.TemporaryDirectory(prefix="asr-flywheel-") as folder:
        placed, parts = _plan_parts(root, cargo, Path(folder))
        folders = " ".join(f'"{part.target}"' for part in parts)
        retry_connection(partial(connection.check, f"mkdir -p {folders}"), patience_s)
        for part in parts:
            step = partial(connection.copy_to, part.folder, part.names, part.target)
            retry_connection(step, patience_s)
    return placed


def _plan_parts(root: str, cargo: UploadPlan, staging: Path) -> tuple[RemotePaths, list[_Part]]:
    """Plan the target of each file, and the paths that the run is told."""
    cycle = cargo.cycle
    # The folder's name is kept: it names the clinic in the store and in Prefect.
    folder = cycle.path.parent
    is_own_name = _is_plain(folder) and folder.name != LABELLED_NAME
    clinic = f"{root}/{folder.name if is_own_name else clinic_of(cycle)}"
    place = f"{clinic}/{cycle.path.name}"
    inputs = f"{clinic}/inputs"
    audio = _with_real_names(
        (root, f"{inputs}/audio{number}") for number, root in enumerate(cargo.audio_roots)
    )
    cycle_roots = _with_real_names([(cycle.path, place)])
    parts = _collect_speech(cycle.manifest, place, cycle_roots + audio, staging / "cycle")
    parts += _collect_evaluations(cycle, place, clinic)
    base, baseline, general = cargo.base, None, None
    # Earlier cycles' spans tell what a tuned base has heard of the recordings.
    earlier = (
        provenance_folders(cycle.path.parent) if Path(cargo.base).expanduser().is_file() else ()
    )
    parts += _collect_spans(cycle.manifest, earlier, place, staging / "spans")
    if (model := Path(cargo.base).expanduser()).is_file():
        parts += _plan_base(model, cycle.path.parent, f"{inputs}/base")
        base = f"{inputs}/base/{model.name}"
    if cargo.baseline is not None:
        given_path = cargo.baseline.expanduser().absolute()
        parts.append(_Part(given_path.parent, (given_path.name,), f"{inputs}/baseline"))
        baseline = f"{inputs}/baseline/{given_path.name}"
    if cargo.general is not None:
        given_path = cargo.general.expanduser().absolute()
        roots = _with_real_names([(given_path.parent, f"{inputs}/general")]) + audio
        parts += _collect_speech(given_path, f"{inputs}/general", roots, staging / "general")
        parts += _collect_spans(given_path, (), f"{inputs}/general", staging / "general-spans")
        general = f"{inputs}/general/{given_path.name}"
    remote_audio = tuple(f"{inputs}/audio{number}" for number in range(len(cargo.audio_roots)))
    return RemotePaths(clinic, place, base, baseline, general, remote_audio), parts


def _plan_base(model: Path, clinic: Path, place: str) -> list[_Part]:
    """Plan what is sent of the base: the model, and the list of what it was trained on."""
    model_part = _Part(model.parent, (model.name,), place)
    if (folder := tuned_models.folder_of(model, clinic)) is None:
        return [model_part]
    lists = [recording_roles.NAME, recording_roles.TRAINED_NAME]
    if model.name not in {training_run.MODEL_NAME, training_run.TUNED_NAME}:
        # There its name does not tell whose list it is, but its content does.
        lists.append(training_run.INFO_NAME)
    return [
        model_part,
        _Part(folder, tuple(one for one in lists if (folder / one).is_file()), place),
    ]


def _is_plain(folder: Path) -> bool:
    return all(char.isalnum() or char in "._-" for char in folder.name) and folder.name.isascii()


def _with_real_names(folders: Iterable[tuple[Path, str]]) -> list[tuple[Path, str]]:
    """Return folders by their given and their real name, each with its place on the host."""
    return [
        (name, there)
        for here, there in folders
        for name in (here.expanduser().absolute(), here.expanduser().resolve())
    ]


def _collect_speech(
    manifest: Path, place: str, roots: Sequence[tuple[Path, str]], staging: Path
) -> list[_Part]:
    """Collect a manifest and the recordings that it names.

    The manifest goes as it is, or as a copy with the host's paths where some row needs that.
    """
    # The innermost folder that holds a recording counts, as in a rewrite.
    ordered = sorted(roots, key=lambda root: len(root[0].parts), reverse=True)
    names_by_root: dict[tuple[Path, str], dict[str, None]] = {}
    plain = True
    for row in read_manifest(manifest):
        name = PurePosixPath(as_posix(row.audio_filepath))
        plain = plain and not name.is_absolute() and ".." not in name.parts
        audio = Path(path_mapping.normal(PurePosixPath(manifest.parent) / name))
        holding = next((root for root in ordered if audio.is_relative_to(root[0])), None)
        if holding is None:
            raise InputError(
                f"{manifest}: row {row.row}: {row.audio_filepath!r} lies under no folder that is "
                f"sent. Fix: name its folder with {name_of('audio_roots')}."
            )
        names_by_root.setdefault(holding, {})[audio.relative_to(holding[0]).as_posix()] = None
    parts = [_Part(here, tuple(names), there) for (here, there), names in names_by_root.items()]
    if plain:
        return [*parts, _Part(manifest.parent, (manifest.name,), place)]
    mappings = [
        path_mapping.Mapping(PurePosixPath(here), PurePosixPath(there)) for here, there in roots
    ]
    path_mapping.rewrite(manifest, staging / manifest.name, mappings)
    return [*parts, _Part(staging, (manifest.name,), place)]


def _collect_spans(
    manifest: Path, others: Iterable[Path], place: str, staging: Path
) -> list[_Part]:
    """Collect which spans of which recordings rows are, without the recordings' names."""
    recordings = (
        path_mapping.normal(PurePosixPath(manifest.parent) / as_posix(row.audio_filepath))
        for row in read_manifest(manifest)
    )
    own, *more = folders_of(manifest, [Path(one).resolve() for one in recordings])
    staging.mkdir(parents=True, exist_ok=True)
    if not write_spans(staging / PROVENANCE, own, [*more, *others]):
        return []
    return [_Part(staging, (PROVENANCE,), place)]


def _collect_evaluations(cycle: Cycle, place: str, clinic: str) -> list[_Part]:
    """Collect what the gate reads: this cycle's evaluation, and the size of the one before.

    The verdicts that its rows have given go with it, the clinic's list of phrases, and the marks of
    reviews.
    """
    parts = []
    if (formulary := cycle.find_formulary()) is not None:
        parts.append(_Part(cycle.path, (formulary.name,), place))
    if (cycle.path / verdict_ledger.NAME).is_file():
        parts.append(_Part(cycle.path, (verdict_ledger.NAME,), place))
    if (evaluation := cycle.find_baseline()) is not None:
        parts.append(_Part(evaluation.parent, (evaluation.name,), place))
    for review in review_files(cycle):
        folder = review.parent
        there = place if folder == cycle.path else f"{clinic}/{folder.name}"
        parts.append(_Part(folder, (review.name,), there))
    previous = cycle.previous
    if previous is not None and previous.manifest.is_file():
        names = (previous.manifest.name,)
        parts.append(_Part(previous.path, names, f"{clinic}/{previous.path.name}"))
    return parts
