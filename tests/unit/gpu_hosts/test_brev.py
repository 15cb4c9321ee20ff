"""Renting at Brev, by a stand-in for its command line: what is asked, believed and counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flows.rental.plan import plan
from tasks.common import atomic_files
from tasks.common.errors import InputError
from tests.support import factories
from tests.support.brev_stub import Brev, keep_records_in, unreachable_hosts, worth_tuning

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place of the test's own for records of hosts that are out."""
    return keep_records_in(tmp_path, monkeypatch)


@pytest.fixture
def brev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Brev]:
    """The stand-in, with nothing out; no host gets ready, so nobody calls ssh or rsync."""
    with unreachable_hosts(tmp_path, monkeypatch) as stub:
        yield stub


@pytest.fixture
def worth(tmp_path: Path) -> Path:
    """A cycle that passes the gate."""
    return worth_tuning(tmp_path / "clinic" / "cycle1")


def test_an_absent_program_says_how_to_get_it(worth: Path, brev: Brev) -> None:
    """Before anybody is asked for a YES."""
    config = brev.config(worth, host={"program": "no-such-brev"})
    with pytest.raises(InputError, match="install Brev's CLI"):
        plan(config)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("store", "/some/folder", "a folder of a host that is given back is lost"),
        ("stock_script", "script.py", "is a file of this machine"),
    ],
)
def test_what_makes_sense_only_here_is_refused_before_anybody_is_asked(
    brev: Brev, worth: Path, field: str, value: str, said: str
) -> None:
    """And nothing is called."""
    config = brev.config(
        worth, run={"cycle": worth, "base": "embedded", "general": "none", field: value}
    )
    with pytest.raises(InputError, match=said):
        plan(config)
    assert brev.calls == []


def test_a_cycle_that_the_gate_refuses_needs_no_host(brev: Brev, cycle: Path) -> None:
    """Ten rows without a baseline: the plan holds the refusal, and nobody is asked."""
    assert plan(brev.config(cycle)).gate.passed is False
    assert brev.calls == []


def test_general_sentences_that_training_hears_are_in_the_price(brev: Brev, cycle: Path) -> None:
    """As many a step as rows, whatever the epochs."""
    minutes = {
        recipe: plan(
            brev.config(
                cycle,
                run={"cycle": cycle, "base": "embedded", "recipe": recipe, "epochs": 5},
            )
        ).cost.minutes
        for recipe in ("upper-layers", "distilled")
    }
    assert minutes["distilled"] > minutes["upper-layers"]


def test_a_variable_that_is_not_set_is_told_before_anybody_is_asked(
    brev: Brev, worth: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its name; its value, where it has one, is told nobody."""
    monkeypatch.delenv("HF_TOKEN", raising=False)
    config = brev.config(worth, pass_on=["PATH", "HF_TOKEN"])
    with pytest.raises(InputError, match="pass_on: HF_TOKEN is not set here"):
        plan(config)
    monkeypatch.setenv("HF_TOKEN", "planted")
    assert "planted" not in repr(plan(config))
    assert brev.calls == []


@pytest.mark.parametrize("base", ["embedded", "nvidia/parakeet-tdt-0.6b-v2"])
@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("absent", "english.jsonl"),
        ("no audio", "english.jsonl"),
        ("small", "fewer than 20"),
    ],
)
def test_general_english_that_cannot_be_used_is_told_before_anybody_is_asked(
    brev: Brev, worth: Path, tmp_path: Path, base: str, broken: str, said: str
) -> None:
    """No manifest, no recordings, too few of them; with a base here, and one yet to be fetched."""
    general = tmp_path / "english" / "english.jsonl"
    general.parent.mkdir()
    row = {"audio_filepath": "1.wav", "text": "hello", "duration": None}
    if broken != "absent":
        factories.write_rows(general, [row])
    if broken == "small":
        factories.write_wav(general.parent / "1.wav", seed=4711)
    config = brev.config(worth, run={"cycle": worth, "base": base, "general": general})
    with pytest.raises(InputError, match=said):
        plan(config)
    assert brev.calls == []


def test_a_recording_that_cannot_be_sent_is_told_before_anybody_is_asked(
    brev: Brev, worth: Path
) -> None:
    """A manifest of another machine is understood here, but its paths lie in no folder of ours."""
    rows = atomic_files.read_jsonl(worth / "manifest.jsonl")
    rows[2]["audio_filepath"] = "/elsewhere/cycle1/audio/2.wav"
    factories.write_rows(worth / "manifest.jsonl", rows)
    config = brev.config(worth)
    with pytest.raises(InputError, match=r"row 3: '/elsewhere/cycle1/audio/2.wav' lies"):
        plan(config)
    assert brev.calls == []
