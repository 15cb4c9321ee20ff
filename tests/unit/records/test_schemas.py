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


UNMARKED = {
    # What another module has marked is written again or handed on.
    "asr_flywheel/rehearsal.py": "the rehearsal's record",
    "tasks/airgap/bundle_writing.py": "the bundle's manifest",
    "tasks/gpu_hosts/download.py": "a run's files, with the paths of this machine",
    "tasks/privacy/purge_marking.py": "a run's files, without what is purged",
    "tasks/privacy/retention.py": "run.json, with a page's new hash",
    "tasks/serving/edge/edge_package.py": "the mark of a purge",
    # Others' forms, or a form with a number of its own.
    "tasks/data/labelling/sheet_files.py": "Label Studio's tasks",
    "tasks/airgap/installed_bundle.py": "has its form's number",
    "tasks/serving/edge/repairs.py": "the engine's configuration",
    "tasks/serving/handoff_package.py": "handoff.json has its format's number; Riva's request",
    # State of one machine, which is made again when it is lost.
    "asr_flywheel/demo/prepare.py": "the seed of the demo that is there",
    "asr_flywheel/site/local_site.py": "the site's processes",
    "tasks/common/hashing.py": "a cache of hashes",
    "tasks/models/hub_cache.py": "revisions of bases that were downloaded",
    "tasks/stages/long_recordings.py": "cuts of an import that goes on",
    "tasks/training/fallback.py": "a training that goes on",
}


def test_whoever_writes_json_names_a_schema_or_stands_here() -> None:
    """Each module of the product that writes a JSON file, or the reason why it names none."""
    root = Path(__file__).parents[3]
    writers = {
        str(path.relative_to(root)): text
        for package in ("asr_flywheel", "blocks", "flows", "tasks")
        for path in (root / package).rglob("*.py")
        if "write_json(" in (text := path.read_text(encoding="utf-8"))
    }
    del writers["tasks/common/atomic_files.py"]  # defines it
    assert {name for name, text in writers.items() if "Schema." not in text} == set(UNMARKED)
