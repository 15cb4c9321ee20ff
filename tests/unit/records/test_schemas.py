"""The versions of the JSON files that this tool writes and reads again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.common.errors import InputError
from tasks.common.schemas import KEY, Schema

PATH = Path("cycle2/run.json")


def test_a_marked_document_names_its_schema_first() -> None:
    """Whatever it was read with."""
    marked = Schema.RUN.mark({"started": "now", KEY: "asr-flywheel-run/0"})
    assert list(marked.items()) == [(KEY, "asr-flywheel-run/1"), ("started", "now")]


@pytest.mark.parametrize("document", [{}, {KEY: "asr-flywheel-run/1"}, {KEY: "asr-flywheel-run/0"}])
def test_own_and_older_documents_are_read(document: dict[str, str]) -> None:
    """Those of 0.1 name no schema."""
    Schema.RUN.check(document, PATH)


@pytest.mark.parametrize(
    "named", ["asr-flywheel-run/2", "asr-flywheel-decision/1", "asr-flywheel-run/x", 1, None]
)
def test_another_document_is_refused(named: object) -> None:
    """With the file, what it names, and what to do."""
    with pytest.raises(InputError, match=r"cycle2/run\.json: its schema is .*upgrade"):
        Schema.RUN.check({KEY: named}, PATH)
