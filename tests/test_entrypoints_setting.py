"""ASR_FLYWHEEL_ENTRYPOINTS: programs of another folder run in the place of this project's own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tasks.common import atomic_files
from tasks.common.errors import InputError
from tasks.data.cycle_folder import open_cycle
from tasks.models import catalog, nemo_archive
from tasks.runtimes import container
from tasks.runtimes.base import (
    ENTRY,
    ENTRY_PROGRAMS,
    ENTRYPOINTS_VARIABLE,
    OWN_CONFIG,
    OWN_SCRIPT,
    Job,
    entrypoints,
)
from tasks.runtimes.container import ContainerRuntime
from tasks.runtimes.container_settings import ContainerSettings
from tasks.runtimes.hardware import Hardware
from tasks.runtimes.images import Held
from tasks.runtimes.local import LocalRuntime
from tasks.stages import evaluate
from tasks.training.recipes import recipe
from tests import trainings
from tests.support import stub_programs

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.training.run import SftResult

CPU = Hardware((), 2)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another folder of programs, which the variable names."""
    folder = stub_programs.own_programs(tmp_path / "programs", transcribe="print('mine')")
    monkeypatch.setenv(ENTRYPOINTS_VARIABLE, str(folder))
    return folder


def test_without_the_variable_nothing_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs are this project's, and the identity, a part of a run's key, names no others."""
    monkeypatch.delenv(ENTRYPOINTS_VARIABLE, raising=False)
    runtime = LocalRuntime(CPU)
    assert runtime.programs == entrypoints() == ENTRY
    assert len(runtime.identity.split()) == 2
    assert runtime.script.path == str(OWN_SCRIPT)
    said: list[str] = []
    runtime.check(said.append)
    assert said == []


@pytest.mark.parametrize("lacking", [*ENTRY_PROGRAMS])
def test_a_folder_that_lacks_a_program_is_refused(programs: Path, lacking: str) -> None:
    """Before anything is started, by both runtimes; the message names what is missing."""
    (programs / lacking).unlink()
    for make in (LocalRuntime, lambda host: ContainerRuntime(ContainerSettings(), host)):
        with pytest.raises(InputError) as refused:
            make(CPU)
        assert f"{ENTRYPOINTS_VARIABLE}: {programs}: lacks {lacking}. Fix:" in str(refused.value)
    stub_programs.own_programs(programs.parent / "whole")
    (programs / lacking).write_bytes((programs.parent / "whole" / lacking).read_bytes())
    assert LocalRuntime(CPU).programs == programs  # the fix is right


def test_a_missing_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lacks every program."""
    monkeypatch.setenv(ENTRYPOINTS_VARIABLE, str(tmp_path / "none"))
    with pytest.raises(InputError, match=r"none: lacks launch_training\.py, transcribe\.py, "):
        LocalRuntime(CPU)


def test_the_local_runtime_runs_them_and_says_so(programs: Path, tmp_path: Path) -> None:
    """Program, fine-tuning script and YAML are those of the folder."""
    runtime = LocalRuntime(CPU)
    assert runtime.script.path == str(programs / OWN_SCRIPT.name)
    assert runtime.script.config == str(programs / OWN_CONFIG)
    seen: list[str] = []
    job = Job("transcription", "transcribe.py", {}, tmp_path / "work", (), {})
    assert runtime.execute(job, seen.append, lambda: None).exit_code == 0
    assert seen == ["mine"]
    said: list[str] = []
    runtime.check(said.append)
    assert any(str(programs) in line for line in said)


def test_a_model_of_other_programs_is_never_taken_for_ours(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runtime's identity, which run keys and kept hypotheses hold, follows their content."""
    other = LocalRuntime(CPU).identity
    (programs / "transcribe.py").write_text("print('changed')")
    changed = LocalRuntime(CPU).identity
    monkeypatch.delenv(ENTRYPOINTS_VARIABLE)
    assert len({other, changed, LocalRuntime(CPU).identity}) == 3


def test_a_container_sees_them(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its programs, the script's content and the identity are the folder's."""
    runtime = ContainerRuntime(ContainerSettings(), CPU)
    assert runtime.programs == programs
    held = Held("2.6.0", "2.9.0", "13.0", "3.12.3", "/opt/NeMo/nemo", asr=True, examples="")
    monkeypatch.setattr(container, "_PROBED", {runtime._key: held})
    assert "entrypoints " in runtime.identity
    monkeypatch.delenv(ENTRYPOINTS_VARIABLE)
    own = ContainerRuntime(ContainerSettings(), CPU)
    assert own.programs == ENTRY
    assert own._key != runtime._key


# The stub of the tests, against the real programs.


def shape(result: SftResult) -> dict[str, Any]:
    """What a training leaves, by names and types alone."""
    info = atomic_files.read_json(result.info)
    events: dict[str, dict[str, str]] = {}
    for event in result.events.read():
        events.setdefault(event["event"], {name: type(event[name]).__name__ for name in event})
    archive = nemo_archive.open_archive(result.model)
    return {
        "files": sorted(path.name for path in result.model.parent.iterdir()),
        "runs": len(list(result.model.parent.parent.iterdir())),
        "events": {name: {**kinds, "cuda_graphs": ""} for name, kinds in events.items()},
        "order": list(events),
        "info": sorted(info),
        "runtime": sorted(info["runtime"]),
        "epochs": len(result.epochs),
        "decoder": archive.decoder,
        "tokenizer": archive.tokenizer_model,
    }


def hypotheses(cycle: Path, model: Path) -> tuple[list[list[str]], list[str]]:
    """The names of each hypothesis' fields, and what was reported, without its figures."""
    said: list[str] = []
    out = cycle.parent / "hyps.jsonl"
    evaluate.transcribe_baseline(open_cycle(cycle), str(model), out, (), said.append)
    rows = [sorted(row) for row in atomic_files.read_jsonl(out)]
    return rows, [line.split()[-1] for line in said if "real time" in line]


def test_the_stub_leaves_what_the_real_programs_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real training and a real decoding, and the stub's: events, files, record, hypotheses."""
    base = catalog.resolve("embedded")
    quick = recipe("verified").model_copy(update={"epochs": 1})
    found: dict[str, Any] = {}
    for name, programs in (("real", ENTRY), ("stub", stub_programs.STUB)):
        monkeypatch.setenv(ENTRYPOINTS_VARIABLE, str(programs))
        cycle = trainings.make_cycle(tmp_path / name)
        result = trainings.tune(cycle, base, quick)
        found[name] = shape(result), hypotheses(cycle, result.model)
    for stub, real in zip(found["stub"], found["real"], strict=True):
        assert stub == real


def test_the_stubs_yaml_and_probe_are_the_real_ones() -> None:
    """The keys that the recipe overrides, and the fields of an image's answer."""
    assert (stub_programs.STUB / OWN_CONFIG).read_bytes() == (ENTRY / OWN_CONFIG).read_bytes()
    keys = []
    for folder in (ENTRY, stub_programs.STUB):
        line = [sys.executable, str(folder / "image_probe.py"), "/none"]
        said = subprocess.run(line, capture_output=True, text=True, check=True).stdout
        keys.append(list(json.loads(said.partition(": ")[2])))
    assert keys[0] == keys[1]


def test_the_stub_needs_no_torch() -> None:
    """It would cost what the stub is there to save."""
    program = "import sys, launch_training, transcribe; sys.exit('torch' in sys.modules)"
    path = str(stub_programs.STUB)
    subprocess.run([sys.executable, "-c", program], check=True, env={"PYTHONPATH": path})
