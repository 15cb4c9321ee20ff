"""Each command checks what is cheap and here before it asks a network, an engine or a server."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, NoReturn

import pytest

from asr_flywheel import cli
from flows.config import CycleConfig
from flows.preparation_tasks import prepare_run
from tasks.common.errors import InputError
from tasks.data.cycle_folder import open_cycle
from tasks.models import hub_cache
from tests.support import factories

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BASE = "nvidia/parakeet-ctc-0.6b"
OWN_MANIFEST = {
    "gate": ("gate", "cycle1"),
    "preflight": ("preflight", "cycle1"),
    "split": ("split", "cycle1"),
    "split again": ("split", "cycle1", "--again"),
    "transcribe": ("transcribe", "cycle1", "--model", BASE),
    "transcribe in a container": (
        *("transcribe", "cycle1", "--model", BASE),
        *("--runtime", "container"),
    ),
    "transcribe in shards": ("transcribe", "cycle1", "--model", BASE, "--shards", "2"),
    "boost": ("boost", "cycle1", "--base", BASE),
    "run": ("run", "cycle1", "--base", BASE),
    "run in a container": ("run", "cycle1", "--base", BASE, "--runtime", "container"),
    "rent": ("rent", "cycle1", "--base", BASE, "--provider", "ssh", "--host", "nobody@nowhere"),
    "label": ("label", "cycle1", "--terms", "terms.csv"),
    "export": ("export", "cycle1", "out", "--format", "csv"),
    "validate-serving": ("validate-serving", "cycle1", "--endpoint", "nowhere:50051"),
    "validate-serving of a model": (
        *("validate-serving", "cycle1", "--endpoint", "nowhere:50051"),
        *("--model", BASE),
    ),
}
"""Commands that read a cycle's manifest, by a name for the case."""
STARTS_A_SERVER = {"run", "run in a container"}
"""Without a manifest the gate says where to go, and the gate of a run is a task on a server."""


class AskedError(AssertionError):
    """What a command asked too early."""


@pytest.fixture
def answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str]]:
    """Run a command where no base can be had, and whoever asks for one fails the test."""

    def asked(*_: object, **__: object) -> NoReturn:
        raise AskedError

    for place in (
        "tasks.models.hub_cache.resolve",
        "tasks.runtimes.local.LocalRuntime.check",
        "tasks.runtimes.container.ContainerRuntime.check",
        "asr_flywheel.run_server.server_answers",
        "asr_flywheel.commands.run.server_answers",
        "asr_flywheel.commands.rent.server_answers",
        "flows.rental.remote_run.require_server",
        "flows.transcribe_shards.check",
    ):
        monkeypatch.setattr(place, asked)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub_cache, "find_cached", lambda *_: None)
    (tmp_path / "clinic/cycle1").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "clinic")
    (tmp_path / "clinic/terms.csv").write_text("term,entity_category\naspirin,drug\n")

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["asr-flywheel", *arguments])
        code: object = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code or 0
        printed = capsys.readouterr()
        return int(str(code)), printed.out + printed.err

    return call


def plant(fault: str, path: Path) -> None:
    """Put a faulty manifest at a path, or none."""
    if fault == "empty":
        path.write_text("")
    elif fault == "blank":
        path.write_text("\n \n")
    elif fault == "folder":
        path.mkdir()


@pytest.mark.parametrize(
    ("case", "fault"),
    [
        (case, fault)
        for case in OWN_MANIFEST
        for fault in ("missing", "empty", "blank", "folder")
        if fault != "missing" or case not in STARTS_A_SERVER
    ],
)
def test_a_faulty_manifest_is_named_before_anybody_is_asked(
    answer: Callable[..., tuple[int, str]], tmp_path: Path, case: str, fault: str
) -> None:
    """With a fix, whatever base, engine or endpoint was to be asked next."""
    manifest = tmp_path / "clinic/cycle1/manifest.jsonl"
    plant(fault, manifest)
    code, told = answer(*OWN_MANIFEST[case])
    if fault == "missing" and case == "gate":
        assert code == 3
        assert "There is no manifest" in told
        return
    assert code == 2, told
    assert str(manifest) in told
    assert "Fix: " in told


@pytest.mark.parametrize("case", ["preflight", "split", "transcribe", "boost"])
def test_a_faulty_row_is_named_before_a_base_is_downloaded(
    answer: Callable[..., tuple[int, str]], tmp_path: Path, case: str
) -> None:
    """Also one whose recording is not there."""
    row = {"audio_filepath": "audio/none.wav", "text": "take aspirin", "duration": 1.0}
    manifest = tmp_path / "clinic/cycle1/manifest.jsonl"
    factories.write_rows(manifest, [row])
    code, told = answer(*OWN_MANIFEST[case])
    assert code == 2, told
    assert f"{manifest}: 1 error" in told
    assert "audio/none.wav" in told


@pytest.mark.parametrize("named", ["general.jsonl", "phrases.txt"])
def test_other_lists_are_read_before_a_base_is_downloaded(
    answer: Callable[..., tuple[int, str]], tmp_path: Path, named: str
) -> None:
    """A manifest of general English, and a list of phrases."""
    factories.make_cycle(tmp_path / "other").rename(tmp_path / "clinic/cycle2")
    option = "--general" if named == "general.jsonl" else "--phrases"
    code, told = answer("boost", "cycle2", "--base", BASE, option, named)
    assert code == 2, told
    assert named in told
    assert "Fix: " in told


@pytest.mark.parametrize(
    ("command", "named"),
    [
        (("import", "none.csv", "cycle2", "--cut", "--cut-base", BASE), "none.csv"),
        (("import", "terms.csv", "cycle", "--cut", "--cut-base", BASE), "cycle: "),
        (("sheet", "none", "out", "--base", BASE), "none"),
        (("sheet", "cycle1", "out", "--base", BASE, "--terms", "none.csv"), "none.csv"),
        (("track", "cycle7", "--to", "http://nowhere"), "cycle7"),
        (("split", "cycle1/manifest.jsonl"), "cycle1"),
    ],
    ids=["import", "import into", "sheet", "sheet of terms", "track", "split of a file"],
)
def test_what_is_not_there_is_named_before_anybody_is_asked(
    answer: Callable[..., tuple[int, str]], tmp_path: Path, command: tuple[str, ...], named: str
) -> None:
    """A corpus, a folder of recordings, a table, a cycle."""
    assert tmp_path
    if command[0] == "split":
        plant("empty", tmp_path / "clinic/cycle1/manifest.jsonl")
    code, told = answer(*command)
    assert code == 2, told
    assert named in told


@pytest.mark.usefixtures("answer")
@pytest.mark.parametrize("fault", ["manifest.jsonl", "general.jsonl", "cycle2"])
def test_a_run_reads_its_lists_before_a_base_is_downloaded(tmp_path: Path, fault: str) -> None:
    """The cycle's manifest and that of general English; and that its results have a place."""
    cycle = factories.make_cycle(tmp_path / "ward")
    general = tmp_path / "ward/general.jsonl"
    if fault == "manifest.jsonl":
        row = {"audio_filepath": "audio/none.wav", "text": "take aspirin", "duration": 1.0}
        factories.write_rows(cycle / fault, [row])
    elif fault == "cycle2":
        (tmp_path / "ward/cycle2").write_text("")
    if fault != "general.jsonl":
        factories.make_general(general.parent / "general", 3).rename(general)
    config = CycleConfig(cycle=cycle, base=BASE, general=general)
    with pytest.raises(InputError, match=re.escape(fault)):
        prepare_run(config, open_cycle(cycle))


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("transcribe", "cycle1", "--model", BASE), "--model"),
        (("preflight", "cycle1", "--base", BASE), "--base"),
    ],
)
def test_a_base_that_cannot_be_had_is_to_be_named_by_the_commands_own_option(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: tuple[str, ...],
    option: str,
) -> None:
    """What one command calls --base, another calls --model."""

    def offline(*_: object, **__: object) -> NoReturn:
        raise OSError

    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    monkeypatch.setattr(hub_cache, "find_cached", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    factories.make_cycle(tmp_path)
    monkeypatch.setattr(sys, "argv", ["asr-flywheel", *arguments])
    with pytest.raises(SystemExit):
        cli.main()
    assert f"the path of the .nemo with {option}." in capsys.readouterr().err
