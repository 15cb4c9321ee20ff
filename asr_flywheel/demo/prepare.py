"""Prepare the demo's cycle: the embedded benchmark, the embedded base's baseline, a guardrail."""

from __future__ import annotations

import importlib.util
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from flows.console import print_stage
from tasks.common import atomic_files, hashing
from tasks.common.errors import InputError
from tasks.common.installation import install_fix
from tasks.data.cycle_folder import open_cycle
from tasks.stages.evaluate import transcribe_baseline

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Executor


@contextmanager
def speakers() -> Iterator[Executor | None]:
    """Lend processes that speak for several sets; None where there is nothing that speaks."""
    if not _has_synthesiser():
        yield None
        return
    # Speech synthesis is an extra that nothing but the demo needs.
    from asr_flywheel.demo.dataset import speaking_pool  # noqa: PLC0415

    with speaking_pool() as pool:
        yield pool


def prepare_cycle(directory: Path, pool: Executor | None = None, *, seed: int) -> Path:
    """Make ``directory``/cycle1 with manifest and audio; what is there is kept.

    Args:
        directory: of the demo.
        pool: of ``speakers``; by default each set has processes of its own.
        seed: of the benchmark.

    Returns:
        The cycle's folder.
    """
    folder = directory / "cycle1"
    made_with = directory / "benchmark.json"
    if (folder / "manifest.jsonl").is_file():
        if not made_with.is_file() or atomic_files.read_json(made_with) != {"seed": seed}:
            raise InputError(
                f"{folder}: holds a cycle that was not made with seed {seed}. "
                "Fix: choose another folder with --dir."
            )
    else:
        _require_synthesiser()
        from asr_flywheel.demo.dataset import synthesise_cycle  # noqa: PLC0415

        started = time.monotonic()
        print_stage("demo", "synthesising clinical speech")
        atomic_files.write_json(made_with, {"seed": seed})
        synthesise_cycle(folder, seed=seed, pool=pool)
        print_stage("", f"{folder} in {time.monotonic() - started:.0f} s")
    return folder


def prepare_baseline(folder: Path) -> None:
    """Decode a cycle by the embedded base, unless it has a baseline."""
    cycle = open_cycle(folder)
    if cycle.find_baseline() is None:
        print_stage("baseline", "decoding the cycle by the embedded base")
        transcribe_baseline(cycle, "embedded", None, (), lambda line: print_stage("", line))


def prepare_general(directory: Path, pool: Executor | None = None) -> Path:
    """Speak the embedded sentences of general English into ``directory``/general.

    None of them is in the base's training text, nor in the cycle. What is there is kept.

    Args:
        directory: of the demo.
        pool: of ``speakers``; by default each set has processes of its own.

    Returns:
        The manifest.
    """
    folder = directory / "general"
    manifest = folder / "manifest.jsonl"
    if manifest.is_file():
        return manifest
    _require_synthesiser()
    from asr_flywheel.demo.dataset import synthesise_general  # noqa: PLC0415

    started = time.monotonic()
    print_stage("demo", "synthesising general English, the guardrail against forgetting")
    made = synthesise_general(folder, pool=pool)
    print_stage("", f"{folder} in {time.monotonic() - started:.0f} s")
    return made


def cached_general(cache: Path) -> Path:
    """Speak the sentences of general English into a folder of ``cache`` that their hash names.

    Returns:
        The manifest.
    """
    from asr_flywheel.demo.dataset import general_sentences, synthesise_general  # noqa: PLC0415

    name = f"general-{hashing.fingerprint(list(general_sentences()))[:12]}"
    folder = cache / name
    if (folder / "manifest.jsonl").is_file():
        return folder / "manifest.jsonl"
    _require_synthesiser()
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=cache) as made:
        synthesise_general(Path(made) / name)
        with suppress(OSError):  # another process was faster
            (Path(made) / name).rename(folder)
    return folder / "manifest.jsonl"


def _has_synthesiser() -> bool:
    return importlib.util.find_spec("hibari") is not None


def _require_synthesiser() -> None:
    if not _has_synthesiser():
        raise InputError(
            f"the demo's speech synthesiser is not installed. Fix: {install_fix('demo')}."
        )
