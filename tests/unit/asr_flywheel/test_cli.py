"""The command line: exit codes, what it prints for programs, and what it does not import."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks.evaluation.hypotheses import Partition, write_hypotheses
from tasks.models import catalog
from tests.support import factories
from tests.support.cli_cases import evaluated_cycle

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name a cycle"),
        (["cycle1", "--provider", "ssh"], "--provider ssh needs a host. Fix: add --host user@host"),
        (
            ["cycle1", "--provider", "ssh", "--host", "-oProxyCommand=x"],
            "--host '-oProxyCommand=x'",
        ),
        (["cycle1", "--sku", "l40s"], "needs a Prefect server"),
        (["--forget", "0123abcd"], "no such record"),
    ],
)
def test_a_rental_that_cannot_be_asks_nobody(
    run: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    said: str,
) -> None:
    """No cycle, no host, no server: exit 2, with the fix, at once."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    evaluated_cycle(tmp_path / "cycle1")
    monkeypatch.chdir(tmp_path)
    code, _, errors = run("rent", *arguments)
    assert code == 2
    assert said in errors


def test_every_command_of_the_contract_is_there(run: Callable[..., tuple[int, str, str]]) -> None:
    """demo, gate, split, run, transcribe, score and diff."""
    code, out, _ = run("--help")
    assert code == 0
    for name in ("demo", "gate", "split", "run", "transcribe", "score", "diff"):
        assert f" {name} " in out


def test_a_gate_that_passes_exits_0_and_prints_its_figures(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """JSON and nothing else on standard output."""
    folder = evaluated_cycle(tmp_path / "cycle1")
    before = factories.snapshot(folder)
    code, out, err = run("gate", folder, "--base", catalog.RECOMMENDED, "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert set(told) >= {"passed", "action", "route", "reasons", "figures"}
    assert told["passed"] is True
    assert told["action"] == "tune"
    assert told["route"] == "/digital-health-clinical-asr-finetune"
    assert told["figures"]["priority"]["drug"] == {"rows": 120, "n": 100, "ker": 0.42}
    assert factories.snapshot(folder) == before


def test_a_gate_that_refuses_exits_3_with_its_route(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """In JSON and in words."""
    folder = evaluated_cycle(tmp_path / "cycle1", rows=99)
    code, out, err = run("gate", folder, "--json")
    assert (code, err) == (3, "")
    told = json.loads(out)
    assert told["passed"] is False
    assert told["action"] == "grow-manifest"
    assert told["route"] == "/digital-health-clinical-asr-build"
    code, out, _ = run("gate", folder)
    assert code == 3
    assert out.startswith("refused: grow-manifest\n")
    assert "/digital-health-clinical-asr-build" in out


@pytest.mark.parametrize(
    ("arguments", "action"),
    [
        (["--base", "nvidia/nemotron-speech-streaming-en-0.6b"], "substitute-base"),
        (["--method", "adapter"], "use-stock-sft"),
        (["--priority", "lab"], "grow-manifest"),
    ],
)
def test_the_gates_options_reach_it(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path, arguments: list[str], action: str
) -> None:
    """Base, method and priority."""
    code, out, _ = run("gate", evaluated_cycle(tmp_path / "cycle1"), "--json", *arguments)
    assert code == 3
    assert json.loads(out)["action"] == action


def test_several_priorities_may_be_named(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """Each with its own option."""
    folder = evaluated_cycle(tmp_path / "cycle1")
    code, out, _ = run("gate", folder, "--json", "--priority", "drug", "--priority", "role")
    assert code == 3
    assert list(json.loads(out)["figures"]["priority"]) == ["drug", "role"]


def test_a_cycle_without_a_manifest_is_refused_not_an_error(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """The gate sends to build."""
    (tmp_path / "cycle1").mkdir()
    code, out, _ = run("gate", tmp_path / "cycle1", "--json")
    assert code == 3
    assert json.loads(out)["action"] == "build-manifest"


def bad_inputs(folder: Path) -> dict[str, list[object]]:
    """Command lines that cannot be done."""
    return {
        "no folder": ["gate", folder / "cycle9"],
        "no cycle's name": ["gate", folder],
        "unknown base": ["gate", folder / "cycle1", "--base", "nothing"],
        "misspelt priority": ["gate", folder / "cycle1", "--priority", "drugs"],
        "no such baseline": ["gate", folder / "cycle1", "--baseline", folder / "none"],
        "unknown method": ["gate", folder / "cycle1", "--method", "lora"],
        "unknown recipe": ["run", folder / "cycle1", "--recipe", "fast"],
        "unknown runtime": ["run", folder / "cycle1", "--runtime", "cloud"],
        "unknown comparison": ["run", folder / "cycle1", "--compare-with", "nothing"],
        "run without epochs": ["run", folder / "cycle1", "--epochs", "0"],
        "a share of one": ["run", folder / "cycle1", "--fraction", "1"],
        "no hypotheses": ["score", folder / "none.jsonl"],
        "a folder of none": ["diff", folder / "cycle1", folder / "cycle9"],
        "unknown command": ["tune"],
        "unknown option": ["gate", folder / "cycle1", "--fast"],
        "no argument": ["score"],
    }


@pytest.mark.parametrize("name", list(bad_inputs(Path())))
def test_bad_input_exits_2_with_one_message(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path, name: str
) -> None:
    """No traceback, nothing on standard output, nothing written."""
    evaluated_cycle(tmp_path / "cycle1")
    before = factories.snapshot(tmp_path)
    code, out, err = run(*bad_inputs(tmp_path)[name])
    assert code == 2
    assert out == ""
    assert err
    assert "Traceback" not in err
    assert factories.snapshot(tmp_path) == before


def test_a_sound_cycle_is_split(
    run: Callable[..., tuple[int, str, str]], cycle: Path, lower_nemo: Path
) -> None:
    """The two files, their counts, and the same again on a second call."""
    code, out, _ = run("split", cycle, "--base", lower_nemo, "--json")
    assert code == 0
    told = json.loads(out)
    assert told["train"] == str(cycle.resolve() / "train.jsonl")
    assert told["validation"] == str(cycle.resolve() / "validation.jsonl")
    assert told["counts"]["validation"] == {"drug": 1, "procedure": 1}
    assert told["warnings"] == []
    first = factories.snapshot(cycle)
    assert run("split", cycle, "--base", lower_nemo, "--json")[1] == out
    assert factories.snapshot(cycle) == first
    other = json.loads(run("split", cycle, "--base", lower_nemo, "--json", "--seed", 7)[1])
    assert other["content_sha256"] != told["content_sha256"]


@pytest.mark.parametrize("fraction", ["0", "1", "-1", "nan"])
def test_a_bad_share_is_bad_input_and_writes_nothing(
    run: Callable[..., tuple[int, str, str]], cycle: Path, lower_nemo: Path, fraction: str
) -> None:
    """The message names the bounds."""
    before = factories.snapshot(cycle)
    code, _, err = run("split", cycle, "--base", lower_nemo, f"--fraction={fraction}")
    assert code == 2
    assert "Fix: write a number above 0 and below 1, such as 0.2" in err
    assert factories.snapshot(cycle) == before


def test_preflight_writes_nothing(
    run: Callable[..., tuple[int, str, str]], cycle: Path, lower_nemo: Path
) -> None:
    """It tells what it found; errors exit with 2."""
    before = factories.snapshot(cycle)
    code, out, _ = run("preflight", cycle, "--base", lower_nemo)
    assert (code, out) == (0, "10 rows checked, 0 warnings\n")
    (cycle / "audio/3.wav").unlink()
    del before["audio/3.wav"]
    code, _, err = run("preflight", cycle, "--base", lower_nemo)
    assert code == 2
    assert "row 4: there is no such audio file" in err
    assert factories.snapshot(cycle) == before


def test_score_prints_the_four_metrics_and_their_breakdown(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """n, wer, cer, ker, ser, pooled_wer and by."""
    write_hypotheses(tmp_path / "h.jsonl", factories.evaluated(1, 4, noise_level="clean"))
    code, out, err = run("score", tmp_path / "h.jsonl", "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert list(told)[:7] == ["n", "wer", "cer", "ker", "ser", "pooled_wer", "by"]
    assert set(told) - set(list(told)[:7]) == {
        "intervals",
        "spelling",
        "n_with_term",
        "false_keywords",
        "near_misses",
        "strict",
    }
    assert told["near_misses"] == {"aspirin": {"as prin": 1}}
    # Of three words one is replaced and one added, in one row of four.
    assert told["n"] == 4
    assert told["wer"] == pytest.approx(2 / 3 / 4)
    assert told["pooled_wer"] == pytest.approx(2 / 12)
    assert told["cer"] == pytest.approx(2 / 16 / 4)
    assert (told["ker"], told["ser"]) == (0.25, 0.25)
    assert told["by"]["noise_level"] == {"clean": {"n": 4, "ker": 0.25}}
    code, out, _ = run("score", tmp_path / "h.jsonl")
    assert "ker  0.2500" in out


def test_diff_compares_two_files_and_decides(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """Decision, its basis, and each category's figures."""
    write_hypotheses(tmp_path / "a.jsonl", factories.evaluated(8, 10))
    write_hypotheses(tmp_path / "b.jsonl", factories.evaluated(2, 10, part=Partition.HELD_OUT))
    code, out, err = run("diff", tmp_path / "a.jsonl", tmp_path / "b.jsonl", "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    # Two files alone say nothing of what was forgotten.
    assert (told["decision"], told["basis"]) == ("inconclusive", "held-out")
    assert told["by"]["drug"] == {
        "n": 10,
        "ker_a": 0.8,
        "ker_b": 0.2,
        "relative": -0.75,
        "p": pytest.approx(2 / 2**6 - 1 / 2**6),
        "ci": [pytest.approx(-0.8652, abs=1e-4), pytest.approx(-0.1348, abs=1e-4)],
        "fixed": 6,
        "broken": 0,
        "p_terms": pytest.approx(0.3173, abs=1e-4),
        "canonical_ker_a": 0.8,
        "canonical_ker_b": 0.2,
        "missed_by_spelling_only_a": 0,
        "missed_by_spelling_only_b": 0,
    }
    assert told["views"] == {"strict": "inconclusive", "spelling-blind": "inconclusive"}
    assert (told["bare_decision"], told["rows_needed"]) == ("keep", None)
    assert any("Forgetting was not checked" in reason for reason in told["reasons"])
    code, out, _ = run("diff", tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    assert code == 0
    assert out.startswith("inconclusive (by held-out rows)\n")


def test_diff_checks_forgetting_where_it_is_given_general_english(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """A model that gained and forgot is discarded; the limit can be set."""
    write_hypotheses(tmp_path / "a.jsonl", factories.evaluated(9, 10))
    write_hypotheses(tmp_path / "b.jsonl", factories.evaluated(1, 10, part=Partition.HELD_OUT))
    write_hypotheses(tmp_path / "before.jsonl", factories.evaluated(1, 60, None))
    write_hypotheses(tmp_path / "after.jsonl", factories.evaluated(9, 60, None))
    general = ("--general", tmp_path / "before.jsonl", tmp_path / "after.jsonl", "--json")
    told = json.loads(run("diff", tmp_path / "a.jsonl", tmp_path / "b.jsonl", *general)[1])
    assert (told["decision"], told["bare_decision"]) == ("discard", "keep")
    assert told["guardrail"]["status"] == "broken"
    # Two of three words are wrong in eight rows more.
    assert told["guardrail"]["rise"] == pytest.approx(16 / 180)
    wide = ("--general-limit", "20", *general)
    told = json.loads(run("diff", tmp_path / "a.jsonl", tmp_path / "b.jsonl", *wide)[1])
    assert (told["decision"], told["guardrail"]["status"]) == ("keep", "held")


def test_diff_of_two_cycles_reads_what_lies_in_them(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """This tool's own evaluation goes before an imported one, which is labelled."""
    first = evaluated_cycle(tmp_path / "cycle1", missed=50)
    second = evaluated_cycle(tmp_path / "cycle2", missed=60)
    code, out, _ = run("diff", first, second, "--json")
    assert code == 0
    assert json.loads(out)["decision"] == "discard"
    write_hypotheses(second / "per_sample.json", factories.evaluated(10, 100))
    assert json.loads(run("diff", first, second, "--json")[1])["decision"] == "discard"
    (second / "offline_hyps.jsonl").unlink()
    told = json.loads(run("diff", first, second, "--json")[1])
    assert (told["decision"], told["bare_decision"]) == ("inconclusive", "keep")
    assert told["notes"][0] == "per_sample.json: imported per_sample.json (another decoder)."
    assert "--held-out" in told["notes"][1]


def test_transcribe_hides_texts_where_it_is_asked_to(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """An error names row and code; without the option also what stands in the row."""
    row = {"audio_filepath": "a.wav", "text": "seen by heffalump", "noise_level": "heffalump ward"}
    (tmp_path / "cycle1").mkdir()
    factories.write_rows(tmp_path / "cycle1/manifest.jsonl", [{**row, "duration": "heffalump"}])
    asked = ("transcribe", tmp_path / "cycle1", "--model", "embedded")
    code, _, errors = run(*asked)
    assert code == 2
    assert "heffalump" in errors
    code, _, errors = run(*asked, "--no-texts")
    assert code == 2
    assert "row 1: bad-duration" in errors
    assert "heffalump" not in errors


def test_a_score_without_terms_has_a_dash_and_tells_of_empty_references(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """An empty reference makes each word of its hypothesis an error, by the contract."""
    rows = [
        {"audio_filepath": "a.wav", "ref": "we sleep well", "hyp": "we sleep well"},
        {"audio_filepath": "b.wav", "ref": " …", "hyp": "three more words"},
    ]
    code, out, _ = run("score", factories.write_rows(tmp_path / "h.jsonl", rows))
    assert code == 0
    assert "ker  –  of 0 rows with a term" in out
    assert "None" not in out
    assert "note: 1 row with an empty reference" in out
    assert "wer  1.5000" in out


def test_a_history_before_the_first_run_says_so(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """Without tables that are empty, and without a champion that is none."""
    factories.make_cycle(tmp_path)
    code, out, _ = run("history", tmp_path)
    assert code == 0
    assert "no run has finished here yet" in out
    assert "none was kept" not in out
    assert "Turns" not in out
    code, out, _ = run("history", tmp_path, "--json")
    assert json.loads(out)["turns"] == []


def test_an_empty_store_is_said_to_be_empty(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """A misspelt folder looks like one; as JSON it is an empty list."""
    code, out, _ = run("runs", str(tmp_path / "store"), "ward/cycle1")
    assert (code, out.split(". ")[0]) == (
        0,
        f"{tmp_path}/store: holds no complete run of ward/cycle1",
    )
    assert run("runs", str(tmp_path / "store"), "--json")[1].strip() == "[]"
