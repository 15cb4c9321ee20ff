"""The command purge: nothing without a typed confirmation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from asr_flywheel import cli
from tasks.common.errors import InputError
from tests.support import corpora, factories, purge_cases

if TYPE_CHECKING:
    from pathlib import Path

QUIET = ("--no-server", "--no-stores")


def purge(cycle: Path, *options: str, typed: str | None = None) -> str:
    """What the command prints."""
    asked = ["purge", str(cycle), "--recording", "audio/0.wav", *QUIET, *options]
    done = CliRunner().invoke(cli.app, asked, input=typed)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def test_a_dry_run_lists_all_and_changes_nothing(tmp_path: Path) -> None:
    """Also as JSON, for programs."""
    cycle = purge_cases.make_clinic(tmp_path)
    before = factories.snapshot(cycle)
    listed = purge(cycle)
    assert "remove " in listed
    assert "Nothing was changed." in listed
    plan = json.loads(purge(cycle, "--json"))
    assert plan["rows"] == 1
    assert {"manifest.jsonl", "offline_hyps.jsonl", "training.log", "0.wav"} <= {
        file["path"].rpartition("/")[2] for file in plan["files"]
    }
    assert factories.snapshot(cycle) == before


def test_the_listing_says_where_it_looks_and_what_is_the_users_to_remove(tmp_path: Path) -> None:
    """Sources by their paths, and what beside the cycles was not searched."""
    for number in range(2):
        corpora.write(tmp_path / f"october/DICT_{number}.wav", corpora.speech(1.0, seed=number))
        (tmp_path / f"october/DICT_{number}.txt").write_text(f"what was said in {number}")
    cycle = tmp_path / "cycle1"
    corpora.run(tmp_path / "october", cycle)
    purge_cases.make_clinic(tmp_path / "clinicB")
    asked = ["purge", str(cycle), "--recording", "DICT_1.wav", *QUIET, "--confirm", "DICT_1.wav"]
    done = CliRunner().invoke(cli.app, asked)
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    for source in (tmp_path / "october/DICT_1.wav", tmp_path / "october"):
        said = f"source   {source}: an import read it; it is not touched, yours to remove"
        assert said in lines
    assert not [line for line in lines if line.startswith("remove") and "october" in line]
    assert f"theirs: {tmp_path / 'clinicB'}. Copies there? Name it with --folder." in done.output
    assert "searched: the cycles, labelled cycles" in done.output
    assert (tmp_path / "october/DICT_1.wav").is_file()


@pytest.mark.parametrize("typed", ["yes\n", "0.wav\n"])
def test_another_answer_purges_nothing(tmp_path: Path, typed: str) -> None:
    """What is to be typed is the recording as it was named."""
    cycle = purge_cases.make_clinic(tmp_path)
    before = factories.snapshot(cycle)
    with pytest.raises(InputError, match="nothing was purged"):
        purge(cycle, "--apply", typed=typed)
    with pytest.raises(InputError, match="write the same twice"):
        purge(cycle, "--confirm", typed.strip())
    assert factories.snapshot(cycle) == before


def test_the_typed_recording_is_purged(tmp_path: Path) -> None:
    """And the log names nobody's recording."""
    cycle = purge_cases.make_clinic(tmp_path)
    purge(cycle, "--apply", typed="audio/0.wav\n")
    assert purge_cases.read_rows(cycle / "manifest.jsonl")[0] == purge_cases.STAYS
    log = (tmp_path / "audit.jsonl").read_text()
    assert '"act": "purge"' in log
    assert "0.wav" not in log


def test_one_act_at_a_time(tmp_path: Path) -> None:
    """Two would leave it open which is meant."""
    cycle = purge_cases.make_clinic(tmp_path)
    with pytest.raises(InputError, match="name one of"):
        purge(cycle, "--expired")
