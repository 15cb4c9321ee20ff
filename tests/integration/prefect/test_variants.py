"""A run whose judged rows are decoded several times, and the same run by one decode a row."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files
from tasks.records import run_record
from tasks.transcription import variants
from tests.support import prefect_site

if TYPE_CHECKING:
    from pathlib import Path

    from asr_flywheel.site.local_site import Site

PLAIN_FILES = ("baseline_hyps.jsonl", "offline_hyps.jsonl", "leaderboard_cycle2.md")


def run(site: Site, cycle: Path, **more: Any) -> tuple[dict[str, Any], dict[str, Any], list[bytes]]:
    """Run the cycle; its decision, its record, and what the plain decode wrote."""
    prefect_site.run_here(site, cycle, **more)
    following = cycle.parent / "cycle2"
    decision, record = (
        atomic_files.read_json(following / name) for name in ("decision.json", "run.json")
    )
    return decision, record, [(following / name).read_bytes() for name in PLAIN_FILES]


def rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_variants_judge_and_the_plain_decode_stays_what_it_is(
    site: Site, trained_cycle: Path
) -> None:
    """By default eight decodes of each judged row with a term, in a file of their own a model."""
    following = trained_cycle.parent / "cycle2"
    paths = [following / name for name in run_record.VARIANT_NAMES]
    decision, record, plain = run(site, trained_cycle)
    judged = decision["by"]["(all)"]["n"]
    shifts = list(variants.shifts(variants.DEFAULT_VARIANTS, record["config"]["seed"]))
    assert record["variants"] == {"decodes": 8, "shifts": shifts, "rows": judged}
    assert decision["by"]["drug"]["decodes"] == 8
    assert decision["plain"]["drug"]["n"] == decision["by"]["drug"]["n"]
    for path, name in zip(paths, PLAIN_FILES[:2], strict=True):
        found = rows(path)
        assert [row["shift"] for row in found[: len(shifts) - 1]] == shifts[1:]
        assert len(found) == judged * (len(shifts) - 1)
        held_out = [row for row in rows(following / name) if row["part"] == "held-out"]
        assert {row["audio_filepath"] for row in found} <= {
            row["audio_filepath"] for row in held_out
        }
        assert path.name in record["files"]
    # The mean of the shares is that of the files.
    missed = [
        row["term"] not in row["hyp"]
        for row in [*rows(paths[1]), *rows(following / "offline_hyps.jsonl")]
        if row["part"] == "held-out" and row["entity_category"] == "drug"
    ]
    assert decision["by"]["drug"]["ker_b"] == sum(missed) / len(missed)

    alone, record, same = run(site, trained_cycle, variants=1)
    assert same == plain
    assert record["variants"] == {"decodes": 1, "shifts": [0], "rows": 0}
    assert "plain" not in alone
    assert alone["by"]["drug"] == decision["plain"]["drug"]
    assert alone["bare_decision"] == decision["bare_decision"]
    assert not any(path.exists() for path in paths)
    assert not any(name in record["files"] for name in run_record.VARIANT_NAMES)
