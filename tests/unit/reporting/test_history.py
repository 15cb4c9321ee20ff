"""The history of a clinic's cycles: trend, champion, stopping rules, and what cannot be read."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from asr_flywheel.cli import app
from tasks.common.errors import InputError
from tasks.data.cycle_folder import open_cycle
from tasks.records import cost_ledger, run_record
from tasks.reporting.history import History, read_history
from tasks.reporting.html.page import render
from tasks.reporting.html.report_data import gather
from tests.support import factories
from tests.support.prepared_cycles import Turn, finish_turn, mixture

if TYPE_CHECKING:
    from pathlib import Path

BIG = {"trained": (30, 20, 5)}


def clinic(root: Path, *turns: Turn) -> History:
    """The history of turns one after the other, the first of which tuned cycle 1."""
    for number, turn in enumerate(turns, start=1):
        finish_turn(root, number, turn, terms=("aspirin", "metformin", "warfarin"))
    return read_history(root)


def held_out(before: int, after: int, n: int = 30, **more: Any) -> Turn:
    """A turn that lowers the held-out misses so."""
    return Turn((n, before, after), **{**BIG, **more})


def test_every_turn_stands_in_the_table(tmp_path: Path) -> None:
    """With its figures on the rows that the model was not trained on, and their intervals."""
    found = clinic(tmp_path, held_out(24, 12), held_out(15, 6, decision="grow"))
    told = [turn.as_dict() for turn in found.turns]
    assert [one["cycle"] for one in told] == [2, 3]
    assert [one["decision"] for one in told] == ["keep", "grow"]
    assert (told[0]["rows"], told[0]["held_out"], told[0]["base"]) == (60, 30, "embedded")
    drug = told[0]["ker"]["drug"]
    assert drug["missed"] == 8
    assert drug["n"] == 20
    assert drug["ci"][0] < 0.4 < drug["ci"][1]
    assert told[0]["training_seconds"] == 69.0
    assert told[0]["usd"] is None
    assert {name: list(by) for name, by in found.trend().items()} == {
        "drug": [2, 3],
        "lab": [2, 3],
    }
    assert found.problems == ()


def test_the_shipped_value_of_each_turn_is_told(tmp_path: Path) -> None:
    """Of an older run it is not known."""
    found = clinic(tmp_path, held_out(24, 12), held_out(24, 12, shipped=mixture()))
    assert [turn.as_dict()["shipped_value"] for turn in found.turns] == [None, 0.4]
    shown = CliRunner().invoke(app, ["history", str(tmp_path)]).output
    (older,) = re.findall(r"^ *2 .*$", shown, re.MULTILINE)
    (newer,) = re.findall(r"^ *3 ★.*$", shown, re.MULTILINE)
    assert " 0.4 " not in older
    assert " 0.4 " in newer


def test_the_newest_kept_model_is_the_champion(tmp_path: Path) -> None:
    """Not one that was discarded after it."""
    found = clinic(tmp_path, held_out(24, 12), held_out(24, 9), held_out(9, 15, decision="discard"))
    assert found.champion is not None
    assert found.champion.cycle == 3


def test_a_kept_model_that_is_shown_to_be_worse_is_no_champion(tmp_path: Path) -> None:
    """The earlier one misses 2 of the 20 common drug rows, the later one 12."""
    found = clinic(tmp_path, held_out(28, 3), held_out(28, 18))
    assert found.champion is not None
    assert found.champion.cycle == 2
    (compared,) = found.comparisons
    assert compared.earlier_is_better


def test_no_kept_model_is_no_champion(tmp_path: Path) -> None:
    """And a history of nothing but a baseline has none either."""
    assert clinic(tmp_path / "a", held_out(24, 24, decision="grow")).champion is None
    factories.make_cycle(tmp_path / "b")
    assert read_history(tmp_path / "b").turns == ()


def test_other_manifests_are_compared_on_their_common_rows(tmp_path: Path) -> None:
    """And it says so, with how many rows only one of them has."""
    found = clinic(tmp_path, held_out(24, 12), held_out(30, 12, n=36))
    path = tmp_path / "cycle3" / "run.json"
    record = json.loads(path.read_text())
    record["preflight"]["manifest_sha256"] = "f" * 64
    path.write_text(json.dumps(record))
    (compared,) = read_history(tmp_path).comparisons
    assert not compared.same_manifest
    assert (compared.only_earlier, compared.only_later) == (0, 6)
    assert compared.common == 20
    assert "only their common rows count" in str(compared)
    # Rows without such a term were not trained on either, and do not count.
    assert "On 20 rows with a term of drug that neither was trained on" in str(compared)
    (same,) = found.comparisons
    assert same.same_manifest


def test_cycles_without_a_common_row_are_not_compared(tmp_path: Path) -> None:
    """The newer kept model is then the champion, and the line says why there is no figure."""
    finish_turn(tmp_path, 1, held_out(24, 3), terms=("aspirin",))
    finish_turn(tmp_path, 2, held_out(24, 20), terms=("sertraline",))
    found = read_history(tmp_path)
    assert "no row in common" in str(found.comparisons[0])
    assert found.champion is not None
    assert found.champion.cycle == 3


def test_a_kept_model_that_could_not_be_compared_is_told(tmp_path: Path) -> None:
    """That it is the champion as the newer one alone, and why."""
    finish_turn(tmp_path, 1, held_out(24, 3), terms=("aspirin",))
    finish_turn(tmp_path, 2, held_out(24, 20), terms=("sertraline",))
    (note,) = read_history(tmp_path).champion_notes
    assert note.startswith(
        "The kept model of cycle 3 takes the place of cycle 2's as the newer one alone: whether it "
        "misses fewer terms is not known. Cycles 2 and 3 are not compared: "
    )
    assert note in CliRunner().invoke(app, ["history", str(tmp_path)]).output


def import_anew(cycle: Path, shift: int, *, hashed: bool = True) -> None:
    """Number the files of an evaluation anew, as after a grown corpus's import."""
    for name in (run_record.BASELINE_NAME, "offline_hyps.jsonl"):
        rows = [json.loads(line) for line in (cycle / name).read_text().splitlines()]
        for place, row in enumerate(rows):
            if hashed:
                row["audio_sha256"] = f"sound of {row['audio_filepath']}"
            row["audio_filepath"] = f"audio/{place + shift}.flac"
        factories.write_rows(cycle / name, rows)


def test_a_corpus_that_grew_is_compared_by_its_sound(tmp_path: Path) -> None:
    """The worse later model is found out, although every file has another name."""
    clinic(tmp_path, held_out(28, 3), held_out(28, 18))
    import_anew(tmp_path / "cycle2", 0)
    import_anew(tmp_path / "cycle3", 1)
    found = read_history(tmp_path)
    (compared,) = found.comparisons
    assert (compared.common, compared.only_earlier, compared.only_later) == (20, 0, 0)
    assert found.champion is not None
    assert found.champion.cycle == 2
    assert found.champion_notes == ()


def test_rows_that_both_saw_are_told_as_the_reason(tmp_path: Path) -> None:
    """Not as if the evaluations had no row in common."""
    clinic(tmp_path, held_out(24, 3), held_out(24, 20))
    path = tmp_path / "cycle3" / "offline_hyps.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    factories.write_rows(path, ({**row, "part": "trained"} for row in rows))
    (compared,) = read_history(tmp_path).comparisons
    assert "of 60 common rows, 0 were unseen by both models" in str(compared)


@pytest.mark.parametrize(
    ("turns", "floor"),
    [
        ((held_out(24, 24), held_out(24, 24)), True),
        ((held_out(24, 24), held_out(24, 12)), False),
        ((held_out(24, 24),), False),
    ],
)
def test_two_turns_without_a_drop_are_a_floor(
    tmp_path: Path, turns: tuple[Turn, ...], *, floor: bool
) -> None:
    """One is not, nor is one followed by a drop."""
    advice = clinic(tmp_path, *turns).advice
    assert any(line.startswith("Floor: two turns in a row") for line in advice) == floor


@pytest.mark.parametrize(
    ("val_wer", "train_loss", "told"),
    [((0.2, 0.1, 0.2), (9, 6, 3), True), ((0.3, 0.2, 0.1), (9, 6, 3), False)],
)
def test_overfitting_is_told(
    tmp_path: Path, val_wer: tuple[float, ...], train_loss: tuple[float, ...], *, told: bool
) -> None:
    """Validation WER up while the loss falls; not where both fall."""
    found = clinic(tmp_path, held_out(24, 12, val_wer=val_wer, train_loss=train_loss))
    assert any(line.startswith("Overfit in cycle 2") for line in found.advice) == told


def test_a_damaged_or_unfinished_cycle_is_told_and_not_fatal(tmp_path: Path) -> None:
    """Whatever is wrong with one folder, the others are shown."""
    clinic(tmp_path, held_out(24, 12), held_out(24, 12), held_out(24, 12), held_out(24, 12))
    (tmp_path / "cycle3" / "run.json").write_text('{"started": ')
    (tmp_path / "cycle4" / "offline_hyps.jsonl").write_text("")
    (tmp_path / "cycle5" / "run.json").unlink()
    (tmp_path / "cycle5" / ".run-begun").touch()
    (tmp_path / "cycle9").write_text("a file")
    (tmp_path / "notes").mkdir()
    found = read_history(tmp_path)
    assert [turn.cycle for turn in found.turns] == [2]
    assert len(found.problems) == 3
    told = " ".join(found.problems)
    for folder in ("cycle3", "cycle4", "cycle5"):
        assert str(tmp_path / folder) in told


def test_a_file_that_was_changed_since_the_run_is_told(tmp_path: Path) -> None:
    """Its hash is in the record."""
    clinic(tmp_path, held_out(24, 12))
    path = tmp_path / "cycle2" / "run.json"
    record = json.loads(path.read_text())
    record["files"] = {"offline_hyps.jsonl": "0" * 64, "leaderboard_cycle2.md": "0" * 64}
    path.write_text(json.dumps(record))
    problems = read_history(tmp_path).problems
    assert "was changed since" in problems[0]
    assert "it is gone" in problems[1]


def test_costs_are_the_ledgers(tmp_path: Path) -> None:
    """Of the cycle that was tuned, whose evaluation stands in the next."""
    clinic(tmp_path, held_out(24, 12))
    rented = cost_ledger.entry(
        started=0,
        ended=3600,
        cycle=1,
        run="r",
        provider="brev",
        sku="l40s",
        host="h",
        usd_per_hour=1.5,
        outcome=cost_ledger.RentalOutcome.COMPLETED,
    )
    cost_ledger.append(tmp_path, rented)
    assert read_history(tmp_path).turns[0].usd == 1.5


def test_the_command_prints_it_for_people_and_for_programs(tmp_path: Path) -> None:
    """And no cycle at all is bad input."""
    clinic(tmp_path, held_out(24, 12), held_out(24, 9))
    shown = CliRunner().invoke(app, ["history", str(tmp_path)])
    assert shown.exit_code == 0, shown.output
    assert "Champion: cycle 3's model" in shown.output
    assert "It was tuned on cycle 2's rows, where its file is; its evaluation" in shown.output
    assert "0.400 (0.22 to 0.61, 20)" in shown.output
    told = json.loads(CliRunner().invoke(app, ["history", str(tmp_path), "--json"]).output)
    assert told["champion"]["cycle"] == 3
    assert told["trend"]["drug"]["2"]["missed"] == 8
    for wrong in (tmp_path / "none", tmp_path / "cycle1" / "audio"):
        result = CliRunner().invoke(app, ["history", str(wrong)])
        assert isinstance(result.exception, InputError)


def read_by(root: Path, cycle: int, table: dict[str, str]) -> None:
    """Note in a finished run's record which table its strict view read."""
    path = root / f"cycle{cycle}" / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "strict_table": table}))


def test_cycles_whose_strict_views_read_different_tables_are_told(tmp_path: Path) -> None:
    """In the comparison of the two, and in the later one's report."""
    clinic(tmp_path, held_out(24, 12), held_out(15, 6))
    (untold,) = read_history(tmp_path).comparisons
    assert untold.other_table is None  # runs of a version that did not note it
    bundled = {"sha256": "a" * 64, "source": "bundled"}
    read_by(tmp_path, 2, bundled)
    read_by(tmp_path, 3, bundled)
    (same,) = read_history(tmp_path).comparisons
    assert "table" not in str(same)
    read_by(tmp_path, 3, {"sha256": "b" * 64, "source": "bundled, and site.yaml"})
    found = read_history(tmp_path)
    (other,) = found.comparisons
    says = (
        "read different tables (before: bundled, aaaaaaaa; now: bundled, and site.yaml, bbbbbbbb)"
    )
    assert says in str(other)
    assert found.turns[1].as_dict()["strict_table"] == {
        "sha256": "b" * 64,
        "source": "bundled, and site.yaml",
    }
    assert says in CliRunner().invoke(app, ["history", str(tmp_path)]).output.replace("\n", " ")
    later = open_cycle(tmp_path / "cycle3")
    assert says in render(gather(later, run_record.read(later)))


def test_a_clinic_whose_runs_are_on_labelled_cycles_is_told_where_they_are(tmp_path: Path) -> None:
    """Both folders hold cycles of one number."""
    (tmp_path / "cycle1").mkdir()
    clinic(tmp_path / "labelled", held_out(20, 5))
    told = CliRunner().invoke(app, ["history", str(tmp_path)]).stdout
    assert f"`asr-flywheel history {tmp_path}/labelled`" in told
