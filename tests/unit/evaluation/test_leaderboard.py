"""The leaderboard: five sections in order, each figure with its n, held-out rows first."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tasks.data.manifest import Utterance
from tasks.evaluation.diff import pair
from tasks.evaluation.hypotheses import Hypothesis, Partition, hypothesis_for, write_hypotheses
from tasks.evaluation.leaderboard import (
    Leaderboard,
    LeaderboardEntry,
    baseline_entries,
    tuned_entries,
)
from tasks.evaluation.leaderboard_markdown import leaderboard_as_markdown
from tasks.evaluation.metric_changes import metric_changes
from tasks.evaluation.result_reading import iterate_hypotheses
from tasks.evaluation.scoring import Scores, score
from tests.support import factories

if TYPE_CHECKING:
    from pathlib import Path

TITLES = [
    "1. Headline",
    "2. KER by entity category",
    "3. KER by pronunciation source (ipa_source)",
    "4. KER by noise level",
    "5. KER by term, worst first",
]


def term_rows(term: str, missed: int, n: int, **fields: Any) -> list[Hypothesis]:
    """Rows of one term."""
    return [
        Hypothesis(f"{term}{place}.wav", term, "x" if place < missed else term, term, **fields)
        for place in range(n)
    ]


def sections(markdown: str) -> dict[str, list[list[str]]]:
    """The cells of each section's table, header first, without the ruler."""
    found = {}
    for part in markdown.split("\n# ", maxsplit=1)[0].split("\n## ")[1:]:
        title, *lines = part.splitlines()
        table = [line for line in lines if line.startswith("|") and not line.startswith("| ---")]
        found[title] = [
            [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for line in table
            if not set(line) <= set("|-: ")
        ]
    return found


def bare(lines: list[list[str]]) -> list[list[str]]:
    """The cells without their intervals, which other tests look at."""
    return [[re.sub(r" \[[^]]*\]$", "", cell) for cell in line] for line in lines]


def tuned_board() -> Leaderboard:
    """Four held-out and six trained drug rows; one lab row each."""

    def rows(held: int, trained: int) -> Scores:
        fields: dict[str, Any] = {"ipa_source": "override", "noise_level": "clean"}
        return score(
            factories.evaluated(held, 4, part=Partition.HELD_OUT, **fields)
            + factories.evaluated(trained, 6, start=4, part=Partition.TRAINED, **fields)
            + factories.evaluated(0, 1, "lab", start=10, part=Partition.HELD_OUT, **fields)
            + factories.evaluated(1, 1, "lab", start=11, part=Partition.TRAINED, **fields)
        )

    return Leaderboard(2, tuned_entries("base", rows(4, 5), "tuned", rows(1, 0)), ("A note.",))


def test_five_sections_stand_in_the_contracts_order() -> None:
    """Headline, category, pronunciation source, noise level, term."""
    assert list(sections(leaderboard_as_markdown(tuned_board()))) == TITLES


def test_the_headline_gives_held_out_rows_first_and_labels_the_trained() -> None:
    """Tuned before base; held-out, trained on, all; each with its n and all figures."""
    header, *lines = sections(leaderboard_as_markdown(tuned_board()))[TITLES[0]]
    assert header == [
        "model",
        "rows",
        "n",
        "WER",
        "CER",
        "KER",
        "n with term",
        "SER",
        "pooled WER",
    ]
    assert [line[:3] for line in lines] == [
        ["tuned", "held-out", "5"],
        ["base", "held-out", "5"],
        ["tuned", "trained on", "7"],
        ["base", "trained on", "7"],
        ["tuned", "all, trained on included", "12"],
        ["base", "all, trained on included", "12"],
    ]
    assert [line[5] for line in lines] == [
        "0.200 [0.04, 0.62]",
        "0.800 [0.38, 0.96]",
        "0.143 [0.03, 0.51]",
        "0.857 [0.49, 0.97]",
        "0.167 [0.05, 0.45]",
        "0.833 [0.55, 0.95]",
    ]
    # One wrong sentence of five, two of its three words replaced or added: 2/3 of a row. All rows
    # are of one term, so that WER has no interval.
    assert lines[0][3] == "0.133"
    assert lines[0][7] == "0.200 [0.04, 0.62]"
    assert lines[0][8] == "0.133"


def test_a_breakdown_gives_each_value_with_its_n() -> None:
    """KER and n of each category for tuned and base, on held-out and on trained rows."""
    header, *lines = sections(leaderboard_as_markdown(tuned_board()))[TITLES[1]]
    assert header == [
        "entity_category",
        "held-out: tuned KER (n)",
        "held-out: base KER (n)",
        "trained on: tuned KER (n)",
        "trained on: base KER (n)",
    ]
    assert lines == [
        [
            "drug",
            "0.250 (4) [0.05, 0.70]",
            "1.000 (4) [0.51, 1.00]",
            "0.000 (6) [0.00, 0.39]",
            "0.833 (6) [0.44, 0.97]",
        ],
        [
            "lab",
            "0.000 (1) [0.00, 0.79]",
            "0.000 (1) [0.00, 0.79]",
            "1.000 (1) [0.21, 1.00]",
            "1.000 (1) [0.21, 1.00]",
        ],
    ]


def test_terms_stand_worst_first() -> None:
    """Highest KER first, of equal ones the better known, then by name."""
    rows = (
        term_rows("warfarin", 1, 4)
        + term_rows("aspirin", 2, 2)
        + term_rows("insulin", 3, 3)
        + term_rows("heparin", 0, 5)
        + term_rows("digoxin", 0, 5)
    )
    board = Leaderboard(1, baseline_entries("base", score(rows)))
    lines = sections(leaderboard_as_markdown(board))[TITLES[4]][1:]
    assert bare(lines) == [
        ["insulin", "1.000 (3)"],
        ["aspirin", "1.000 (2)"],
        ["warfarin", "0.250 (4)"],
        ["digoxin", "0.000 (5)"],
        ["heparin", "0.000 (5)"],
    ]


def test_terms_without_held_out_rows_come_last_and_say_so() -> None:
    """A term that was only trained on has no held-out figure, which is not a zero."""
    rows = term_rows("warfarin", 0, 2, part=Partition.HELD_OUT)
    rows += term_rows("aspirin", 2, 2, part=Partition.TRAINED)
    both = score(rows)
    lines = sections(leaderboard_as_markdown(Leaderboard(2, tuned_entries("b", both, "t", both))))[
        TITLES[4]
    ]
    assert bare(lines[1:]) == [
        ["warfarin", "0.000 (2)", "0.000 (2)", "– (0)", "– (0)"],
        ["aspirin", "– (0)", "– (0)", "1.000 (2)", "1.000 (2)"],
    ]


def test_a_manifest_without_a_field_says_so() -> None:
    """The section stays, and names what is missing."""
    text = leaderboard_as_markdown(Leaderboard(1, baseline_entries("base", factories.scored(1, 4))))
    assert list(sections(text)) == TITLES
    assert "The manifest has no `ipa_source`: this breakdown cannot be made." in text
    assert "The manifest has no `noise_level`: this breakdown cannot be made." in text
    assert "no `entity_category`" not in text


def test_rows_that_lack_a_field_are_apart() -> None:
    """Where some rows have the field, the others stand under "(none)"."""
    rows = factories.evaluated(1, 2, noise_level="clean") + factories.evaluated(1, 4, start=2)
    lines = sections(leaderboard_as_markdown(Leaderboard(1, baseline_entries("b", score(rows)))))[
        TITLES[3]
    ]
    assert sorted(bare(lines[1:])) == [["(none)", "0.250 (4)"], ["clean", "0.500 (2)"]]


@pytest.mark.parametrize("name", ["a|b", "a\\|b", "a\nb", "|", "a\\"])
def test_a_name_cannot_break_the_table(name: str) -> None:
    """Bars, backslashes and line breaks in the user's words are escaped."""
    rows = factories.evaluated(1, 2, noise_level=name)
    text = leaderboard_as_markdown(Leaderboard(1, baseline_entries(name, score(rows))))
    for table in (sections(text)[TITLES[0]], sections(text)[TITLES[3]]):
        assert len({len(line) for line in table}) == 1
        assert len(table) == 2
    shown = name.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
    assert f"| {shown} | 0.500 (2) [0.09, 0.91] |" in text


def test_the_json_holds_the_same_figures() -> None:
    """Each table's records, unrounded, and null where there are no rows."""
    board = tuned_board()
    told = json.loads(json.dumps(board.as_dict(), allow_nan=False))
    assert told["cycle"] == 2
    assert told["notes"] == ["A note."]
    assert list(told["sections"]) == [
        "headline",
        "entity_category",
        "ipa_source",
        "noise_level",
        "term",
    ]
    markdown = sections(leaderboard_as_markdown(board))
    for record, line in zip(told["sections"]["headline"], markdown[TITLES[0]][1:], strict=True):
        assert [record["model"], record["rows"], str(record["n"])] == line[:3]
        assert [f"{record[name]:.3f}" for name in ("WER", "CER", "KER")] == bare([line])[0][3:6]
        low, high = record["KER ci"]
        assert line[5].endswith(f" [{low:.2f}, {high:.2f}]")
    for number, dimension in enumerate(list(told["sections"])[1:], start=1):
        header, *lines = markdown[TITLES[number]]
        cells = {
            (line[0], column): cell
            for line in lines
            for column, cell in zip(header[1:], line[1:], strict=True)
        }
        assert cells == {
            (
                record[dimension],
                f"{record['rows']}: {record['model']} KER (n)",
            ): f"{record['KER']:.3f} ({record['n']}) "
            f"[{record['KER ci'][0]:.2f}, {record['KER ci'][1]:.2f}]"
            for record in told["sections"][dimension]
        }


def test_figures_without_rows_are_null_in_the_json() -> None:
    """Nothing held out is not a zero."""
    rows = score(factories.evaluated(1, 2, part=Partition.TRAINED))
    told = Leaderboard(2, tuned_entries("b", rows, "t", rows)).as_dict()
    held_out = told["sections"]["headline"][0]  # type: ignore[index]
    assert (held_out["rows"], held_out["n"], held_out["KER"], held_out["WER"]) == (
        "held-out",
        0,
        None,
        None,
    )


def test_notes_and_cycle_stand_at_the_top() -> None:
    """The reader sees first what the figures rest on."""
    assert leaderboard_as_markdown(tuned_board()).startswith(
        "# Leaderboard, cycle 2\n\n> A note.\n\n## 1."
    )


def test_an_imported_evaluation_is_an_entry_of_its_own() -> None:
    """It stands under its own label, and does not hide the others."""
    board = Leaderboard(
        1, (LeaderboardEntry("hosted (another decoder)", "all", factories.scored(1, 2)),)
    )
    assert sections(leaderboard_as_markdown(board))[TITLES[0]][1][0] == "hosted (another decoder)"


def test_rates_have_an_interval_over_terms() -> None:
    """Where there are terms enough; WER's and the pooled WER's are two figures."""
    rows = [row for place in range(8) for row in term_rows(f"term {place}", place % 3, 4)]
    record = Leaderboard(1, baseline_entries("base", score(rows))).as_dict()["sections"]
    headline = record["headline"][0]  # type: ignore[index]
    for name in ("WER", "CER", "SER", "pooled WER"):
        low, high = headline[f"{name} ci"]
        assert low < headline[name] < high


def beyond_figures(board: Leaderboard) -> list[dict[str, Any]]:
    """What the board's JSON holds beyond its sections."""
    found: list[dict[str, Any]] = json.loads(json.dumps(board.as_dict()))["beyond"]
    return found


def test_what_ker_does_not_see_stands_after_the_five_sections() -> None:
    """A false keyword and a wrong dose, each with its n; the sections stay five."""
    rows = [
        Hypothesis("0.wav", "give aspirin 5 mg", "give aspirin 50 mg", "aspirin", "drug"),
        Hypothesis("1.wav", "give insulin", "give insulin aspirin", "insulin", "drug"),
    ]
    board = Leaderboard(1, baseline_entries("base", score(rows)))
    text = leaderboard_as_markdown(board)
    assert list(sections(text)) == TITLES
    assert "- base, all: canonical KER 0.000 (2) [0.00, 0.66] (missed by spelling only: 0)" in text
    assert ", FKR 0.500 (2) [0.09, 0.91], strict 1.000 (1) [0.21, 1.00]" in text
    assert beyond_figures(board)[0]["spelling"]["canonical_ker"] == 0.0
    beyond = json.loads(json.dumps(board.as_dict()))["beyond"]
    assert beyond[0]["false_keywords"]["by"]["drug"]["fkr"] == 0.5
    assert beyond[0]["strict"]["n"] == 1


def test_harm_outside_the_terms_is_told_on_rows_that_were_held_out() -> None:
    """By hand: of the held-out rows' ten words outside "aspirin" the tuned model misses none."""
    text = leaderboard_as_markdown(tuned_board())
    told = text[text.index("# WER outside the terms (in-domain harm)") :]
    assert "- tuned, held-out: 0.000 (10 words)" in told
    assert "- base, held-out: 0.000 (10 words)" in told
    assert "trained on" not in told
    assert "no guard" in told
    beyond = json.loads(json.dumps(tuned_board().as_dict()))["beyond"]
    assert beyond[0]["outside_terms"] == {"words": 10, "edits": 0, "wer": 0.0, "ci": None}


def test_differences_stand_with_their_intervals() -> None:
    """Of each headline figure, on the held-out rows, in Markdown and in JSON."""
    before = [row for place in range(8) for row in term_rows(f"t {place}", 3, 4)]
    after = [row for place in range(8) for row in term_rows(f"t {place}", 1, 4)]
    found = metric_changes(pair(score(before), score(after)))
    assert [one.name for one in found] == ["WER", "CER", "KER", "SER", "pooled WER"]
    board = Leaderboard(2, baseline_entries("base", score(after)), (), found)
    ker = found[2]
    assert (ker.before, ker.after, ker.n) == (0.75, 0.25, 32)
    assert ker.interval is not None
    assert ker.p == pytest.approx(2 / 2**16 - 1 / 2**16)
    assert (
        f"- KER: 0.750 → 0.250 (32), -0.500 [{ker.interval.low:+.3f}, "
        in leaderboard_as_markdown(board)
    )
    told = json.loads(json.dumps(board.as_dict()))["differences"]
    assert told[0]["figure"] == "WER"
    # All eight terms changed alike, so that the bootstrap has nothing to vary.
    assert told[0]["ci"] == [pytest.approx(told[0]["difference"])] * 2
    assert list(sections(leaderboard_as_markdown(board))) == TITLES


def test_narrow_rows_have_their_own_breakdown() -> None:
    """Apart from the five sections, for entries that have such rows; else it is not there."""
    wide = term_rows("aspirin", 1, 4)
    narrow = term_rows("warfarin", 2, 3, bandwidth="narrow")
    board = Leaderboard(1, baseline_entries("base", score([*wide, *narrow])))
    text = leaderboard_as_markdown(board)
    assert list(sections(text)) == TITLES
    part = text[text.index("# By bandwidth") :]
    assert part.index("narrow: KER 0.667") < part.index("wide: KER 0.250")
    records: Any = board.as_dict()["bandwidth"]
    assert [(one["bandwidth"], one["n"], one["KER"]) for one in records] == [
        ("narrow", 3, pytest.approx(2 / 3)),
        ("wide", 4, 0.25),
    ]
    plain = Leaderboard(1, baseline_entries("base", score(wide)))
    assert "By bandwidth" not in leaderboard_as_markdown(plain)
    assert "bandwidth" not in plain.as_dict()


def test_a_rows_bandwidth_is_kept_in_its_file(tmp_path: Path) -> None:
    """From the manifest to the hypotheses and back; a row without it has no such field."""
    marks = [{"bandwidth": "narrow"}, {"bandwidth": "wide"}]
    rows = [Utterance(1, "a.wav", "give aspirin", extra=extra) for extra in marks]
    path = tmp_path / "hyps.jsonl"
    write_hypotheses(path, [hypothesis_for(row, "x") for row in rows])
    assert [row.bandwidth for row in iterate_hypotheses(path)] == ["narrow", None]
    assert path.read_text().count("bandwidth") == 1
