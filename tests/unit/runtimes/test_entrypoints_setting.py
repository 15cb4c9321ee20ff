"""ASR_FLYWHEEL_ENTRYPOINTS: programs of another folder run in the place of this project's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tasks.common.errors import InputError
from tasks.runtimes import container
from tasks.runtimes.base import (
    ENTRY,
    ENTRY_PROGRAMS,
    ENTRYPOINTS_VARIABLE,
    OWN_SCRIPT,
    entrypoints,
)
from tasks.runtimes.container import ContainerRuntime
from tasks.runtimes.container_settings import ContainerSettings
from tasks.runtimes.images import Held
from tasks.runtimes.local import LocalRuntime
from tests.support import stub_programs
from tests.support.hosts import CPU

if TYPE_CHECKING:
    from pathlib import Path


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
