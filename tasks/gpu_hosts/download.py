"""A run's results come back from another host, are checked, and take their place beside the cycle.

They are paid for. So an outage is waited out, nothing that lies here is overwritten by another
model, and what has arrived stays where it is if anything fails. run.json, the mark of a whole run,
comes last.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files, hashing
from tasks.gpu_hosts.ssh import HostError, retry_connection
from tasks.records import kept_runs, run_record, verdict_ledger
from tasks.training import run as training_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.data.cycle_folder import Cycle
    from tasks.gpu_hosts.ssh import Connection
    from tasks.gpu_hosts.upload import RemotePaths, UploadPlan

_NOT_BACK = (
    "*.wav",
    "*.flac",
    "*.WAV",
    "*.FLAC",
    ".*",
    "inputs",
    "manifest.jsonl",
    "provenance.jsonl",
)
_SPLIT = ("train", "selection", "validation", "distillation")


@dataclass(frozen=True, slots=True)
class DownloadedRun:
    """A run's results, here.

    Attributes:
        files: how many were checked against their hashes.
        model: the tuned model.
        next_cycle: the folder with the evaluation.
        kept: models that lay here under the same names; they were others.
    """

    files: int
    model: Path
    next_cycle: Path
    kept: tuple[Path, ...] = ()


def has_results(
    connection: Connection, placed: RemotePaths, cycle: Cycle, patience_s: float = 0.0
) -> bool:
    """Return whether the run on the host ended with results; the gate may have refused it there.

    Raises:
        ConnectionLostError: the host cannot be reached for longer than ``patience_s``.
    """
    record = f"{placed.clinic}/{cycle.next.path.name}/{run_record.RECORD_NAME}"
    look = partial(connection.run, f'test -f "{record}"')
    return retry_connection(look, patience_s).code == 0


def fetch(
    connection: Connection,
    placed: RemotePaths,
    cargo: UploadPlan,
    rental: Mapping[str, Any],
    patience_s: float = 0.0,
) -> DownloadedRun:
    """Bring a run's results back, check every file, and put them beside the cycle.

    Args:
        connection: to the host.
        placed: where they are there.
        cargo: what was sent.
        rental: what run.json shall say of the host.
        patience_s: how long the connection may be gone.

    Raises:
        HostError: they did not arrive whole, or cannot be put there; names the folder in which
            what did arrive is kept.
    """
    cycle = cargo.cycle
    # Beside the cycle, so that a rename moves it; hidden, so that nothing takes it for a cycle.
    staging = cycle.path.parent / f".rented-{rental['lease']}"
    try:
        bring = partial(connection.copy_back, placed.clinic, staging, _NOT_BACK)
        retry_connection(bring, patience_s)
        checked, run = verify(staging, cycle)
        changed = _localise(staging, cycle, run, _paired_places(placed, cargo))
        earlier_models = _install(staging, cycle, {**rental, **changed})
    except Exception as failure:
        with suppress(OSError):
            staging.rmdir()  # if nothing has arrived
        if not staging.exists():
            raise
        raise HostError(
            f"{failure} What has arrived is kept in {staging}; remove that if it is of no use."
        ) from failure
    shutil.rmtree(staging, ignore_errors=True)
    model = cycle.path / "models" / run / training_run.MODEL_NAME
    return DownloadedRun(checked, model, cycle.next.path, earlier_models)


def verify(staging: Path, cycle: Cycle) -> tuple[int, str]:
    """Check a run's files against the hashes in its own records.

    Returns:
        How many files were checked, and the name of the model's folder.

    Raises:
        HostError: a file is missing or another one than was recorded.
    """
    results = staging / cycle.next.path.name
    record = atomic_files.read_json(results / run_record.RECORD_NAME)
    run = PurePosixPath(record["sft"]["model"]).parent.name
    model = staging / cycle.path.name / "models" / run
    expected = {results / name: sha256 for name, sha256 in record["files"].items()}
    expected[model / training_run.MODEL_NAME] = record["sft"]["model_sha256"]
    # The record of a host with an older version of this project does not tell it.
    if (sha256 := record["sft"].get("training_run_info_sha256")) is not None:
        expected[model / training_run.INFO_NAME] = sha256
    _compare(expected, staging, cycle)
    dataset = training_run.read_info(model / training_run.INFO_NAME)["dataset"]
    sides = _sides(dataset)
    there = staging / cycle.path.name
    _compare({there / f"{side}.jsonl": dataset[f"{side}_sha256"] for side in sides}, staging, cycle)
    return len(expected) + len(sides), run


def _sides(dataset: Mapping[str, Any]) -> list[str]:
    """List the parts of the split that a training's record has hashes of."""
    return [side for side in _SPLIT if f"{side}_sha256" in dataset]


def _compare(expected: Mapping[Path, str], staging: Path, cycle: Cycle) -> None:
    for path, sha256 in expected.items():
        if not path.is_file() or hashing.sha256_file(path) != sha256:
            problem = "is not what the run wrote" if path.is_file() else "is missing"
            raise HostError(
                f"{path.relative_to(staging)}: {problem} (its SHA-256 in "
                f"{cycle.next.path.name}/{run_record.RECORD_NAME} is another). Nothing was "
                "taken over."
            )


def _paired_places(placed: RemotePaths, cargo: UploadPlan) -> list[tuple[str, str]]:
    """Pair each place on the host with its place here, the innermost first."""
    pairs = [(placed.clinic, cargo.cycle.path.parent)]
    pairs += zip(placed.audio_roots, cargo.audio_roots, strict=True)
    if placed.base != cargo.base:
        pairs.append((placed.base, Path(cargo.base)))
    if placed.baseline is not None and cargo.baseline is not None:
        pairs.append((placed.baseline, cargo.baseline))
    if placed.general is not None and cargo.general is not None:
        pairs.append((placed.general.rpartition("/")[0], cargo.general.expanduser().parent))
    homes = [(there, str(here.expanduser().absolute())) for there, here in pairs]
    return sorted(homes, key=lambda pair: len(pair[0]), reverse=True)


def _localise(
    staging: Path, cycle: Cycle, run: str, homes: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """Turn the host's paths into those of this machine, in every file of rows and every record.

    Returns:
        What run.json shall say of it: the SHA-256 on the host of each file that is changed.
    """
    remote_hashes: dict[str, str] = {}

    def rewritten(path: Path) -> str:
        """Rewrite the paths in a file and return its new SHA-256."""
        original = hashing.sha256_file(path)
        if path.suffix == ".jsonl":
            rows = atomic_files.read_jsonl(path)
            if (moved := _with_local_paths(rows, homes)) != rows:
                atomic_files.write_jsonl(path, moved)
        elif path.suffix == ".json":
            value = atomic_files.read_json(path)
            if (moved := _with_local_paths(value, homes)) != value:
                atomic_files.write_json(path, moved)
        if (now := hashing.sha256_file(path)) != original:
            remote_hashes[path.relative_to(staging).as_posix()] = original
        return now

    cycle_files, results = staging / cycle.path.name, staging / cycle.next.path.name
    info_path = cycle_files / "models" / run / training_run.INFO_NAME
    info, original = training_run.read_info(info_path), hashing.sha256_file(info_path)
    sides = _sides(info["dataset"])
    hashes = {f"{side}_sha256": rewritten(cycle_files / f"{side}.jsonl") for side in sides}
    if remote_hashes:
        atomic_files.write_json(info_path, {**info, "dataset": {**info["dataset"], **hashes}})
        remote_hashes[info_path.relative_to(staging).as_posix()] = original
    record = _with_local_paths(atomic_files.read_json(results / run_record.RECORD_NAME), homes)
    record["files"] = {name: rewritten(results / name) for name in record["files"]}
    record["sft"]["training_run_info_sha256"] = hashing.sha256_file(info_path)
    atomic_files.write_json(results / run_record.RECORD_NAME, record)
    return {"sha256_there": remote_hashes} if remote_hashes else {}


def _with_local_paths(value: Any, homes: Sequence[tuple[str, str]]) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, dict):
        return {key: _with_local_paths(item, homes) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_local_paths(item, homes) for item in value]
    if isinstance(value, str):
        for there, here in homes:
            if value == there or value.startswith(f"{there}/"):
                return here + value.removeprefix(there)
    return value


def _install(staging: Path, cycle: Cycle, rental: Mapping[str, Any]) -> tuple[Path, ...]:
    """Move everything to its place, which may be a link to another disk; the models kept."""
    cycle_files, results = staging / cycle.path.name, staging / cycle.next.path.name
    kept_runs.preserve(cycle.next)
    models = cycle.path / "models"
    models.mkdir(exist_ok=True)
    placed = [
        _place_model(trained, models / trained.name, f"before-{rental['lease']}")
        for trained in sorted((cycle_files / "models").iterdir())
    ]
    for name in (*(f"{side}.jsonl" for side in _SPLIT), verdict_ledger.NAME):
        if (cycle_files / name).is_file():
            atomic_files.move(cycle_files / name, cycle.path / name)
        elif name in {"selection.jsonl", "distillation.jsonl"}:
            # Of an earlier run; its rows may have been trained on in this one.
            (cycle.path / name).unlink(missing_ok=True)
    run_record.begin(cycle.next)
    record = atomic_files.read_json(results / run_record.RECORD_NAME)
    for name in record["files"]:
        atomic_files.move(results / name, cycle.next.path / name)
    run_record.complete(cycle.next, {**record, "rented": dict(rental)})
    kept_runs.drop_repeated(cycle.next)
    return tuple(earlier for earlier in placed if earlier is not None)


def _place_model(arrived: Path, target: Path, suffix: str) -> Path | None:
    """Put a model's folder in its place; where another model that lay there is kept."""
    if arrived.is_file():
        atomic_files.move(arrived, target)
        return None
    arriving = target.with_name(f".{target.name}.arriving")
    shutil.rmtree(arriving, ignore_errors=True)
    shutil.move(arrived, arriving)
    earlier = None
    if target.exists():
        earlier = target.with_name(f"{target.name}.{suffix}")
        target.rename(earlier)
    arriving.rename(target)
    if earlier is not None and _model_sha256(earlier) == _model_sha256(target):
        shutil.rmtree(earlier)
        return None
    return earlier


def _model_sha256(folder: Path) -> str | None:
    path = folder / training_run.MODEL_NAME
    return hashing.sha256_file(path) if path.is_file() else None
