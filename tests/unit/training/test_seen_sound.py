"""A row that was cut anew from what a model was trained on has been seen by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.data.audio_checks import AudioLimits
from tasks.data.preflight import preflight
from tasks.training.recording_roles import RecordingRoles
from tasks.training.seen_sound import roles_for_rows, roles_for_samples
from tests.support import corpora

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.data.preflight import CheckedRow


def cycle(clinic: Path, number: int, spans: list[tuple[float, float]]) -> tuple[CheckedRow, ...]:
    """A cycle whose rows are these spans of one recording."""
    if not (clinic / "visit.wav").is_file():
        corpora.write(clinic / "visit.wav", corpora.speech(6.0, seed=1))
    lines = [f"visit.wav,dose {start},{start},{end}" for start, end in spans]
    table = clinic / f"rows{number}.csv"
    table.write_text("\n".join(["audio,text,start,end", *lines]) + "\n", encoding="utf-8")
    folder = clinic / f"cycle{number}"
    corpora.run(table, folder, check=False)
    return preflight(folder / "manifest.jsonl", AudioLimits(16000), None).rows


def test_what_is_cut_anew_from_trained_sound_was_seen(tmp_path: Path) -> None:
    """By its span of the source recording; other spans of that recording are still new."""
    old = cycle(tmp_path, 1, [(0, 2), (2, 4)])
    new = cycle(tmp_path, 2, [(0.1, 2), (2.1, 4), (4, 6)])
    trained, chose = old[0].audio_sha256, old[1].audio_sha256
    roles = RecordingRoles(frozenset({trained}), frozenset({chose}), {"judged": 2})
    found = roles_for_rows(roles, new, tmp_path)
    assert found.trained == {trained, new[0].audio_sha256}
    assert found.chose == {chose, new[1].audio_sha256}
    assert found.verdicts == {"judged": 2}
    by_samples = roles_for_samples(roles, [frozenset({row.audio_sha256}) for row in new], tmp_path)
    assert by_samples == found


def test_a_row_of_trained_and_of_choosing_sound_was_trained_on(tmp_path: Path) -> None:
    """The worse of the two counts."""
    old = cycle(tmp_path, 1, [(0, 2), (2, 4)])
    (new,) = cycle(tmp_path, 2, [(1, 3)])
    roles = RecordingRoles(frozenset({old[1].audio_sha256}), frozenset({old[0].audio_sha256}))
    found = roles_for_rows(roles, [new], tmp_path)
    assert new.audio_sha256 in found.trained
    assert found.chose == {old[0].audio_sha256}


def test_a_model_that_has_seen_nothing_needs_no_provenance(tmp_path: Path) -> None:
    """The roles stay as they are."""
    rows = cycle(tmp_path, 1, [(0, 2)])
    assert roles_for_rows(RecordingRoles(), rows, tmp_path) == RecordingRoles()
    seen = RecordingRoles(frozenset({"another"}))
    (tmp_path / "cycle1" / "provenance.jsonl").unlink()
    assert roles_for_rows(seen, rows, tmp_path) == seen
