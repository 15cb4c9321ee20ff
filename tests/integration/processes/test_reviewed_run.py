"""From a labelled cycle to a review, and a run that sets apart what the review marked."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files
from tasks.training import recording_roles
from tests.support import factories, stub_programs

if TYPE_CHECKING:
    from pathlib import Path

DRUGS = ("metoprolol", "aspirin", "warfarin", "apixaban", "metformin", "heparin")
PATIENTS = ("first", "next", "new", "other", "older", "younger")
_RUN = (
    *("run", "cycle1", "--base", "embedded", "--epochs", "1"),
    *("--general", "none", "--priority", "drug", "--variants", "1"),
)


def make_source(folder: Path) -> None:
    """A cycle of 130 rows without a term, as an import leaves it; ten have no drug in them."""
    cycle = folder / "cycle1"
    (cycle / "audio").mkdir(parents=True)
    draw = random.Random(1)  # noqa: S311 - repeatable, not secret
    rows = []
    for number in range(130):
        drug = draw.choice(DRUGS) if number < 120 else "the usual"
        factories.write_wav(cycle / f"audio/{number}.wav", 2.5, seed=number)
        rows.append(
            {
                "audio_filepath": f"audio/{number}.wav",
                "text": f"give {drug} to the {draw.choice(PATIENTS)} patient",
                "duration": 2.5,
            }
        )
    factories.write_rows(cycle / "manifest.jsonl", rows)
    lines = "".join(f"{drug},drug\n" for drug in (*DRUGS, "atenolol"))
    (folder / "terms.csv").write_text(f"term,entity_category\n{lines}")


def program(folder: Path, *arguments: str) -> str:
    """What the program prints, with the stub programs."""
    done = stub_programs.run_command(folder, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def labelled_clinic(folder: Path) -> Path:
    """The folder of the labelled cycle, with an evaluation in which three drugs are missed."""
    make_source(folder)
    program(folder, "label", "cycle1", "--terms", "terms.csv", "--out", "clinic/cycle1")
    clinic = folder / "clinic"
    manifest = clinic / "cycle1/manifest.jsonl"
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    heard = [
        {**row, "ref": row["text"], "hyp": re.sub("aspirin|warfarin|heparin", "uh", row["text"])}
        for row in rows
    ]
    factories.write_rows(clinic / "cycle1/per_sample.json", heard)
    return clinic


def test_a_run_sets_apart_what_a_review_marked(tmp_path: Path) -> None:
    """The second run trains on fewer rows, and says so in its record, leaderboard and report."""
    clinic = labelled_clinic(tmp_path)
    program(clinic, *_RUN)
    first = json.loads((clinic / "cycle2/run.json").read_text())
    assert first["preflight"]["rows"] == 120
    assert "set_apart" not in first["preflight"]
    # Of too few selection rows nothing is chosen, and list and evaluation say so.
    (model,) = (clinic / "cycle1/models").iterdir()
    parts = Counter(
        row["part"] for row in atomic_files.read_jsonl(clinic / "cycle2/offline_hyps.jsonl")
    )
    roles = recording_roles.read(model)
    assert len(roles.trained) == parts["trained"]
    assert roles.chose == frozenset()
    assert parts["chose"] == 0
    assert parts["chose-nothing"] == first["split"]["selection"] > 0
    program(clinic, "report", "cycle2", "--review")
    page = (clinic / "cycle2/review_cycle2.html").read_text(encoding="utf-8")
    found = re.findall(r'data-audio="(.*?)" data-text="(.*?)" data-sha256="(.*?)"', page)
    assert len(found) >= 2
    marks: list[dict[str, Any]] = [
        {"audio_filepath": audio, "text": text, "audio_sha256": sha256, "mark": mark}
        for (audio, text, sha256), mark in zip(found, ("reference-wrong", "unclear"), strict=False)
    ]
    (clinic / "cycle1/review_cycle2.json").write_text(
        json.dumps({"schema": "asr-flywheel-review/1", "rows": marks})
    )
    program(clinic, *_RUN)
    second = json.loads((clinic / "cycle2/run.json").read_text())
    assert second["preflight"]["rows"] == 118
    assert second["preflight"]["set_apart"] == {"reference-wrong": 1, "unclear": 1}
    assert sum(second["split"][part] for part in ("train", "selection", "validation")) == 118
    said = "2 rows are set apart by a review (reference-wrong: 1, unclear: 1)"
    assert said in (clinic / "cycle2/leaderboard_cycle2.md").read_text()
    assert said in (clinic / "cycle2/report_cycle2.html").read_text(encoding="utf-8")
    hyps = (clinic / "cycle2/offline_hyps.jsonl").read_text()
    assert not [mark for mark in marks if f'"{mark["audio_filepath"]}"' in hyps]
