"""A purge does all of it or nothing, and touches nothing of anybody else."""

from __future__ import annotations

import gzip
import json
import os
from typing import TYPE_CHECKING

import pytest

from tasks.common import hashing
from tasks.common.errors import InputError
from tasks.data.cycle_folder import open_cycle
from tasks.data.cycle_lock import CycleBusyError, lock_cycle
from tasks.data.importers.import_settings import SCORE
from tasks.data.importers.set_apart import write_set_apart
from tasks.data.importers.staging import SET_APART
from tasks.models import purge_marks
from tasks.privacy import purge, purge_journal_file
from tasks.privacy.keyed_hashes import KEY_NAME, forget_key, keyed_hash, purged_before, read_key
from tasks.records import audit_log
from tasks.training import recording_roles
from tasks.training.recording_roles import RecordingRoles
from tests.support import factories, purge_cases

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.privacy.purge_plan import ChangeKind, FileChange


def quiet(_: str) -> None:
    """No report."""


def purge_it(cycle: Path, **asked: str) -> purge.PurgePlan:
    """Plan and do a purge."""
    request = purge_cases.request(cycle, **asked)
    with purge.locked(request):
        assert purge.resume(request, {}, quiet) is None
        plan = purge.plan_purge(request, {})
        assert purge.apply_purge(plan, {}, quiet) == []
    return plan


def test_rows_logs_and_sound_go_and_the_rest_stays_byte_for_byte(tmp_path: Path) -> None:
    """Other rows keep their bytes, other files their inode."""
    cycle = purge_cases.make_clinic(tmp_path)
    kept_line = (cycle / "manifest.jsonl").read_text().splitlines()[1]
    untouched = (cycle / "audio/1.wav").stat().st_ino
    purge_it(cycle, recording="audio/0.wav")
    assert purge_cases.read_rows(cycle / "manifest.jsonl")[0] == purge_cases.STAYS
    assert (cycle / "manifest.jsonl").read_text().splitlines()[0] == kept_line
    assert (cycle / "models/run/training.log").read_text() == "start\nend\n"
    assert not (cycle / "audio/0.wav").exists()
    assert (cycle / "audio/1.wav").stat().st_ino == untouched


def test_a_kill_at_any_change_is_finished_by_the_same_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each kill another command is refused; then the purge ends as if nothing had been."""
    whole = purge_cases.make_clinic(tmp_path / "whole")
    number = len(purge_it(whole, recording="audio/0.wav").ordered)
    expected = _without_key(factories.snapshot(whole.parent))
    swap_file = purge_journal_file.swap_file
    for kill_at in range(number):
        cycle = purge_cases.make_clinic(tmp_path / f"kill{kill_at}")
        done: list[Path] = []

        def killed(
            path: Path, kind: ChangeKind, done: list[Path] = done, at: int = kill_at
        ) -> None:
            if len(done) == at:
                raise KeyboardInterrupt
            done.append(path)
            swap_file(path, kind)

        monkeypatch.setattr(purge_journal_file, "swap_file", killed)
        with pytest.raises(KeyboardInterrupt):
            purge_it(cycle, recording="audio/0.wav")
        monkeypatch.setattr(purge_journal_file, "swap_file", swap_file)
        with (
            pytest.raises(InputError, match="a purge was interrupted"),
            lock_cycle(open_cycle(cycle)),
        ):
            pass
        other = purge_cases.request(cycle, recording="audio/1.wav")
        with pytest.raises(InputError, match=r"end it first: .* --recording audio/0\.wav"):
            purge.resume(other, {}, quiet)
        request = purge_cases.request(cycle, recording="audio/0.wav")
        with purge.locked(request):
            assert purge.resume(request, {}, quiet) == []
        assert _without_key(factories.snapshot(cycle.parent)) == expected


def _without_key(content: dict[str, bytes | str]) -> dict[str, bytes | str]:
    """A snapshot without what has a time or a key of its own."""
    own = {KEY_NAME, audit_log.NAME, audit_log.HEAD_NAME}
    return {name: value for name, value in content.items() if name not in own}


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), OSError(28, "No space left")])
def test_a_purge_that_ends_while_contents_are_written_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    """The new contents that were written already are taken back: at once, or by the next purge."""
    cycle = purge_cases.make_clinic(tmp_path)
    before = factories.snapshot(cycle)
    write_staged = purge_journal_file.write_staged
    written: list[FileChange] = []

    def broken(change: FileChange) -> None:
        if len(written) == 2:
            raise fault
        written.append(change)
        write_staged(change)

    monkeypatch.setattr(purge_journal_file, "write_staged", broken)
    with pytest.raises((KeyboardInterrupt, InputError)):
        purge_it(cycle, recording="audio/0.wav")
    request = purge_cases.request(cycle, recording="audio/0.wav")
    assert purge.resume(request, {}, quiet) is None
    assert factories.snapshot(cycle) == before


def test_a_run_at_work_refuses_the_purge(tmp_path: Path) -> None:
    """A purge under a run would leave the run with rows that are gone."""
    cycle = purge_cases.make_clinic(tmp_path)
    with (
        lock_cycle(open_cycle(cycle)),
        pytest.raises(CycleBusyError),
        purge.locked(purge_cases.request(cycle, recording="audio/0.wav")),
    ):
        pass


def test_a_voice_goes_from_every_cycle_with_its_name(tmp_path: Path) -> None:
    """All recordings of the voice go; where figures name it stands its keyed name."""
    cycle = purge_cases.make_clinic(tmp_path)
    later = tmp_path / "cycle3"
    (later / "audio").mkdir(parents=True)
    factories.write_wav(later / "audio/9.wav", 0.1, seed=9)
    row = {"audio_filepath": "audio/9.wav", "text": "words of cycle three", "voice_id": "doctor-0"}
    factories.write_rows(later / "manifest.jsonl", [row])
    figures = {"groups": [{"field": "voice_id", "value": "doctor-0", "ker": 0.5}]}
    (cycle / "decision.json").write_text(json.dumps(figures))
    plan = purge_it(cycle, voice="doctor-0")
    assert {row.written for row in plan.selection.rows} == {
        "audio/0.wav",
        "audio/2.wav",
        "audio/9.wav",
    }
    assert (later / "manifest.jsonl").read_text() == ""
    (group,) = json.loads((cycle / "decision.json").read_text())["groups"]
    assert group["value"].startswith("purged-")
    assert group["ker"] == 0.5


def test_hard_links_elsewhere_are_counted(tmp_path: Path) -> None:
    """The sound is not gone as long as another name of it is."""
    cycle = purge_cases.make_clinic(tmp_path / "clinic")
    os.link(cycle / "audio/0.wav", tmp_path / "backup.wav")
    plan = purge.plan_purge(purge_cases.request(cycle, recording="0"), {}, dry=True)
    assert plan.selection.outside == 1
    assert not (tmp_path / "clinic" / KEY_NAME).exists()


def test_a_model_is_marked_refused_and_accepted(tmp_path: Path) -> None:
    """Its list keeps the keyed hash; a recording that comes in again is known by the key."""
    cycle = purge_cases.make_clinic(tmp_path)
    model = cycle / "models/run/adapted_model.nemo"
    model.write_bytes(b"weights")
    plan = purge.plan_purge(purge_cases.request(cycle, recording="0"), {}, dry=True)
    (samples,) = plan.selection.samples
    RecordingRoles(frozenset({samples}), frozenset(), {}).write(model.parent)
    assert purge_marks.require_accepted(model, "as a base") == model
    purge_it(cycle, recording="0")
    key = read_key(tmp_path)
    assert key is not None
    roles = recording_roles.read(model.parent)
    assert roles.purged == {(keyed_hash(key, samples), "trained")}
    assert not roles.trained
    assert purged_before(tmp_path, roles, [samples, "f" * 64]) == {samples}
    assert roles.after((), (), ()).purged == roles.purged
    with pytest.raises(InputError, match=r"trained on 1 recording that .* --accept"):
        purge_marks.require_accepted(model, "as a base")
    purge_marks.accept(model, "anna", "2026-11-29T10:00:00Z")
    purge_marks.require_accepted(model, "as a base")
    assert forget_key(tmp_path)
    assert purged_before(tmp_path, roles, [samples]) == frozenset()


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """Whoever has the key can ask whether a recording was purged."""
    cycle = purge_cases.make_clinic(tmp_path)
    purge_it(cycle, recording="0")
    (tmp_path / KEY_NAME).chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        purge_it(cycle, recording="1")


def test_what_cannot_be_changed_is_named(tmp_path: Path) -> None:
    """An archive and a file of another format are left, and said."""
    cycle = purge_cases.make_clinic(tmp_path)
    sha256 = hashing.sha256_file(cycle / "audio/0.wav")
    factories.write_tar(cycle / "export.tar", {"text": purge_cases.GOES.encode()})
    (cycle / "other.bin").write_bytes(b"\0" + sha256.encode())
    (cycle / "log.gz").write_bytes(gzip.compress(f"said: {purge_cases.GOES}".encode()))
    (cycle / "clean.gz").write_bytes(gzip.compress(b"nothing of it"))
    (cycle / "index.parquet").write_bytes(b"PAR1")
    plan = purge_it(cycle, recording="0")
    assert {change.path.name for change in plan.left} == {"export.tar", "other.bin", "log.gz"}
    assert [path.name for path in plan.opaque] == ["index.parquet"]


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"recording": "nobody.wav"}, "no row has the recording 'nobody.wav'"),
        ({"voice": "nobody"}, "no row has the voice_id 'nobody'"),
    ],
)
def test_what_nobody_has_is_refused(tmp_path: Path, asked: dict[str, str], named: str) -> None:
    """The error names the manifest and the value."""
    cycle = purge_cases.make_clinic(tmp_path)
    with pytest.raises(InputError, match=named):
        purge.plan_purge(purge_cases.request(cycle, **asked), {}, dry=True)


@pytest.mark.parametrize("named", ["recording", "voice"])
def test_rows_that_an_import_set_apart_go_with_their_recording(tmp_path: Path, named: str) -> None:
    """They are in no manifest, and were cut from the same recording or are of the same voice."""
    cycle = purge_cases.make_clinic(tmp_path)
    factories.write_wav(cycle / "audio/7.wav", 0.1, seed=7)
    said = "mister heffalump was not sure of this"
    record = {"audio_filepath": "audio/7.wav", "text": said, "voice_id": "doctor-0"}
    entry = {"number": 4, "place": "visit.txt", "record": {**record, SCORE: 0.1, "duration": 0.1}}
    write_set_apart(cycle / SET_APART, [entry])
    origins = [
        {"audio_filepath": f"audio/{n}.wav", "recording": f"/source/{name}.wav"}
        for n, name in ((0, "visit"), (1, "other"), (7, "visit"))
    ]
    factories.write_rows(cycle / "provenance.jsonl", origins)
    purge_it(
        cycle, **({"recording": "visit.wav"} if named == "recording" else {"voice": "doctor-0"})
    )
    assert not (cycle / "audio/7.wav").exists()
    assert said not in (cycle / SET_APART).read_text()
    assert purge_cases.read_rows(cycle / "manifest.jsonl")[0] == purge_cases.STAYS
