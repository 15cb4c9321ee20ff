"""Results are believed only as far as they agree: the manifest's checks, in every command."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from tasks.common.errors import InputError
from tasks.data.cycle_folder import open_cycle
from tasks.decision.gate_policy import GatePolicy
from tasks.evaluation.baseline import find_baseline, read_baseline
from tasks.evaluation.incremental_scoring import score_file
from tasks.evaluation.result_reading import read_hypotheses, read_results
from tasks.evaluation.score_summary import summary_as_dict
from tasks.models.catalog import Method
from tasks.stages import compare, prepare
from tests.support import factories
from tests.support.cases import case

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tasks.decision.gate import GateResult

ROW = {"audio_filepath": "a.wav", "ref": "start metoprolol", "hyp": "start metoprolol"}
TERM = {"term": "metoprolol", "entity_category": "drug"}


def judged(folder: Path) -> GateResult:
    """The gate on a case's cycle."""
    cycle = open_cycle(folder)
    return prepare.run_gate(cycle, "embedded", GatePolicy(), find_baseline(cycle, None), Method.SFT)


# Twice in one file: hiyouga/LlamaFactory#1977, datarobot-oss/datarobot-genai#414,
# PrimeIntellect-ai/verifiers#1564, lorenzkuhn/semantic_uncertainty#8.


@pytest.mark.parametrize("command", [score_file, read_hypotheses, read_baseline])
def test_a_row_twice_is_an_error_in_every_command(command: Callable[[Path], Any]) -> None:
    """Both places are named, and all rows at once."""
    path = case("20-duplicate-rows-counted") / "rows.jsonl"
    with pytest.raises(InputError) as told:
        command(path)
    assert "10 errors" in str(told.value)
    assert "row 21: stands already as row 1" in str(told.value)
    assert "rows 26-30" in str(told.value)


def test_who_keeps_one_of_each_has_the_rows_once(tmp_path: Path) -> None:
    """The fix leads to the figures of the twenty rows."""
    path = case("20-duplicate-rows-counted") / "rows.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    mended = tmp_path / "rows.jsonl"
    mended.write_text("".join(lines[:20]))
    assert score_file(mended).counts.n == 20


@pytest.mark.parametrize(
    "again",
    [
        {"audio_filepath": "./a.wav"},
        {"ref": "Start  Metoprolol."},
        {"hyp": "start meta prolol"},
        {"term": None, "entity_category": None},
        {"part": "trained"},
        {"audio_filepath": "x//../x/a.wav"},
    ],
)
def test_a_row_that_is_written_otherwise_is_still_the_same_row(
    tmp_path: Path, again: dict[str, Any]
) -> None:
    """Whatever the rest says, the same recording with the same reference counts once."""
    first = {**ROW, **TERM, "audio_filepath": "x/../x/a.wav" if "//" in str(again) else "a.wav"}
    path = factories.write_rows(tmp_path / "h.jsonl", [first, {**first, **again}])
    for command in (score_file, read_hypotheses):
        with pytest.raises(InputError, match="stands already as row 1"):
            command(path)


def test_two_recordings_of_one_sentence_are_two_rows(tmp_path: Path) -> None:
    """Also where a recording has two references, which are two stretches of it."""
    rows = [ROW, {**ROW, "audio_filepath": "b.wav"}, {**ROW, "ref": "stop metoprolol"}]
    path = factories.write_rows(tmp_path / "h.jsonl", rows)
    assert score_file(path).counts.n == len(read_hypotheses(path)) == 3


def test_a_row_that_stands_in_two_stretches_is_found(tmp_path: Path) -> None:
    """A long file is read by several processes, each a stretch of it."""
    rows = [{**ROW, "audio_filepath": f"{number}.wav"} for number in range(400)]
    path = factories.write_rows(tmp_path / "h.jsonl", [*rows, rows[3]])
    with pytest.raises(InputError, match="row 401: stands already as row 4"):
        score_file(path)


# Categories: sensein/structsense#125, JohnSnowLabs/spark-nlp#10738.


@pytest.mark.parametrize("folder", ["cycle1", "mixed/cycle1"])
def test_case_and_plural_do_not_halve_a_category(folder: str) -> None:
    """The true KER is .5 on both; what was brought together is told."""
    result = judged(case("10-category-case-in-baseline") / folder)
    assert result.figures["priority"] == {"drug": {"rows": 100, "n": 100, "ker": 0.5}}
    assert "was read as 'drug'" in " ".join(result.warnings)


@pytest.mark.parametrize(
    ("written", "fix"),
    [
        ("medication", 'write "drug"'),
        ("Diagnoses", 'write "condition"'),
        ("lab test", 'write "lab"'),
        ("Clinician", 'write "role"'),
        ("nan", "write null"),
        ("durg", "use one of drug"),
    ],
)
def test_an_unknown_category_of_a_result_is_an_error(
    tmp_path: Path, written: str, fix: str
) -> None:
    """Its row, its value and the fix are told; no figure leaves the row out in silence."""
    rows = [{**ROW, **TERM}, {**ROW, **TERM, "audio_filepath": "b", "entity_category": written}]
    path = factories.write_rows(tmp_path / "h.jsonl", rows)
    for command in (score_file, read_hypotheses):
        with pytest.raises(InputError, match="row 2: entity_category is not in") as told:
            command(path)
        assert fix in str(told.value)


def test_a_comparison_and_a_score_tell_what_was_brought_together(tmp_path: Path) -> None:
    """In the notes of both, with the rows that it concerned."""
    row = {**ROW, **TERM, "entity_category": "Drugs"}
    path = factories.write_rows(tmp_path / "h.jsonl", [row])
    told = "The category 'Drugs' of 1 row was read as 'drug'."
    assert summary_as_dict(score_file(path))["notes"] == [told]
    assert f"h.jsonl: {told}" in compare.compare(path, path, None, ["drug"])["notes"]


@pytest.mark.parametrize("term", ["heparin", "prolol", "metoprolol start", "nan"])
def test_a_term_that_nobody_said_is_an_error(tmp_path: Path, term: str) -> None:
    """Its KER could never be 0, whatever a model writes."""
    path = factories.write_rows(tmp_path / "h.jsonl", [{**ROW, **TERM, "term": term}])
    with pytest.raises(InputError, match="row 1: the term does not stand in ref"):
        score_file(path)


# NaN and lists: Kanaries/pygwalker#5, lhotse-speech/lhotse#969, hu-neuro-pipeline#101,
# pandas-dev/pandas#31615, DOI-USGS/ale#89.

WRONG: dict[str, tuple[str, object, str, object]] = {
    "NaN": ("entity_category", float("nan"), "write null", None),
    "the text nan": ("entity_category", "nan", "write null", None),
    "NaN as a term": ("term", float("nan"), "write null", None),
    "a list": ("term", ["metoprolol", "aspirin"], 'such as "metoprolol"', "metoprolol"),
    "a list as text": ("term", "['metoprolol', 'b']", 'such as "metoprolol"', "metoprolol"),
    "a list as JSON text": ("term", '["metoprolol", "b"]', 'such as "metoprolol"', "metoprolol"),
    "an empty list": ("term", [], "write null", None),
    "a missing value of pandas": ("voice_id", {}, "as text, or null", None),
    "a number": ("voice_id", 7, 'write it as "7"', "7"),
    "infinity": ("noise_level", float("inf"), "write null", None),
    "true": ("noise_level", True, 'write it as "True"', "True"),
}


@pytest.mark.parametrize(("name", "value", "fix", "followed"), WRONG.values(), ids=list(WRONG))
def test_the_fix_of_a_value_that_is_no_text_is_right_when_followed(
    tmp_path: Path, name: str, value: object, fix: str, followed: object
) -> None:
    """Who writes what it says has a sound file with the right figure."""
    row = {**ROW, **TERM}
    path = factories.write_rows(tmp_path / "h.jsonl", [{**row, name: value}])
    with pytest.raises(InputError) as told:
        read_hypotheses(path)
    assert fix in str(told.value)
    factories.write_rows(path, [{**row, name: followed}])
    (found,) = read_hypotheses(path)
    assert getattr(found, name) == followed
    assert score_file(path).counts.ker == (None if name == "term" and followed is None else 0.0)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table, each with its columns' names."""
    return [
        {str(name): value for name, value in row.items()} for row in frame.to_dict(orient="records")
    ]


def test_the_fix_for_pandas_writes_null(tmp_path: Path) -> None:
    """The expression that the message names, on a column of text and on one without any."""
    frame = pd.DataFrame([{**ROW, **TERM}, {**ROW, "audio_filepath": "b.wav"}])
    frame["noise_level"] = float("nan")
    path = factories.write_rows(tmp_path / "h.jsonl", records(frame))
    with pytest.raises(InputError) as told:
        read_hypotheses(path)
    mended = frame.astype(object).where(frame.notna(), None)
    assert "df.astype(object).where(df.notna(), None)" in str(told.value)
    factories.write_rows(path, records(mended))
    assert [row.term for row in read_hypotheses(path)] == ["metoprolol", None]


@pytest.mark.parametrize("name", ["nan", "list", "followed"])
def test_the_cases_files_get_a_fix_that_is_no_quotation_mark(name: str) -> None:
    """Who put NaN or a list between quotation marks got a category "nan" and a KER of 1."""
    with pytest.raises(InputError) as told:
        score_file(case("19-wrong-fix-nan-list") / f"{name}.jsonl")
    fix = str(told.value).split("Fix:")[1]
    assert '"nan"' not in fix
    assert "\"['" not in fix


def test_all_findings_of_all_rows_are_told_at_once(tmp_path: Path) -> None:
    """One round is enough to mend a file."""
    rows: list[dict[str, Any]] = [
        {**ROW, **TERM, "hyp": None, "voice_id": 5},
        {**ROW, **TERM, "term": "heparin", "entity_category": "medication", "part": "some"},
        {"audio_filepath": "c.wav"},
    ]
    path = factories.write_rows(tmp_path / "h.jsonl", rows)
    with pytest.raises(InputError) as told:
        read_hypotheses(path)
    text = str(told.value)
    assert "7 errors" in text
    for part in ("row 1: hyp", "row 1: voice_id", "row 2: entity", "row 2: the term", "row 3: ref"):
        assert part in text


# Shapes: NVIDIA-NeMo/Speech#2304 and #7224, huggingface/open_asr_leaderboard#3, csv.DictReader.


@pytest.mark.parametrize(
    ("name", "n", "ker"),
    [("wrapper.json", 3, 2 / 3), ("nemo.jsonl", 1, None), ("rows.csv", 1, None)],
)
def test_other_tools_shapes_of_a_result_are_read(name: str, n: int, ker: float | None) -> None:
    """Streamed or whole, they are the same rows."""
    path = case("22-shapes-of-results") / name
    figures = summary_as_dict(score_file(path))
    assert figures["n"] == len(read_hypotheses(path)) == n
    assert (figures["wer"] == 0, figures["ker"]) == (ker is None, ker)


TEXT = {
    "tabs": "audio_filepath\tref\thyp\tterm\na.wav\tstart it\tstart it\t\n",
    "semicolons and a BOM": "\ufeffaudio_filepath;text;pred_text\r\na.wav;start it;start it\r\n",
    "quoted": 'audio_filepath,ref,hyp\n"a.wav","start it","start, it"\n',
    "one line": '{"samples": [{"audio_filepath": "a.wav", "ref": "start it", "hyp": "start it"}]}',
    "one line and more": '{"wer": 0, "rows": [{"audio_filepath": "a.wav", "text": "start it", '
    '"pred_text": "start it"}]}\n',
    "reference and prediction": '{"audio_filepath": "a.wav", "reference": "start it", '
    '"prediction": "start it"}',
    "an array of NeMo's": '[{"audio_filepath": "a.wav", "text": "start it", "pred_text": '
    '"start it"}]',
}


@pytest.mark.parametrize("text", TEXT.values(), ids=list(TEXT))
def test_more_shapes_are_read(tmp_path: Path, text: str) -> None:
    """By what they hold, not by the file's name."""
    path = tmp_path / "result"
    path.write_text(text)
    (found,) = read_hypotheses(path)
    assert (found.audio_filepath, found.ref) == ("a.wav", "start it")
    assert score_file(path).counts.wer == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"audio_filepath": "a.wav", "text": "start"}\n', "asr-flywheel transcribe"),
        ("<html><body>404</body></html>", "holds a page of HTML"),
        ("audio_filepath,ref,hyp\na.wav,start, it,start\n", "row 1: has not as many cells"),
        (
            '{"a": [{"audio_filepath": "a"}], "b": [{"audio_filepath": "a"}]}',
            r"2 lists of rows \(a, b\).* jq \.a ",
        ),
    ],
    ids=["a manifest", "a page", "a comma in a cell", "two lists"],
)
def test_what_is_no_result_is_named(tmp_path: Path, text: str, told: str) -> None:
    """With the command that makes one of it."""
    path = tmp_path / "result"
    path.write_text(text)
    with pytest.raises(InputError, match=told):
        read_hypotheses(path)


def test_a_wrapped_result_is_told_and_the_contracts_shapes_are_not(tmp_path: Path) -> None:
    """A note says how the file was read, where it is not as the contract has it."""
    _, notes = read_results(case("22-shapes-of-results") / "wrapper.json")
    assert notes.lines() == ("The file was read as an object that wraps the rows.",)
    path = tmp_path / "h.jsonl"
    path.write_text(json.dumps([ROW]))
    assert read_results(path)[1].lines() == ()


# Answers: lhotse-speech/lhotse#969 (a list), pandas-dev/pandas#31615 (NaN),
# speechbrain/speechbrain#1917 (None), huggingface/datasets#3016 (names of other tools).
ANSWERS: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "the n best": ({"hyp": ["start it", "start"]}, 'the first: "start it"', {"hyp": "start it"}),
    "an object": ({"hyp": {"text": "start it"}}, 'its text alone: "start it"', {"hyp": "start it"}),
    "a number": ({"hyp": 5}, 'write it as "5"', {"hyp": "5"}),
    "nothing": ({"hyp": None}, 'where nothing was recognised, ""', {"hyp": ""}),
    "NaN": ({"hyp": float("nan")}, 'where nothing was recognised, ""', {"hyp": ""}),
    "a split's name": ({"part": "Held_Out"}, 'write "held-out"', {"part": "held-out"}),
    "another split's name": ({"part": "train"}, 'write "trained" if', {"part": "trained"}),
    "another spelling": (
        {"ref": "take beta blockers", "term": "beta-blockers", "entity_category": "drug"},
        "as the reference does: 'beta blockers'",
        {"term": "beta blockers"},
    ),
}


@pytest.mark.parametrize(("wrong", "fix", "followed"), ANSWERS.values(), ids=list(ANSWERS))
def test_the_fix_of_an_answer_is_made_from_it(
    tmp_path: Path, wrong: dict[str, Any], fix: str, followed: dict[str, Any]
) -> None:
    """Who writes what it says has a sound row."""
    path = factories.write_rows(tmp_path / "h.jsonl", [{**ROW, **wrong}])
    with pytest.raises(InputError) as told:
        read_hypotheses(path)
    assert "1 error" in str(told.value)
    assert fix in str(told.value)
    factories.write_rows(path, [{**ROW, **wrong, **followed}])
    assert len(read_hypotheses(path)) == 1


def test_names_of_another_tool_are_told_with_ours(tmp_path: Path) -> None:
    """All three at once."""
    path = factories.write_rows(
        tmp_path / "h.jsonl", [{"audio": "a.wav", "sentence": "go", "transcription": "go"}]
    )
    with pytest.raises(InputError) as told:
        read_hypotheses(path)
    for name, ours in (("audio", "audio_filepath"), ("sentence", "ref"), ("transcription", "hyp")):
        assert f'rename "{name}" to "{ours}"' in str(told.value)


# Windows: handy-computer/transcribe.cpp#119, ggml-org/whisper.cpp#769.


def test_windows_paths_of_a_result_match_those_of_this_host(tmp_path: Path) -> None:
    """The same rows, whatever the slash."""
    folder = case("17-windows-paths")
    for name in ("win.json", "here.jsonl"):
        shutil.copy(folder / name, tmp_path / name)
    found = compare.compare(tmp_path / "win.json", tmp_path / "here.jsonl", None, ["drug"])
    assert (found["rows"], found["only_in_a"], found["only_in_b"]) == (20, 0, 0)


def test_the_n_of_a_ker_is_that_of_the_rows_with_a_term(tmp_path: Path) -> None:
    """Rows without a term count for WER alone."""
    plain = [{**ROW, "audio_filepath": f"{number}.wav"} for number in range(8)]
    missed = {**ROW, **TERM, "audio_filepath": "x.wav", "hyp": "start it"}
    path = factories.write_rows(tmp_path / "h.jsonl", [*plain, {**ROW, **TERM}, missed])
    figures = summary_as_dict(score_file(path))
    assert figures["n"] == 10
    assert (figures["n_with_term"], figures["ker"]) == (2, 0.5)
