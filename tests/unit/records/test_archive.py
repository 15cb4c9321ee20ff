"""A run's files in the store and back: whole, checked, and invisible until the last is there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from asr_flywheel import cli
from tasks.records import archive
from tasks.records.store import LocalStore, StoreError
from tests.support.archive_cases import finished_cycle, keep, tree

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.data.cycle_folder import Cycle


@pytest.fixture
def cycle(tmp_path: Path) -> Cycle:
    """A cycle whose run is finished: audio, a model, and the next cycle's folder."""
    return finished_cycle(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """A folder."""
    return LocalStore(tmp_path / "store")


def test_everything_of_the_run_comes_back(cycle: Cycle, store: LocalStore, tmp_path: Path) -> None:
    """Manifest, audio, this run's model and results; no hidden file, no other model, no notes."""
    kept = keep(store, cycle)
    (run,) = archive.runs(store)
    assert (run.clinic, run.cycle, run.run, run.verdict) == ("my-clinic", 1, "run-1", "keep")
    assert kept.url.endswith("my-clinic/cycle1/run-1/MANIFEST.json")
    archive.fetch(store, run, tmp_path / "back")
    expected = {
        name: content
        for name, content in tree(cycle.path.parent).items()
        if "/." not in name and "older" not in name and "notes" not in name
    }
    assert tree(tmp_path / "back") == expected
    assert kept.files == len(expected)
    assert any(name.endswith(".wav") for name in expected)


def test_audio_can_be_left_out(cycle: Cycle, store: LocalStore) -> None:
    """For a clinic whose recordings must not leave the host."""
    keep(store, cycle, audio=False)
    (run,) = archive.runs(store)
    assert not any(name.endswith(".wav") for name in run.content)


def test_what_is_there_is_not_sent_again(cycle: Cycle, store: LocalStore) -> None:
    """As in a retry after the store was away."""
    first = keep(store, cycle)
    assert first.sent == first.files
    assert keep(store, cycle).sent == 0


def test_a_run_without_its_manifest_is_not_there(
    cycle: Cycle, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest comes last."""
    monkeypatch.setattr(LocalStore, "write", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        keep(store, cycle)
    assert list(store.keys("my-clinic/"))
    assert archive.runs(store) == []


def test_the_newest_run_comes_first(cycle: Cycle, store: LocalStore) -> None:
    """And a prefix narrows the list."""
    for run in ("b", "a", "c"):
        keep(store, cycle, run)
    path = store.root / "my-clinic" / "cycle1" / "a" / archive.MANIFEST
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "created": "2999-01-01T00:00:00Z"}))
    assert [run.run for run in archive.runs(store, "my-clinic/cycle1")] == ["a", "c", "b"]
    assert archive.runs(store, "my-clinic/cycle2") == []
    assert archive.runs(store, "my") == []


def test_a_damaged_file_is_told_and_the_run_stays_incomplete(
    cycle: Cycle, store: LocalStore, tmp_path: Path
) -> None:
    """run.json, the mark of a whole run, is not there."""
    keep(store, cycle)
    (run,) = archive.runs(store)
    (store.root / run.prefix / "cycle2" / "decision.json").write_text("{}")
    with pytest.raises(StoreError, match=r"decision\.json.*SHA-256"):
        archive.fetch(store, run, tmp_path / "back")
    assert not (tmp_path / "back" / "cycle2" / "run.json").exists()


def test_an_interrupted_fetch_goes_on_and_overwrites_nothing(
    cycle: Cycle, store: LocalStore, tmp_path: Path
) -> None:
    """Equal files stay; another content in their place stops it before anything is brought."""
    keep(store, cycle)
    (run,) = archive.runs(store)
    archive.fetch(store, run, tmp_path / "back")
    (tmp_path / "back" / "cycle2" / "run.json").unlink()
    archive.fetch(store, run, tmp_path / "back")
    (tmp_path / "back" / "cycle1" / "manifest.jsonl").write_text("mine")
    recording = min((tmp_path / "back" / "cycle1" / "audio").iterdir())
    recording.unlink()
    with pytest.raises(StoreError, match="with another content"):
        archive.fetch(store, run, tmp_path / "back")
    assert (tmp_path / "back" / "cycle1" / "manifest.jsonl").read_text() == "mine"
    assert not recording.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"files": {"../outside": {"sha256": "0" * 64, "bytes": 1}}},
        {"files": {"/etc/passwd": {"sha256": "0" * 64, "bytes": 1}}},
        {"files": {"a\\..\\b": {"sha256": "0" * 64, "bytes": 1}}},
        {"files": []},
        {"format": 2},
        {"run": "another"},
        {"cycle": "one"},
    ],
)
def test_a_doctored_manifest_is_refused(
    cycle: Cycle, store: LocalStore, change: dict[str, Any]
) -> None:
    """Nothing may be written outside of the folder that was asked for."""
    keep(store, cycle)
    path = store.root / "my-clinic" / "cycle1" / "run-1" / archive.MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(StoreError, match="MANIFEST"):
        archive.runs(store)


def test_a_relative_folder_is_the_shells_own(
    cycle: Cycle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`runs` and `fetch` find a store beside the caller; a mistyped block is none."""
    keep(LocalStore(tmp_path / "store"), cycle)
    monkeypatch.chdir(tmp_path)
    listed = CliRunner().invoke(cli.app, ["runs", "store", "--json"])
    assert [run["run"] for run in json.loads(listed.stdout)] == ["run-1"]
    line = ["fetch", "store", "my-clinic/cycle1", "--dir", "back"]
    assert CliRunner().invoke(cli.app, line).exit_code == 0
    assert (tmp_path / "back" / "cycle2" / "run.json").is_file()
    refused = CliRunner().invoke(cli.app, ["runs", "s3-artefact-store/clinic"])
    assert refused.exit_code != 0
    assert "s3-artifact-store/NAME" in str(refused.exception)
