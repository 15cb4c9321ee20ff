"""What a cycle needs on another host, how it gets there, and how its results come back.

Only what the run reads is sent: the manifest, the recordings that it names, the baseline, and a
base of the user's own. What comes back is checked against the run's record before it takes its
place beside the cycle; run.json, the mark of a whole run, comes last.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tasks import files, paths, run_record, sft
from tasks.archive import clinic_of
from tasks.errors import InputError
from tasks.manifest import read_manifest
from tasks.ssh import ConnectionLostError, HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tasks.cycle import Cycle
    from tasks.ssh import Connection

_TRIES = 3
_PAUSE_S = 2.0
_NOT_BACK = ("*.wav", "*.flac", "*.WAV", "*.FLAC", ".*", "inputs", "manifest.jsonl")


@dataclass(frozen=True, slots=True)
class Cargo:
    """What is sent.

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
class Placed:
    """Where it all is on the host: absolute paths."""

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


def send(connection: Connection, root: str, cargo: Cargo) -> Placed:
    """Send a cycle to a host; again sends what is not there yet.

    Args:
        connection: to the host.
        root: the lease's folder there.
        cargo: what to send.

    Raises:
        InputError: a recording lies under none of the cargo's folders.
        HostError: not everything arrived.
    """
    cycle = cargo.cycle
    # The folder's name is kept: it names the clinic in the store and in Prefect.
    clinic = f"{root}/{cycle.path.parent.name if _plain(cycle.path.parent) else clinic_of(cycle)}"
    place = f"{clinic}/{cycle.path.name}"
    inputs = f"{clinic}/inputs"
    audio = _both_names(
        (root, f"{inputs}/audio{number}") for number, root in enumerate(cargo.audio_roots)
    )
    with tempfile.TemporaryDirectory(prefix="asr-flywheel-") as folder:
        own = _both_names([(cycle.path, place)])
        parts = _speech(cycle.manifest, place, own + audio, Path(folder, "cycle"))
        parts += _evaluations(cycle, place, clinic)
        base, baseline, general = cargo.base, None, None
        if (model := Path(cargo.base).expanduser()).is_file():
            names = [model.name]
            if model.name == sft.MODEL_NAME:
                names += [sft.RECORDINGS_NAME] * (model.parent / sft.RECORDINGS_NAME).is_file()
            parts.append(_Part(model.parent, tuple(names), f"{inputs}/base"))
            base = f"{inputs}/base/{model.name}"
        if cargo.baseline is not None:
            named = cargo.baseline.expanduser().absolute()
            parts.append(_Part(named.parent, (named.name,), f"{inputs}/baseline"))
            baseline = f"{inputs}/baseline/{named.name}"
        if cargo.general is not None:
            named = cargo.general.expanduser().absolute()
            roots = _both_names([(named.parent, f"{inputs}/general")]) + audio
            parts += _speech(named, f"{inputs}/general", roots, Path(folder, "general"))
            general = f"{inputs}/general/{named.name}"
        made = " ".join(f'"{part.target}"' for part in parts)
        connection.check(f"mkdir -p {made}")
        for part in parts:
            _again(partial(connection.copy_to, part.folder, part.names, part.target))
    there = tuple(f"{inputs}/audio{number}" for number in range(len(cargo.audio_roots)))
    return Placed(clinic, place, base, baseline, general, there)


def _plain(folder: Path) -> bool:
    return all(char.isalnum() or char in "._-" for char in folder.name) and folder.name.isascii()


def _both_names(folders: Iterable[tuple[Path, str]]) -> list[tuple[Path, str]]:
    """Folders by their given and by their real name, each with its place on the host."""
    return [
        (name, there)
        for here, there in folders
        for name in (here.expanduser().absolute(), here.expanduser().resolve())
    ]


def _speech(
    manifest: Path, place: str, roots: Sequence[tuple[Path, str]], staging: Path
) -> list[_Part]:
    """A manifest and the recordings that it names.

    The manifest goes as it is, or as a copy with the host's paths where some row needs that.
    """
    # The innermost folder that holds a recording counts, as in a rewrite.
    ordered = sorted(roots, key=lambda one: len(one[0].parts), reverse=True)
    found: dict[tuple[Path, str], dict[str, None]] = {}
    plain = True
    for row in read_manifest(manifest):
        name = PurePosixPath(row.audio_filepath)
        plain = plain and not name.is_absolute() and ".." not in name.parts
        audio = Path(paths.normal(PurePosixPath(manifest.parent) / name))
        holding = next((one for one in ordered if audio.is_relative_to(one[0])), None)
        if holding is None:
            raise InputError(
                f"{manifest}: row {row.row}: {row.audio_filepath!r} lies under no folder that is "
                "sent. Fix: name its folder with --audio-root."
            )
        found.setdefault(holding, {})[audio.relative_to(holding[0]).as_posix()] = None
    parts = [_Part(here, tuple(names), there) for (here, there), names in found.items()]
    if plain:
        return [*parts, _Part(manifest.parent, (manifest.name,), place)]
    mappings = [paths.Mapping(PurePosixPath(here), PurePosixPath(there)) for here, there in roots]
    paths.rewrite(manifest, staging / manifest.name, mappings)
    return [*parts, _Part(staging, (manifest.name,), place)]


def _evaluations(cycle: Cycle, place: str, clinic: str) -> list[_Part]:
    """What the gate reads: this cycle's evaluation, and how large the one before was."""
    parts = []
    if (own := cycle.find_baseline()) is not None:
        parts.append(_Part(own.parent, (own.name,), place))
    before = cycle.previous
    if before is not None and before.manifest.is_file():
        names = (before.manifest.name,)
        parts.append(_Part(before.path, names, f"{clinic}/{before.path.name}"))
    return parts


def _again(step: Callable[[], None]) -> None:
    for tries_left in reversed(range(_TRIES)):
        try:
            step()
        except ConnectionLostError:
            if not tries_left:
                raise
            time.sleep(_PAUSE_S)
        else:
            return


@dataclass(frozen=True, slots=True)
class Fetched:
    """A run's results, here.

    Attributes:
        files: how many were checked against their hashes.
        model: the tuned model.
        next_cycle: the folder with the evaluation.
    """

    files: int
    model: Path
    next_cycle: Path


def fetch(connection: Connection, placed: Placed, cycle: Cycle, told: Mapping[str, Any]) -> Fetched:
    """Bring a run's results back, check every file, and put them beside the cycle.

    Args:
        connection: to the host.
        placed: where they are there.
        cycle: that was tuned.
        told: what run.json shall say of the host.

    Raises:
        HostError: they did not arrive whole; nothing beside the cycle has changed.
    """
    # Beside the cycle, so that a rename moves it; hidden, so that nothing takes it for a cycle.
    staging = cycle.path.parent / f".rented-{told['lease']}"
    try:
        _again(partial(connection.copy_back, placed.clinic, staging, _NOT_BACK))
        checked, run = verify(staging, cycle)
        return _install(staging, cycle, run, placed, told, checked)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def has_results(connection: Connection, placed: Placed, cycle: Cycle) -> bool:
    """Whether the run on the host went to its end; the gate may have refused it there."""
    record = f"{placed.clinic}/{cycle.next.path.name}/{run_record.RECORD_NAME}"
    return connection.run(f'test -f "{record}"').code == 0


def verify(staging: Path, cycle: Cycle) -> tuple[int, str]:
    """Check a run's files against the hashes in its own records.

    Returns:
        How many files were checked, and the name of the model's folder.

    Raises:
        HostError: a file is missing or another one than was recorded.
    """
    results = staging / cycle.next.path.name
    record = files.read_json(results / run_record.RECORD_NAME)
    run = PurePosixPath(record["sft"]["model"]).parent.name
    model = staging / cycle.path.name / "models" / run
    info = files.read_json(model / sft.INFO_NAME)
    dataset = info["dataset"]
    wanted = {
        **{results / name: sha256 for name, sha256 in record["files"].items()},
        model / sft.MODEL_NAME: record["sft"]["model_sha256"],
        staging / cycle.path.name / "train.jsonl": dataset["train_sha256"],
        staging / cycle.path.name / "validation.jsonl": dataset["validation_sha256"],
    }
    for path, sha256 in wanted.items():
        if not path.is_file() or files.sha256_file(path) != sha256:
            what = "is not what the run wrote" if path.is_file() else "is missing"
            raise HostError(
                f"{path.relative_to(staging)}: {what} (its SHA-256 in "
                f"{cycle.next.path.name}/{run_record.RECORD_NAME} is another). Nothing was "
                "taken over."
            )
    return len(wanted), run


def _install(
    staging: Path,
    cycle: Cycle,
    run: str,
    placed: Placed,
    told: Mapping[str, Any],
    checked: int,
) -> Fetched:
    models = cycle.path / "models"
    models.mkdir(exist_ok=True)
    for trained in (staging / cycle.path.name / "models").iterdir():
        target = models / trained.name
        if target.exists():
            # The same run, trained here or there before: the one that the record tells of counts.
            target.rename(staging / f"replaced-{trained.name}")
        trained.rename(target)
    for name in ("train.jsonl", "validation.jsonl"):
        (staging / cycle.path.name / name).replace(cycle.path / name)
    run_record.begin(cycle.next)
    results = staging / cycle.next.path.name
    record = files.read_json(results / run_record.RECORD_NAME)
    for name in record["files"]:
        (cycle.next.path / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).replace(cycle.next.path / name)
    here = _localised(record, placed.clinic, str(cycle.path.parent))
    run_record.complete(cycle.next, {**here, "rented": dict(told)})
    return Fetched(checked, models / run / sft.MODEL_NAME, cycle.next.path)


def _localised(value: Any, there: str, here: str) -> Any:  # noqa: ANN401 - any part of the record
    """The record with the host's paths turned into those of this machine."""
    if isinstance(value, dict):
        return {key: _localised(one, there, here) for key, one in value.items()}
    if isinstance(value, list):
        return [_localised(one, there, here) for one in value]
    if isinstance(value, str) and (value == there or value.startswith(f"{there}/")):
        return here + value.removeprefix(there)
    return value
