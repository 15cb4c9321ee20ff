"""Several terms in one row of a manifest, each with its category.

The inputs are those of rcourtman/presspeech#21 (68 terms in 40 clips) and of
T0mSIlver/localvoxtral#315, and what a column of lists, semicolons or spans of NER become in a file.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tasks.common.errors import InputError
from tasks.data.audio_checks import AudioLimits
from tasks.data.manifest import parse_manifest, read_manifest, write_manifest
from tasks.data.preflight import preflight
from tasks.data.row_groups import SplitRow
from tasks.data.row_terms import RowTerm, rarest_categories
from tasks.data.split import split_rows
from tasks.data.training_set import counts, split_checked, write_training_set
from tasks.data.transcript_tags import TagChoice, rewrite
from tasks.models.nemo_archive import open_archive
from tasks.models.text_style import style_of
from tests.support import factories
from tests.support.cases import case

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.data.findings import ManifestFinding

TEXT = "give metoprolol and aspirin now"
BOTH = [
    {"term": "metoprolol", "entity_category": "drug"},
    {"term": "aspirin", "entity_category": "drug"},
]
LIMITS = AudioLimits(16000, min_duration=0.1, max_duration=20.0)


def findings_of(path: Path, *rows: dict[str, Any]) -> tuple[ManifestFinding, ...]:
    """What is wrong with a manifest of these rows."""
    named = [
        {"audio_filepath": f"{place}.wav", "text": TEXT, **row} for place, row in enumerate(rows)
    ]
    return parse_manifest(factories.write_rows(path / "manifest.jsonl", named))[1]


def follow(fix: str, row: dict[str, Any]) -> dict[str, Any]:
    """The row of who writes the list that a fix gives, in the place of the single term."""
    (listed,) = re.findall(r'"terms": (\[.*\])', fix)
    rest = {name: value for name, value in row.items() if name not in {"term", "entity_category"}}
    return {**rest, "terms": json.loads(listed)}


def test_each_of_the_cases_rows_is_told_how_two_terms_are_written(tmp_path: Path) -> None:
    """A list, a comma and a second row: who follows the fixes has one row and two terms."""
    folder = case("26-two-terms-one-recording") / "cycle1"
    found = preflight(folder / "manifest.jsonl", LIMITS, None).findings
    assert [(one.code, one.row) for one in found if one.severity == "error"] == [
        ("bad-term", 1),
        ("term-not-in-text", 2),
        ("duplicate-row", 4),
    ]
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    errors = [one for one in found if one.severity == "error"]
    mended = [follow(one.fix, row) for one, row in zip(errors, rows, strict=False)]
    path = tmp_path / "cycle1"
    (path / "audio").mkdir(parents=True)
    for place, row in enumerate(mended):
        factories.write_wav(path / row["audio_filepath"], 1.5, seed=place)
    result = preflight(factories.write_rows(path / "manifest.jsonl", mended), LIMITS, None)
    assert result.findings == ()
    assert [row.utterance.flagged for row in result.rows] == [
        (RowTerm("metoprolol", "drug"), RowTerm("aspirin", "drug"))
    ] * 3


# What a user wrote, and the code of its one finding; who follows its fix has none.
SEVERAL: dict[str, tuple[dict[str, Any], str]] = {
    "a list as the term": (
        {"term": ["metoprolol", "aspirin"], "entity_category": "drug"},
        "bad-term",
    ),
    "a list that a table wrote": (
        {"term": "['metoprolol', 'aspirin']", "entity_category": "drug"},
        "term-not-in-text",
    ),
    "semicolons": ({"term": "metoprolol; aspirin", "entity_category": "drug"}, "term-not-in-text"),
    "a plus": ({"term": "metoprolol + aspirin", "entity_category": "drug"}, "term-not-in-text"),
    "the other order": (
        {"term": "aspirin and metoprolol", "entity_category": "drug"},
        "term-not-in-text",
    ),
    "texts in the list": (
        {"terms": ["metoprolol", "aspirin"], "entity_category": "drug"},
        "bad-terms",
    ),
    "a text as the list": (
        {"terms": "metoprolol, aspirin", "entity_category": "drug"},
        "bad-terms",
    ),
    "the category under another name": (
        {"terms": ["metoprolol", {"term": "aspirin", "label": "Medication"}]},
        "bad-terms",
    ),
    "one of them twice": (
        {"terms": [*BOTH, {"term": "Aspirin", "entity_category": None}]},
        "duplicate-term",
    ),
    "one category for all": (
        {"terms": [{"term": "metoprolol"}, {"term": "aspirin"}], "entity_category": "drug"},
        "conflicting-entity_category",
    ),
    "a single term beside them": (
        {"terms": BOTH[:1], "term": "aspirin", "entity_category": "drug"},
        "conflicting-term",
    ),
}


@pytest.mark.parametrize(("row", "code"), SEVERAL.values(), ids=list(SEVERAL))
def test_the_fix_of_several_terms_ends_the_finding(
    tmp_path: Path, row: dict[str, Any], code: str
) -> None:
    """It is the list as the row wants it, ready to be copied."""
    (found,) = findings_of(tmp_path, row)
    assert found.code == code
    assert findings_of(tmp_path, follow(found.fix, row)) == ()


def test_two_lists_side_by_side_are_brought_together(tmp_path: Path) -> None:
    """Terms and categories in their order; both findings have one fix."""
    row = {"term": ["metoprolol", "aspirin"], "entity_category": ["drugs", "lab"]}
    first, second = findings_of(tmp_path, row)
    assert first.fix == second.fix
    assert follow(first.fix, row)["terms"] == [
        {"term": "metoprolol", "entity_category": "drug"},
        {"term": "aspirin", "entity_category": "lab"},
    ]


@pytest.mark.parametrize(
    ("terms", "code", "fix"),
    [
        ([{"term": "heparin", "entity_category": "drug"}], "term-not-in-text", "delete its item"),
        ([{"term": "aspirin", "entity_category": "medication"}], "unknown-entity", 'write "drug"'),
        ([{"term": "aspirin", "entity_category": 5}], "bad-entity_category", "or null"),
        ([{"term": " ", "entity_category": "drug"}], "bad-terms", "delete the item"),
        ([{"term": "aspirin", "type": "Drugs"}], "bad-terms", '"entity_category": "drug"'),
        ([{"term": "?!", "entity_category": "drug"}], "unscorable-term", "or remove it"),
        (7, "bad-terms", "write null"),
    ],
)
def test_each_term_is_checked_as_a_single_one_is(
    tmp_path: Path, terms: Any, code: str, fix: str
) -> None:
    """In the text, in the vocabulary, scorable."""
    (found,) = findings_of(tmp_path, {"terms": terms})
    assert found.code.startswith(code)
    assert fix in found.fix


@pytest.mark.parametrize("empty", [[], None, "", "[]"])
def test_an_empty_list_is_no_list(tmp_path: Path, empty: Any) -> None:
    """The single term then counts."""
    assert findings_of(tmp_path, {"terms": empty, "term": "aspirin"}) == ()
    (row,) = read_manifest(tmp_path / "manifest.jsonl")
    assert (row.terms, row.flagged) == ((), (RowTerm("aspirin"),))


def test_a_single_term_may_stand_beside_the_list_for_other_tools(tmp_path: Path) -> None:
    """It does not count twice, and the row is written as it was read."""
    row = {"terms": BOTH, "term": "aspirin", "entity_category": "drug"}
    assert findings_of(tmp_path, row) == ()
    (read,) = read_manifest(tmp_path / "manifest.jsonl")
    assert len(read.flagged) == 2
    assert read.categories == ("drug",)
    write_manifest(tmp_path / "copy.jsonl", [read])
    assert read_manifest(tmp_path / "copy.jsonl") == (read,)
    assert json.loads((tmp_path / "copy.jsonl").read_text())["terms"] == BOTH


def test_a_conflict_of_category_names_the_way_out(tmp_path: Path) -> None:
    """The row's own category says something of no term."""
    row = {"terms": BOTH, "entity_category": "lab"}
    (found,) = findings_of(tmp_path, row)
    assert found.code == "conflicting-entity_category"
    assert "delete entity_category" in found.fix
    assert findings_of(tmp_path, {"terms": BOTH}) == ()


def test_a_term_in_a_tag_takes_its_row_along(tmp_path: Path) -> None:
    """Without the tag one of the terms would be in no text."""
    said = {"audio_filepath": "a.wav", "text": "[aspirin] metoprolol", "terms": BOTH}
    rows = [said, {"audio_filepath": "b.wav", "text": f"[noise] {TEXT}", "terms": BOTH}]
    path = factories.write_rows(tmp_path / "manifest.jsonl", rows)
    assert rewrite(path, tmp_path / "copy.jsonl", TagChoice.TAG) == (2, 1)
    assert read_manifest(tmp_path / "copy.jsonl")[0].text == TEXT


def test_rows_of_two_recordings_alike_are_merged_by_the_fix(tmp_path: Path) -> None:
    """A warning's fix loses no term either."""
    for name in ("0.wav", "1.wav"):
        factories.write_wav(tmp_path / name, 1.5, seed=1)
    rows = [
        {"audio_filepath": f"{place}.wav", "text": TEXT, "term": term, "entity_category": "drug"}
        for place, term in enumerate(("metoprolol", "aspirin"))
    ]
    path = factories.write_rows(tmp_path / "manifest.jsonl", rows)
    (found,) = preflight(path, LIMITS, None).findings
    assert found.code == "duplicate-audio"
    assert follow(found.fix.partition("; until")[0], rows[0])["terms"] == BOTH


def test_the_copies_for_training_keep_the_terms_in_the_bases_style(
    cycle: Path, lower_nemo: Path
) -> None:
    """train.jsonl is a manifest like the user's."""
    rows = factories.cycle_rows()
    for row in rows:
        term = row.pop("term")
        row["text"] = f"the Doctor wrote {term.title()} into the chart"
        row["terms"] = [
            {"term": term.title(), "entity_category": row.pop("entity_category")},
            {"term": "Doctor", "entity_category": "role"},
        ]
    factories.write_rows(cycle / "manifest.jsonl", rows)
    result = preflight(cycle / "manifest.jsonl", LIMITS, style_of(open_archive(lower_nemo)))
    result.raise_errors()
    split = split_checked(result.rows, fraction=0.2, seed=42)
    written = write_training_set(cycle, result.rows, split)
    for copy in read_manifest(written.train):
        assert all(item.term.islower() and item.term in copy.text for item in copy.terms)
        assert copy.categories[1] == "role"
    assert counts(result.rows, split)["validation"] == {"drug": 1, "procedure": 1, "role": 2}


# The split.


def test_a_row_is_stratified_by_the_category_that_the_fewest_rows_have() -> None:
    """Whatever the order; of equally rare ones by the first name."""
    rows = [("drug", "lab"), ("drug",), ("drug", "role"), ("lab", "drug"), ()]
    assert rarest_categories(rows) == ["lab", "drug", "role", "lab", None]
    assert rarest_categories([row[::-1] for row in rows[::-1]]) == [
        *(None, "lab", "role", "drug", "lab"),
    ]
    assert rarest_categories([("role", "lab")]) == ["lab"]


def rows_of(*terms: tuple[str, ...]) -> list[SplitRow]:
    """Rows of these terms, each of a recording of its own."""
    return [
        SplitRow(number, "drug", f"recording {number}", f"text {number}", of_row)
        for number, of_row in enumerate(terms, start=1)
    ]


def test_a_held_out_row_takes_all_rows_of_its_terms_along() -> None:
    """No term stands on two sides; every row does on one."""
    rows = rows_of(*[(f"t{n // 2}", f"u{n // 4}") for n in range(40)])
    for seed in range(10):
        split = split_rows(rows, seed=seed, by_term=True, selection=0.2)
        sides = [
            {term for row in rows if row.row in part for term in row.terms}
            for part in (split.train, split.selection, split.validation)
        ]
        assert sides[2]
        assert not any(sides[a] & sides[b] for a, b in ((0, 1), (0, 2), (1, 2)))


def test_rows_that_hang_together_are_not_held_out_by_the_hundred() -> None:
    """Ninety rows share terms in a chain: the ten others can be held out, and a warning says so."""
    chain = [(f"t{n}", f"t{n + 1}") for n in range(90)]
    rows = rows_of(*chain, *[(f"single{n}",) for n in range(10)])
    for seed in range(10):
        split = split_rows(rows, seed=seed, by_term=True)
        assert set(split.validation) == set(range(91, 101))
        (warning,) = split.warnings
        assert "10 rows held out instead of 20, since others hang together" in warning


def test_a_manifest_of_one_chain_cannot_hold_out_terms() -> None:
    """It says why, and what to do."""
    with pytest.raises(InputError, match="hang together by terms that they share"):
        split_rows(rows_of(*[(f"t{n}", f"t{n + 1}") for n in range(20)]), by_term=True)
