"""Which runs have one container for all programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tasks.runtimes import program_server
from tasks.runtimes.base import ENTRY
from tasks.runtimes.container import ContainerRuntime
from tasks.runtimes.container_settings import ContainerSettings
from tasks.runtimes.container_sharing import reason_to_separate, restore_all
from tasks.runtimes.hardware import Gpu, Hardware

if TYPE_CHECKING:
    from pathlib import Path

ONE, TWO = (Hardware((Gpu("A", uuid="GPU-a"), Gpu("B", uuid="GPU-b"))[:n], 8) for n in (1, 2))
NONE = Hardware((), 8)


def reason(gpus: str, host: Hardware, *, trust: bool = False, programs: Path = ENTRY) -> str:
    """Why programs have a container each."""
    runtime = ContainerRuntime(ContainerSettings(gpus=gpus), host, trust, programs=programs)
    return reason_to_separate(gpus, host, runtime.hardware, programs, trust=trust)


@pytest.mark.parametrize(
    ("gpus", "host", "several"),
    [
        ("auto", NONE, False),
        ("auto", ONE, False),
        ("auto", TWO, True),
        ("none", TWO, False),
        ("1", TWO, False),
        ("0,1", TWO, True),
        ("count=1", TWO, False),
        ("count=2", TWO, True),
        ("all", ONE, False),
        # The host lists none, and the engine has some all the same.
        ("all", NONE, True),
        ("0", NONE, False),
        ("0,1", NONE, True),
        ("count=2", NONE, True),
        ("count=1", NONE, False),
    ],
)
def test_several_gpus_have_a_container_for_each_program(
    gpus: str, host: Hardware, *, several: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each program then becomes a process for each GPU."""
    monkeypatch.delenv(program_server.SEPARATE_VARIABLE, raising=False)
    assert ("several GPUs" in reason(gpus, host)) is several
    assert bool(reason(gpus, host)) is several


def test_links_to_what_a_purge_removed_are_removed(tmp_path: Path) -> None:
    """A training could not make its work folder there; what leads to a folder stays."""
    models, elsewhere = tmp_path / "models", tmp_path / "elsewhere"
    models.mkdir()
    elsewhere.mkdir()
    (models / ".gone.work").symlink_to(tmp_path / ".container-x.work" / "out")
    (models / ".kept.work").symlink_to(elsewhere)
    (models / "run").mkdir()
    restore_all(None, tmp_path)
    assert sorted(one.name for one in models.iterdir()) == [".kept.work", "run"]


def test_so_have_trusted_models_other_programs_and_who_wants_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each reason is told by its name."""
    monkeypatch.delenv(program_server.SEPARATE_VARIABLE, raising=False)
    assert "--trust" in reason("auto", NONE, trust=True)
    assert f"{tmp_path} has no program_server.py" in reason("auto", NONE, programs=tmp_path)
    monkeypatch.setenv(program_server.SEPARATE_VARIABLE, "1")
    assert program_server.SEPARATE_VARIABLE in reason("auto", NONE)
