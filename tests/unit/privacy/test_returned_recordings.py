"""A purged recording that the next import brings back is told, with the command that purges it."""

from __future__ import annotations

import json
import shlex
import sys
from typing import TYPE_CHECKING

import pytest

from asr_flywheel import cli
from tasks.data import audio_probe
from tasks.privacy.keyed_hashes import forget_key, keyed_hash, make_key
from tasks.privacy.returned_recordings import describe_returned, find_returned
from tasks.records import audit_log
from tasks.records.audit_log import AuditedAct
from tests.support import corpora, factories

if TYPE_CHECKING:
    from pathlib import Path


def purged(clinic: Path, *recordings: str) -> None:
    """Write down that these recordings were purged, as a purge does."""
    key = make_key(clinic)
    hashes = [keyed_hash(key, one) for one in recordings]
    audit_log.record(clinic, AuditedAct.PURGE, "cycle1", what="voice", keyed_sha256=hashes)


def test_what_was_purged_is_known_by_the_key_alone(tmp_path: Path) -> None:
    """Also among labelled cycles, whose key lies above; without the key nobody can tell."""
    (tmp_path / "labelled").mkdir()
    assert find_returned(tmp_path, ["a" * 64]) == frozenset()
    purged(tmp_path, "a" * 64)
    for place in (tmp_path, tmp_path / "labelled"):
        assert find_returned(place, ["a" * 64, "b" * 64]) == {"a" * 64}
    forget_key(tmp_path)
    assert find_returned(tmp_path, ["a" * 64]) == frozenset()


def test_the_command_is_one_that_can_be_pasted(tmp_path: Path) -> None:
    """Five are shown; the first one's command stands there."""
    assert describe_returned(tmp_path, ()) == []
    names = [f"audio/dr no {number}.wav" for number in range(7)]
    (note,) = describe_returned(tmp_path / "ward 3/cycle2", names)
    assert note.startswith("purged from this clinic before, and here again: 7 recordings, ")
    command = note.split("`")[1]
    cycle = f"{tmp_path}/ward 3/cycle2"
    assert shlex.split(command)[1:] == ["purge", cycle, "--recording", "audio/dr no 0.wav"]


def test_combine_tells_what_came_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its name in the new cycle."""
    old, new = factories.make_cycle(tmp_path), factories.make_cycle(tmp_path / "new", 2)
    rows = (new / "manifest.jsonl").read_text().splitlines()
    (new / "manifest.jsonl").write_text(f"{rows[3]}\n{rows[4]}\n")
    for number in (3, 4):
        factories.write_wav(new / f"audio/{number}.wav", seed=100 + number)
    (facts,) = audio_probe.probe_all([new / "audio/4.wav"])
    assert isinstance(facts, audio_probe.AudioFacts)
    purged(tmp_path, facts.sha256)
    command = ["asr-flywheel", "combine", str(old), str(new), str(tmp_path / "cycle2")]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit):
        cli.main()
    told = capsys.readouterr().out
    assert "purged from this clinic before, and here again: 1 recording, audio/2/4.wav. Fix" in told


def test_import_tells_what_came_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its name in the cycle, also into a folder below; a command that purges it stands there."""
    for name in ("first", "second"):
        wav = corpora.write(tmp_path / f"source/{name}.wav", corpora.speech(1, seed=len(name)))
        wav.with_suffix(".txt").write_text(f"{name} sentence")
    facts = audio_probe.probe(tmp_path / "source/second.wav")
    assert isinstance(facts, audio_probe.AudioFacts)

    def told(cycle: str, *options: str) -> str:
        command = ["asr-flywheel", "import", str(tmp_path / "source"), str(tmp_path / cycle)]
        monkeypatch.setattr(sys, "argv", [*command, *options])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not ended.value.code
        return capsys.readouterr().out

    assert "purged" not in told("cycle1")
    purged(tmp_path, facts.sha256)
    for cycle in ("cycle2", "new/cycle2"):
        text = told(cycle)
        assert "and here again: 1 recording, audio/000/000002.flac. Fix" in text
        assert f"asr-flywheel purge {tmp_path / cycle} --recording audio/000/000002.flac" in text
    found = json.loads(told("cycle3", "--json"))
    assert found["returned"] == ["audio/000/000002.flac"]
    assert len(found["notes"]) == 1
