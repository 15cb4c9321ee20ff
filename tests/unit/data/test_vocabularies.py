"""A wrong category is named by what it means, never by letters alike."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tasks.data.manifest import parse_manifest
from tasks.data.vocabularies import CATEGORIES, advise, find_meaning, find_spelling
from tests.support import factories
from tests.support.cases import case

if TYPE_CHECKING:
    from pathlib import Path

# JohnSnowLabs/spark-nlp#10738, sensein/structsense#125, and the labels of i2b2, n2c2 and BC5CDR.
MEANINGS = {
    "medication": "drug",
    "Medications": "drug",
    "Drugs": "drug",
    "CHEMICAL": "drug",
    "Drug_BrandName": "drug",
    "treatment": "procedure",
    "Surgeries": "procedure",
    "body part": "anatomy",
    "Body-Part": "anatomy",
    "Disease": "condition",
    "DIAGNOSES": "condition",
    "problem": "condition",
    "Symptoms": "condition",
    "Test": "lab",
    "lab tests": "lab",
    "Laboratory": "lab",
    "Clinician": "role",
    "occupation": "role",
}


@pytest.mark.parametrize(("written", "meant"), MEANINGS.items())
def test_another_tools_category_is_understood(written: str, meant: str) -> None:
    """By a table, in any case, as a plural and with any separator."""
    assert find_meaning("entity_category", written) == meant
    assert f'write "{meant}"' in advise("entity_category", written)


@pytest.mark.parametrize("written", ["durg", "conditioner", "rule", "labor", "anatomist", "x", ""])
def test_letters_alike_are_no_meaning(written: str) -> None:
    """There is no guess, but the vocabulary, and null for what has no place in it."""
    assert find_meaning("entity_category", written) is None
    assert "use one of drug, procedure" in advise("entity_category", written)
    assert "null" in advise("entity_category", written)


@pytest.mark.parametrize("written", ["nan", "NaN", "None", "null", "N/A", "<NA>"])
def test_a_value_that_says_there_is_none_is_no_category(written: str) -> None:
    """Pandas writes it; the fix is null and not a category."""
    assert advise("entity_category", written).startswith("write null")


def test_case_and_plural_alone_are_a_spelling() -> None:
    """A synonym is not: what it means is for a person to confirm."""
    assert {find_spelling("entity_category", word) for word in ("Drug", "drugs", "DRUGS ")} == {
        "drug"
    }
    assert find_spelling("entity_category", "Anatomies") == "anatomy"
    assert find_spelling("entity_category", "medication") is None


def test_each_word_of_the_vocabularies_means_itself() -> None:
    """The table of aliases takes no word of another category."""
    for category in CATEGORIES:
        assert find_meaning("entity_category", category) == category
        assert find_meaning("entity_category", f"{category}s") == category


def test_who_follows_the_fix_has_no_finding_left(tmp_path: Path) -> None:
    """The case's manifest, with each category as its fix says, is sound."""
    path = case("09-category-guess") / "cycle1/manifest.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    _, found = parse_manifest(path)
    assert [finding.row for finding in found] == [1, 2]
    for finding in found:
        match = re.search(r'write "(\w+)"', finding.fix)
        assert match is not None
        rows[(finding.row or 0) - 1]["entity_category"] = match[1]
    assert {row["entity_category"] for row in rows} == {"drug"}
    mended = factories.write_rows(tmp_path / "manifest.jsonl", rows)
    assert parse_manifest(mended)[1] == ()
