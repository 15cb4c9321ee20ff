"""Reading per-row results: both files of the contract, and what is wrong with any other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tasks.common.errors import InputError
from tasks.evaluation.baseline import read_baseline
from tasks.evaluation.hypotheses import Hypothesis
from tasks.evaluation.result_reading import read_hypotheses
from tests.support import factories

if TYPE_CHECKING:
    from pathlib import Path

ROW = {name: name.upper() for name in factories.RESULT_FIELDS} | {
    "entity_category": "drug",
    "ref": "a TERM",
}


def test_jsonl_and_one_array_are_the_same_evaluation(tmp_path: Path) -> None:
    """per_sample.json may be either."""
    rows = [ROW, {**ROW, "audio_filepath": "b.wav", "hyp": ""}]
    lines = factories.write_rows(tmp_path / "lines.json", rows)
    array = tmp_path / "array.json"
    array.write_text(json.dumps(rows, indent=2))
    read = read_hypotheses(lines)
    assert read == read_hypotheses(array)
    assert [getattr(read[0], name) for name in factories.RESULT_FIELDS] == list(ROW.values())
    assert read[1].hyp == ""
    assert read[0].part is None


def test_only_the_three_texts_are_needed(tmp_path: Path) -> None:
    """An evaluation without clinical fields can be scored; empty ones are as good as absent."""
    row = {"audio_filepath": "a", "ref": "b", "hyp": "c", "term": "", "unknown": 3}
    (found,) = read_hypotheses(factories.write_rows(tmp_path / "h.jsonl", [row]))
    assert found == Hypothesis("a", "b", "c")


BAD: dict[str, tuple[Any, str]] = {
    "no hyp": ([{"audio_filepath": "a", "ref": "b"}], "row 1: hyp must be text, not None"),
    "hyp a number": ([{**ROW}, {**ROW, "hyp": 3}], "row 2: hyp must be text, not 3"),
    "no ref": ([{"audio_filepath": "a", "hyp": "b"}], "row 1: ref must be text"),
    "no audio": ([{"ref": "a", "hyp": "b"}], "row 1: audio_filepath must be text"),
    "term a number": ([{**ROW, "term": 7}], "row 1: term must be text or null, not 7"),
    "unknown part": (
        [{**ROW, "part": "some"}],
        "part must be 'held-out', 'chose', 'chose-nothing', 'trained'",
    ),
    "no object": ([[1, 2]], "row 1: not a JSON object"),
    "empty array": ([], "no rows"),
}


@pytest.mark.parametrize("as_array", [True, False])
@pytest.mark.parametrize(("rows", "told"), BAD.values(), ids=list(BAD))
def test_a_bad_row_is_named(tmp_path: Path, rows: Any, told: str, *, as_array: bool) -> None:
    """Row, value and what it should be, in both forms of the file."""
    path = tmp_path / "per_sample.json"
    lines = "".join(f"{json.dumps(row)}\n" for row in rows)
    # A first line that is an array would be the other form.
    as_array = as_array or lines.startswith("[")
    path.write_text(json.dumps(rows) if as_array else lines)
    with pytest.raises(InputError) as raised:
        read_hypotheses(path)
    assert told in str(raised.value)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "no rows"),
        (b"\n\n", "no rows"),
        (b"[{]", "not a JSON array"),
        (b"{}\n", "row 1: audio_filepath must be text"),
        (b'\n{"ref": \n', "row 2: not JSON"),
        (b"\xff\xfe", "UTF-8"),
        (b"17\n", "row 1: not a JSON object"),
    ],
)
def test_a_file_that_is_no_evaluation_is_bad_input(tmp_path: Path, data: bytes, told: str) -> None:
    """Whatever it holds, the answer is one sentence."""
    path = tmp_path / "h.jsonl"
    path.write_bytes(data)
    with pytest.raises(InputError, match=told):
        read_hypotheses(path)


def test_a_missing_evaluation_names_the_stage_that_makes_it(tmp_path: Path) -> None:
    """The route is eval."""
    with pytest.raises(InputError, match="/digital-health-clinical-asr-eval"):
        read_hypotheses(tmp_path / "none.jsonl")


def test_an_imported_evaluation_is_labelled_as_another_decoders(tmp_path: Path) -> None:
    """per_sample.json comes from an endpoint; offline_hyps.jsonl is this tool's own."""
    imported = read_baseline(factories.write_rows(tmp_path / "per_sample.json", [ROW]))
    own = read_baseline(factories.write_rows(tmp_path / "offline_hyps.jsonl", [ROW]))
    assert (imported.imported, own.imported) == (True, False)
    assert "another decoder" in imported.label
    assert own.scores.n == 1


@pytest.mark.parametrize(
    ("name", "sha256", "imported"),
    [
        ("baseline_hyps.jsonl", None, False),
        ("crossfit_hyps.jsonl", None, False),
        ("march.jsonl", "ab" * 32, False),
        ("served_hyps.jsonl", None, True),
    ],
)
def test_what_was_decoded_here_is_no_import_whatever_its_name_is(
    tmp_path: Path, name: str, sha256: str | None, *, imported: bool
) -> None:
    """A run's own files, and what `transcribe --out` wrote; a served row has no hash."""
    row = {**ROW, "audio_sha256": sha256}
    found = read_baseline(factories.write_rows(tmp_path / name, [row]))
    assert found.imported is imported


def test_half_a_surrogate_pair_is_refused_with_its_row(tmp_path: Path) -> None:
    """It could be scored, but no leaderboard could be written with it."""
    path = tmp_path / "per_sample.json"
    path.write_text('{"audio_filepath": "a.wav", "ref": "a", "hyp": "\\ud800"}\n')
    with pytest.raises(InputError, match="row 1: holds half of a surrogate pair"):
        read_hypotheses(path)
