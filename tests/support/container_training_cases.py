"""Cycles whose names are full of metacharacters, and a training of them in the stand-in image."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from asr_flywheel.demo.dataset import synthesise_cycle
from asr_flywheel.demo.terms import TERMS
from tasks.common import atomic_files
from tasks.data.cycle_folder import open_cycle
from tasks.models import catalog
from tasks.runtimes.container import ContainerRuntime
from tasks.runtimes.container_settings import ContainerSettings
from tasks.runtimes.hardware import Hardware
from tasks.stages import prepare
from tasks.training import run as training_run
from tasks.training.recipes import Recipe
from tests.support import docker_daemon

if TYPE_CHECKING:
    from pathlib import Path

    from asr_flywheel.demo.terms import Term
    from tasks.data.cycle_folder import Cycle
    from tasks.data.training_set import TrainingSet

NASTY = "clinic $HOME ${x} 'a' \"b\", c=d [e] {f} é #&;"


def container() -> ContainerRuntime:
    """The stand-in image on the CPU."""
    settings = ContainerSettings(image=docker_daemon.STANDIN, abandoned_after_s=20)
    return ContainerRuntime(settings, Hardware((), 2))


def request_for(
    cycle: Cycle, data: TrainingSet, roots: tuple[Path, ...], name: str, epochs: int
) -> training_run.SftRequest:
    """A tuning run of the embedded base."""
    return training_run.SftRequest(
        base=catalog.embedded_path(),
        base_name="embedded",
        data=data,
        recipe=Recipe(epochs=epochs),
        model_dir=cycle.path / "models" / name,
        audio_roots=(cycle.path, *roots),
        key=name,
        labels={"cycle": str(cycle.path), "run": name},
    )


def nasty_cycle(folder: Path, more_audio: Path) -> Cycle:
    """Some of the embedded benchmark in a folder whose name is full of metacharacters.

    Of its recordings some are named by absolute paths, some lie in another folder, by their own
    path or through a link, and some are links within the cycle. A baseline that missed every term
    lets it pass the gate.
    """
    of_category: dict[str, list[Term]] = {}
    for term in TERMS:
        of_category.setdefault(term.category, []).append(term)
    # Four rows each.
    synthesise_cycle(folder, terms=[term for terms in of_category.values() for term in terms[:5]])
    by_category: dict[str, list[dict[str, Any]]] = {}
    for row in atomic_files.read_jsonl(folder / "manifest.jsonl"):
        by_category.setdefault(row["entity_category"], []).append(row)
    rows = [row for several in by_category.values() for row in several[:18]]
    assert len(rows) >= 100
    for number, row in enumerate(rows):
        audio = folder / row["audio_filepath"]
        elsewhere = more_audio / f"{number} {NASTY}.wav"
        if number % 5 == 0:
            row["audio_filepath"] = str(audio)
        elif number % 5 == 1:
            row["audio_filepath"] = str(audio.rename(elsewhere))
        elif number % 5 == 2:
            audio.rename(elsewhere)
            audio.symlink_to(elsewhere)
        elif number % 5 == 3:
            audio.rename(audio.with_suffix(".real.wav"))
            audio.symlink_to(audio.with_suffix(".real.wav").name)
        row["audio_filename"] = "/etc/passwd"  # NeMo would prefer it to the path that was checked
    atomic_files.write_jsonl(folder / "manifest.jsonl", rows)
    atomic_files.write_jsonl(
        folder / "per_sample.json", ({**row, "ref": row["text"], "hyp": ""} for row in rows)
    )
    return open_cycle(folder)


def few_rows(whole: Cycle) -> Cycle:
    """Every fourth row of a cycle: for what needs no gate."""
    folder = whole.path.parent / "few" / "cycle1"
    shutil.copytree(whole.path, folder, symlinks=True)
    rows = atomic_files.read_jsonl(folder / "manifest.jsonl")
    atomic_files.write_jsonl(folder / "manifest.jsonl", rows[::4])
    return open_cycle(folder)


def split_of(cycle: Cycle, roots: tuple[Path, ...]) -> TrainingSet:
    """Its training set."""
    checked = prepare.check(cycle, catalog.embedded_path(), Recipe(), roots)
    return prepare.split(cycle, checked, 0.2, 42)
