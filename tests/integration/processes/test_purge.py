"""A recording is purged from a finished clinic: a search finds nothing of it but its keyed hash.

The stub programs train and decode. Two recordings go: one that was trained on, and the worst of
the rows that judged, which stands in report, review page and leaderboard.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import soundfile
from typer.testing import CliRunner

from asr_flywheel import cli
from asr_flywheel.options import EXIT_BAD_INPUT
from flows.config import CycleConfig
from flows.preparation_tasks import prepare_run
from tasks.common import hashing
from tasks.common.errors import InputError
from tasks.data import audio_probe
from tasks.data.audio_probe import AudioFacts
from tasks.data.cycle_folder import open_cycle
from tasks.records import audit_log
from tests.support import factories, stub_programs

if TYPE_CHECKING:
    from pathlib import Path

DRUGS = ("metoprolol", "aspirin", "warfarin", "apixaban", "metformin", "heparin")
NAMES = ("ash", "birch", "cedar", "elm", "fir", "hazel", "larch", "maple", "oak", "pine", "rowan")
BASE = ("--base", "embedded", "--general", "none", "--priority", "drug")


@dataclass(frozen=True)
class Planted:
    """A recording and all that tells it."""

    audio: str
    text: str
    words: str
    samples: str
    file: str

    @property
    def needles(self) -> list[str]:
        """What must not be found afterwards."""
        return [self.audio.rpartition("/")[2], self.text, self.words, self.samples, self.file]


def make_clinic(folder: Path) -> None:
    """A cycle of 120 rows, each with words that no other row has, in a name that no other has."""
    cycle = folder / "cycle1"
    (cycle / "audio").mkdir(parents=True)
    draw = random.Random(1)  # noqa: S311 - repeatable, not secret
    rows: list[dict[str, Any]] = []
    for number in range(120):
        drug = draw.choice(DRUGS)
        who = f"{NAMES[number // 11]} {NAMES[number % 11]}"
        name = f"{who.replace(' ', '-')}-dictation.wav"
        factories.write_wav(cycle / "audio" / name, 2.5, seed=number)
        rows.append(
            {
                "audio_filepath": f"audio/{name}",
                "text": f"please give {drug} to {who} of ward nine",
                "duration": None,
                "term": drug,
                "entity_category": "drug",
                "voice_id": f"speaker-{number % 12}",
            }
        )
    factories.write_rows(cycle / "manifest.jsonl", rows)
    heard = [
        {**row, "ref": row["text"], "hyp": row["text"].replace(row["term"], "it")} for row in rows
    ]
    factories.write_rows(cycle / "per_sample.json", heard)


def command(folder: Path, *arguments: str, code: int = 0) -> str:
    """What the program prints, in this process and in a folder."""
    with contextlib.chdir(folder):
        done = CliRunner().invoke(cli.app, arguments)
    said, ended = done.output, done.exit_code
    if isinstance(done.exception, InputError):
        said, ended = f"{said}{done.exception}", EXIT_BAD_INPUT
    assert ended == code, (said, done.exception)
    return said


def planted(clinic: Path, audio: str) -> Planted:
    """All that tells a recording of the cycle."""
    path = clinic / "cycle1" / audio
    facts = audio_probe.probe(path)
    assert isinstance(facts, AudioFacts)
    lines = (clinic / "cycle1/manifest.jsonl").read_text().splitlines()
    text = next(row["text"] for row in map(json.loads, lines) if row["audio_filepath"] == audio)
    who = re.findall(r"to (.*) of", text)[0]
    return Planted(audio, text, who, facts.sha256, hashing.sha256_file(path))


def found_in(folder: Path, needle: str) -> list[str]:
    """Every file below a folder that holds a text, or whose name does."""
    hits = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file():
            continue
        if needle in name or needle.encode() in path.read_bytes():
            hits.append(name)
    return hits


def content(folder: Path) -> dict[str, bytes | str]:
    """All files but locks."""
    return {
        name: value
        for name, value in factories.snapshot(folder).items()
        if not name.endswith(".lock")
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clinic with all that this tool leaves: run, report, review, label, hand-off, sheet, log."""
    clinic = tmp_path_factory.mktemp("ward")
    make_clinic(clinic)
    store = ("--store", str(clinic.with_name("kept")))
    asked = ("run", "cycle1", *BASE, "--epochs", "2", "--boost", "auto", *store)
    ended = stub_programs.run_command(clinic, *asked)
    assert ended.returncode == 0, ended.stderr
    command(clinic, "report", "cycle2", "--review")
    (clinic / "terms.csv").write_text("term,entity_category\n" + ",drug\n".join((*DRUGS, "")))
    command(clinic, "label", "cycle1", "--terms", "terms.csv")
    command(clinic, "handoff", "cycle1", "--even-if-not-kept")
    command(clinic, "export", "cycle1", "exported", "--format", "kaldi")
    return clinic


@pytest.fixture
def clinic(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, with links as they are."""
    copy = tmp_path / finished.name
    shutil.copytree(finished, copy)
    record = copy / "cycle2/run.json"
    record.write_text(record.read_text().replace(str(finished), str(copy)))
    shutil.copytree(finished.with_name("kept"), tmp_path / "kept")
    # A copied tree has no hard links any more; `label` makes them.
    for path in (copy / "labelled/cycle1").rglob("*.wav"):
        same = copy / "cycle1/audio" / path.name
        if same.is_file():
            path.unlink()
            os.link(same, path)
    return copy


def worst_row(clinic: Path) -> str:
    """The first row of the review page, which judged."""
    page = (clinic / "cycle2/review_cycle2.html").read_text(encoding="utf-8")
    return str(re.findall(r'data-audio="(.*?)"', page)[0])


def trained_row(clinic: Path) -> str:
    """The first row that was trained on."""
    line = (clinic / "cycle1/train.jsonl").read_text().splitlines()[0]
    return f"audio/{json.loads(line)['audio_filepath'].rpartition('/')[2]}"


def add_traces(clinic: Path, recording: Planted) -> None:
    """Add what other programs and people leave: a review, a sheet, logs, a copy, a killed run."""
    marks = [{"audio_filepath": recording.audio, "text": recording.text, "mark": "fine"}]
    review = {"schema": "asr-flywheel-review/1", "rows": [{**marks[0], "audio_sha256": None}]}
    (clinic / "cycle1/review_cycle2.json").write_text(json.dumps(review))
    sheet = clinic / "sheet"
    (sheet / ".transcripts/m").mkdir(parents=True)
    factories.write_rows(
        sheet / ".transcripts/m/a.jsonl",
        [{"audio_sha256": recording.samples, "hyp": f"pleas giv it to {recording.words}"}],
    )
    with (sheet / "sheet.csv").open("w", newline="") as out:
        table = csv.writer(out)
        table.writerow(["rank", "audio_filepath", "checked", "text", "hypothesis"])
        table.writerow([1, str(clinic / "cycle1" / recording.audio), "x", recording.text, ""])
        table.writerow([2, "/elsewhere/other.wav", "", "another text, in two\nlines", ""])
    (run,) = (clinic / "cycle1/models").glob("*/training.log")
    run.write_text(
        "epoch 1\n"
        f"[NeMo I] reference : {recording.text.upper()}\n"
        f"[NeMo I] predicted : {recording.text[:40]}\n"
        "epoch 2\n"
    )
    work = clinic / "cycle1/models/.killed.work"
    work.mkdir()
    for part in ("train", "validation"):
        shutil.copy(clinic / f"cycle1/{part}.jsonl", work)
    (work / "checkpoint.ckpt").write_bytes(b"weights")
    # A run was killed while its container had the files of a job.
    lent = clinic / "cycle1/.container-killed.work/out"
    shutil.copytree(work, lent)
    link = clinic / "cycle1/models/.lent.work"
    link.unlink(missing_ok=True)
    link.symlink_to(lent)
    # The same samples in another file, in a later cycle that has a row of the same path as well.
    later = clinic / "cycle5"
    (later / "audio").mkdir(parents=True)
    samples, rate = soundfile.read(clinic / "cycle1" / recording.audio, dtype="int16")
    soundfile.write(later / "audio/again.flac", samples, rate)
    factories.write_wav(later / recording.audio, 1.0, seed=999)
    factories.write_rows(
        later / "manifest.jsonl",
        [
            {"audio_filepath": "audio/again.flac", "text": recording.text},
            {"audio_filepath": recording.audio, "text": "a row of somebody else stays as it is"},
        ],
    )
    parity = {"differences": [{"audio_filepath": recording.audio, "offline": recording.text}]}
    (clinic / "cycle2/serving_parity.json").write_text(json.dumps({**parity, "verdict": "equal"}))


def test_nothing_of_purged_recordings_is_left_but_keyed_hashes(clinic: Path) -> None:
    """Text, name, words, samples' hash and file's hash are in no file of clinic or store."""
    for audio in (worst_row(clinic), trained_row(clinic)):
        recording = planted(clinic, audio)
        shutil.rmtree(clinic / "cycle5", ignore_errors=True)
        shutil.rmtree(clinic / "sheet", ignore_errors=True)
        add_traces(clinic, recording)
        kept = str(clinic.with_name("kept"))
        before = content(clinic)
        asked = ("purge", "cycle1", "--recording", audio, "--store", kept, "--no-server")
        listed = command(clinic, *asked)
        assert "Nothing was changed." in listed
        assert content(clinic) == before
        for needle in recording.needles:
            assert found_in(clinic.parent, needle), needle
        assert found_in(clinic.with_name("kept"), recording.text)
        parts = ("labelled/cycle1", "cycle5/audio/again.flac", "review_cycle2")
        for part in (*parts, "/.killed.work", ".container-killed.work"):
            assert part in listed, part
        command(clinic, *asked, "--confirm", audio)
        for needle in recording.needles[1:]:
            assert found_in(clinic, needle) == [], needle
            assert found_in(clinic.with_name("kept"), needle) == [], needle
        # The later cycle's other row has the same path, and stays.
        name = recording.needles[0]
        assert found_in(clinic, name) == [f"cycle5/{audio}", "cycle5/manifest.jsonl"]
        assert found_in(clinic.with_name("kept"), name) == []
        stays = (clinic / "cycle5/manifest.jsonl").read_text()
        assert "a row of somebody else stays as it is" in stays
        assert len(stays.splitlines()) == 1
        assert "another text, in two\nlines" in (clinic / "sheet/sheet.csv").read_text()
        assert "epoch 2" in next((clinic / "cycle1/models").glob("*/training.log")).read_text()
    acts = [line["act"] for line in audit_log.read_lines(clinic)]
    before_purge = ["run", "store-upload", "run", "label", "hand-off", "export"]
    assert acts == [*before_purge, "purge", "purge"]
    assert "unbroken" in command(clinic, "audit", ".", "verify")
    (keyed,) = audit_log.read_lines(clinic)[-1]["ids"]["keyed_sha256"]
    assert found_in(clinic, keyed), "the model's list and the log have the keyed hash"
    assert (clinic / ".asr-flywheel-purge.key").stat().st_mode & 0o777 == 0o600


def test_what_stays_is_marked_and_a_model_refused_until_it_is_accepted(clinic: Path) -> None:
    """Base, hand-off, report, leaderboard and history; the figures are what they were."""
    audio = trained_row(clinic)
    before = json.loads((clinic / "cycle2/decision.json").read_text())
    quiet = ("--no-server", "--no-stores")
    command(clinic, "purge", "cycle1", "--recording", audio, "--confirm", audio, *quiet)
    (model,) = (clinic / "cycle1/models").glob("*/adapted_model.nemo")
    refused = "was trained on 1 recording that was purged since"
    handoff = ("handoff", "cycle1", "--even-if-not-kept")
    assert refused in command(clinic, *handoff, code=2)
    assert refused in command(clinic, "handoff", "--verify", "cycle2/handoff", code=2)
    config = CycleConfig(cycle=clinic / "cycle1", base=str(model))
    with pytest.raises(InputError, match=refused):
        prepare_run(config, open_cycle(config.cycle))
    assert "1 recording of this run's cycle was purged" in command(clinic, "history", ".")
    command(clinic, "report", "cycle2")
    for name in ("report_cycle2.html", "leaderboard_cycle2.md"):
        assert "can no longer be recomputed" in (clinic / "cycle2" / name).read_text()
    after = json.loads((clinic / "cycle2/decision.json").read_text())
    assert after.pop("purged")["recordings"] == 1
    assert after["by"] == before["by"]
    command(clinic, "purge", "cycle1", "--accept", str(model))
    command(clinic, *handoff)
    command(clinic, "purge", "cycle1", "--forget-key", "--confirm", ".asr-flywheel-purge.key")
    assert not (clinic / ".asr-flywheel-purge.key").exists()
    assert "unbroken" in command(clinic, "audit", "cycle1", "verify")


def test_a_list_of_recordings_goes_from_all_files_at_once(clinic: Path) -> None:
    """Also from a run that was kept in `kept/`; what is left can be read, reported and verified."""
    recordings = [planted(clinic, audio(clinic)) for audio in (worst_row, trained_row)]
    add_traces(clinic, recordings[0])
    shutil.copytree(clinic / "cycle2", clinic / "cycle2/kept/older/cycle2")
    listed = clinic / "withdrawn.txt"
    # The other cycle has a row of the first one's path.
    listed.write_text(f"cycle1/{recordings[0].audio}\n{recordings[1].samples}\n")
    where = ("--no-server", "--store", str(clinic.with_name("kept")))
    asked = ("purge", ".", "--recordings", listed.name, *where, "--json")
    plan = json.loads(command(clinic, *asked))
    assert [line["kind"] for line in plan["listed"]] == ["recording", "recording"]
    command(clinic, *asked, "--confirm", plan["confirm"])
    listed.unlink()
    for recording in recordings:
        for needle in recording.needles[1:]:
            assert found_in(clinic, needle) == [], needle
            assert found_in(clinic.with_name("kept"), needle) == [], needle
    (line,) = (line for line in audit_log.read_lines(clinic) if line["act"] == "purge")
    assert len(line["ids"]["keyed_sha256"]) == 2
    assert "2 recordings of this run's cycle were purged" in command(clinic, "history", ".")
    command(clinic, "report", "cycle2")
    assert "118 of 118 rows missed" in command(clinic, "gate", "cycle1", "--base", "embedded")
    assert "n  118" in command(clinic, "score", "cycle2/offline_hyps.jsonl")
    handoff = "cycle2/handoff/handoff.json"
    refused = command(clinic, "handoff", "--verify", "cycle2/handoff", code=2)
    assert f"asr-flywheel purge CYCLE --accept {handoff}" in refused
    command(clinic, "purge", "cycle1", "--accept", handoff)
    command(clinic, "handoff", "--verify", "cycle2/handoff")
