"""Whole cycles and the decoding tests with every version of NeMo: the same figures and texts?

    python -m benchmarks.matrix [--versions 2.6.0,3.0.0] [--python 3.11,3.12] [--json FILE]
                                [--cycles wav,endings] [--folder .matrix] [--resume]

Each version of NeMo gets an environment of its own (benchmarks.environments), in which the
product's own commands run it. Two cycles: recordings in 16-bit WAV; the same recordings in
files whose endings and kinds NeMo 2.x knows nothing of (.FLAC, .opus, .WAV of floats and of
µ-law, .wave). What differs from the reference, the newest version on the oldest Python, is an
error that names version, cycle, figure or row, and both values. Nothing here needs a GPU.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import soundfile

from asr_flywheel.demo.dataset import synthesise_cycle
from benchmarks.environments import FOLDER, Environment
from benchmarks.matrix_results import (
    Result,
    VersionResult,
    differences,
    record,
    reference_of,
    table,
)
from tasks.common import atomic_files, hashing
from tasks.common.errors import FlywheelError, TrainingError
from tasks.runtimes import nemo_versions
from tasks.runtimes.base import PYTHON_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROWS_A_CATEGORY = 18
"""Of the embedded benchmark's 40: the least that passes the gate's hundred rows."""
KINDS = (
    (".FLAC", "FLAC", "PCM_16"),
    (".opus", "OGG", "OPUS"),
    (".WAV", "WAV", "FLOAT"),
    (".WAV", "WAV", "ULAW"),
    (".wave", "WAV", "PCM_24"),
)
"""Ending, format and subtype as libsndfile has them; row by row in turn."""
TESTS = (
    "tests/unit/entrypoints/test_length_batching.py",
    "tests/integration/nemo/test_decoding.py",
    "tests/integration/nemo/test_decoding_program.py",
    "tests/integration/nemo/test_cuda_graphs.py",
    "tests/integration/nemo/test_onednn_linear.py",
    "tests/integration/nemo/test_audio_reader.py",
    "tests/integration/nemo/test_audio.py::test_training_and_transcription_hear_what_is_sent",
)
"""What runs in each version's environment; it needs none of the project's fixtures."""
_ROOT = Path(__file__).resolve().parents[1]
_PRODUCT = (
    "asr_flywheel",
    "benchmarks/matrix.py",
    "benchmarks/matrix_results.py",
    "blocks",
    "flows",
    "tasks",
    "tests/support/factories.py",
    "tests/support/nemo_models.py",
    "tests/support/torch_threads.py",
)
# Tells what was run, and decides nothing that is run.
_TABLE = "nemo_versions.py"
_TAIL_LINES = 25


def make_cycles(folder: Path) -> dict[str, Path]:
    """Synthesise both cycles once; a baseline that missed every term lets them pass the gate."""
    cycles = {name: folder / name / "cycle1" for name in ("wav", "endings")}
    if all((path / "per_sample.json").is_file() for path in cycles.values()):
        return cycles
    shutil.rmtree(folder, ignore_errors=True)
    synthesise_cycle(cycles["wav"])
    by_category: dict[str, list[dict[str, Any]]] = {}
    for row in atomic_files.read_jsonl(cycles["wav"] / "manifest.jsonl"):
        by_category.setdefault(row["entity_category"], []).append(row)
    rows = [row for several in by_category.values() for row in several[:ROWS_A_CATEGORY]]
    (cycles["endings"] / "audio").mkdir(parents=True)
    other_rows = []
    for number, row in enumerate(rows):
        ending, kind, subtype = KINDS[number % len(KINDS)]
        wave, rate = soundfile.read(cycles["wav"] / row["audio_filepath"])
        name = f"audio/{Path(row['audio_filepath']).stem}{ending}"
        path = cycles["endings"] / name
        soundfile.write(path, wave, rate, subtype=subtype, format=kind)
        other_rows.append(
            {**row, "audio_filepath": name, "duration": soundfile.info(path).duration}
        )
    for name, its in (("wav", rows), ("endings", other_rows)):
        atomic_files.write_jsonl(cycles[name] / "manifest.jsonl", its)
        empty_hyps = [{**row, "ref": row["text"], "hyp": ""} for row in its]
        atomic_files.write_jsonl(cycles[name] / "per_sample.json", empty_hyps)
    return cycles


def run_version(source: Path, work: Path, python: Path) -> VersionResult:
    """Run a copy of a cycle by the product's command and read what it left.

    Raises:
        TrainingError: the command fails.
    """
    shutil.rmtree(work, ignore_errors=True)
    first = Path(shutil.copytree(source, work / "cycle1"))
    environment = {
        **os.environ,
        PYTHON_VARIABLE: str(python),
        "PREFECT_HOME": str(work / "prefect"),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300",
        # As many threads everywhere: another number adds up in another order.
        "OMP_NUM_THREADS": "1",
    }
    line = [sys.executable, "-m", "asr_flywheel", "run", str(first), "--base=embedded"]
    started = time.monotonic()
    # What is compared is training, mixing and decoding; general English is decoded elsewhere.
    _run([*line, "--epochs=1", "--general=none"], environment)
    seconds = time.monotonic() - started
    (info_file,) = first.glob("models/*/training_run_info.json")
    info = atomic_files.read_json(info_file)
    decision = atomic_files.read_json(work / "cycle2" / "decision.json")
    figures: dict[str, str | float | None] = {"verdict": decision["decision"]}
    for epoch in info["epochs"]:
        figures |= {
            f"epoch {epoch['epoch']} {name}": epoch[name]
            for name in ("train_loss", "val_loss", "val_wer")
        }
    figures["steps"] = info["steps"]
    figures["weights"] = weights_hash(info_file.parent / info["model"])
    for rows, by in (("held-out", "by"), ("all", "by_all_rows")):
        figures[f"{rows} drug KER base"] = decision[by]["drug"]["ker_a"]
        figures[f"{rows} drug KER tuned"] = decision[by]["drug"]["ker_b"]
    texts = {}
    for model, name in (("base", "baseline_hyps.jsonl"), ("tuned", "offline_hyps.jsonl")):
        for row in atomic_files.read_jsonl(work / "cycle2" / name):
            texts[f"{model} {Path(row['audio_filepath']).name}"] = row["hyp"]
    if info["runtime"]["nemo"] not in str(python):
        raise TrainingError(f"{python}: trained by NeMo {info['runtime']['nemo']}, not its own")
    return VersionResult(figures, texts, seconds)


def weights_hash(model: Path) -> str:
    """Hash the weights' names, shapes and bits, whatever file holds them."""
    import torch  # noqa: PLC0415 - takes seconds that --help need not pay

    with tarfile.open(model) as archive:
        (member,) = (
            member_info
            for member_info in archive.getmembers()
            if member_info.name.endswith("_weights.ckpt")
        )
        stream = archive.extractfile(member)
        assert stream is not None  # noqa: S101 - a member that is a file
        weights = torch.load(stream, map_location="cpu", weights_only=True)
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def run_tests(python: Path) -> int:
    """Run the decoding and reader tests in a version's environment.

    Returns:
        How many passed.

    Raises:
        TrainingError: one fails, or none ran.
    """
    # conftest.py wants the project's environment. CI has hypothesis set no deadline.
    line = [str(python), "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider"]
    line += ["-o", "addopts="]  # the marks that conftest.py declares are unknown without it
    output = _run([*line, *TESTS], {**_own_environment(), "CI": "1"})
    passed = re.search(r"(\d+) passed", output)
    if passed is None or "skipped" in output:
        raise TrainingError(f"{python}: of {' '.join(TESTS)} some were skipped:\n{output[-2000:]}")
    return int(passed.group(1))


def _own_environment() -> dict[str, str]:
    """Leave out what the caller set for his own interpreter: paths, pytest's options."""
    left_out = ("PYTHONPATH", "PYTEST_ADDOPTS")
    return {name: value for name, value in os.environ.items() if name not in left_out}


def _run(line: Sequence[str], environment: Mapping[str, str]) -> str:
    process = subprocess.run(
        line,
        cwd=_ROOT,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if process.returncode:
        tail = "\n".join(process.stdout.splitlines()[-_TAIL_LINES:])
        raise TrainingError(f"{' '.join(line)} ended with {process.returncode}:\n{tail}")
    return process.stdout


def measure(environment: Environment, cycles: Mapping[str, Path], product: str) -> Result:
    """Make a version's environment, run the tests and both cycles with it.

    Raises:
        FlywheelError: one of them fails.
    """
    install_s = environment.make()
    started = time.monotonic()
    tests = run_tests(environment.python)
    tests_s = time.monotonic() - started
    work = environment.folder.absolute() / "runs" / environment.name
    courses = {
        name: run_version(path, work / name, environment.python) for name, path in cycles.items()
    }
    return Result(
        nemo=environment.nemo,
        python=environment.minor,
        packages=environment.versions(),
        courses=courses,
        tests=tests,
        tests_s=tests_s,
        install_s=install_s,
        product=product,
    )


def read_result(environment: Environment, product: str) -> Result | None:
    """Read the result of an earlier call, if the same code made it."""
    path = _result_path(environment)
    if not path.is_file():
        return None
    document = atomic_files.read_json(path)
    if document["product"] != product:
        return None
    courses = {name: VersionResult(**course) for name, course in document["courses"].items()}
    return Result(**{**document, "courses": courses})


def keep(environment: Environment, result: Result) -> None:
    """Keep a result, its texts too, for a later call with ``--resume``."""
    path = _result_path(environment)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_files.write_json(path, asdict(result))


def _result_path(environment: Environment) -> Path:
    return environment.folder / "results" / f"{environment.name}.json"


def product_fingerprint() -> str:
    """Return the fingerprint of the code whose behaviour the matrix compares."""
    hashes = []
    for name in (*_PRODUCT, *(test.partition("::")[0] for test in TESTS)):
        path = _ROOT / name
        paths = sorted(path.rglob("*")) if path.is_dir() else [path]
        hashes += [
            (str(file.relative_to(_ROOT)), hashing.sha256_file(file))
            for file in paths
            if file.is_file() and "__pycache__" not in file.parts and file.name != _TABLE
        ]
    return hashing.fingerprint(hashes)


def default_cells() -> list[tuple[str, str]]:
    """List every version on each Python on which it is known to run."""
    return [(version.nemo, minor) for version in nemo_versions.TRIED for minor in version.pythons]


def main() -> int:
    """Run the matrix."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--versions", help="of nemo_toolkit, separated by commas")
    parser.add_argument("--python", help="minor versions, separated by commas")
    parser.add_argument("--cycles", default="wav,endings", help="which of them: wav, endings")
    parser.add_argument("--json", type=Path, help="where the record goes")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="environments and cycles")
    parser.add_argument(
        "--resume", action="store_true", help="keep what the same code has run before"
    )
    args = parser.parse_args()
    cells = choose_cells(args.versions, args.python)
    product = product_fingerprint()
    all_cycles = make_cycles(args.folder / "cycles")
    cycles = {name: all_cycles[name] for name in args.cycles.split(",")}
    results, wrong = [], []
    for nemo, minor in cells:
        environment = Environment(nemo, minor, args.folder)
        result = read_result(environment, product) if args.resume else None
        if result is not None and set(result.courses) != set(cycles):
            result = None
        try:
            result = result or measure(environment, cycles, product)
        except FlywheelError as error:
            wrong.append(f"NeMo {nemo} on Python {minor}: {error}")
            print(wrong[-1], file=sys.stderr, flush=True)
            continue
        keep(environment, result)
        results.append(result)
        print(table([result]), flush=True)
    if results:
        reference = reference_of(results)
        for compared in results:
            wrong += differences(reference, compared)
        print(table(results))
        if args.json:
            atomic_files.write_json(args.json, record(results, wrong))
    print("\n".join(wrong) or "every version: the same figures and texts")
    return 1 if wrong else 0


def choose_cells(versions_asked: str | None, pythons_asked: str | None) -> list[tuple[str, str]]:
    """Choose the cells of the matrix that are asked for; by default all that are known to run."""
    nemos = versions_asked.split(",") if versions_asked else None
    minors = pythons_asked.split(",") if pythons_asked else None
    if nemos and minors:
        return [(nemo, minor) for nemo in nemos for minor in minors]
    cells = [
        (nemo, minor)
        for nemo, minor in default_cells()
        if (nemos is None or nemo in nemos) and (minors is None or minor in minors)
    ]
    unknown = [nemo for nemo in nemos or () if nemo not in {cell_nemo for cell_nemo, _ in cells}]
    return [*cells, *((nemo, "3.11") for nemo in unknown)]


if __name__ == "__main__":
    sys.exit(main())
