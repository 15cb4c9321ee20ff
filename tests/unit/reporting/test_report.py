"""The report: what it tells, that nothing in it can do harm, and that it can be made again."""

from __future__ import annotations

import dataclasses
import html.parser
import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from asr_flywheel.cli import app
from tasks.common import hashing, privacy_settings
from tasks.common.errors import InputError
from tasks.data.cycle_folder import open_cycle
from tasks.evaluation.diff import pair
from tasks.evaluation.hypotheses import Hypothesis, Partition, write_hypotheses
from tasks.evaluation.scoring import score
from tasks.records import run_record
from tasks.reporting.html import png_figures, write_report
from tasks.reporting.html.page import render
from tasks.reporting.html.report_data import gather
from tasks.reporting.html.strict_faults import describe_faults
from tasks.runtimes.job_seconds import JobSeconds, run_seconds
from tasks.training.run_info import LAST_CHECKPOINT
from tests.support import prepared_cycles


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cycle 2 as a finished run left it, in a folder with an awkward name."""
    parent = tmp_path_factory.mktemp("clinic") / "St. Mary's <b>&"
    return prepared_cycles.finish_turn(parent, 1, prepared_cycles.Turn())


@pytest.fixture(scope="module")
def page(finished: Path) -> str:
    """The report's text."""
    cycle = open_cycle(finished)
    with privacy_settings.applied(audio=True):
        written = write_report(cycle, run_record.read(cycle))
    return written[0].read_text(encoding="utf-8")


class Outline(html.parser.HTMLParser):
    """What the page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.headings: list[int] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag, its attributes, and its level if it is a heading."""
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))


def test_nothing_in_it_can_run_or_be_fetched(page: str) -> None:
    """Terms, names and reasons are text, whatever they hold; every address is within the page."""
    outline = Outline(page)
    assert "script" not in outline.tags
    assert page.count("&lt;script&gt;alert(") > 3
    assert "St. Mary&#39;s &lt;b&gt;&amp;" in page
    assert prepared_cycles.RTL in page
    assert "💊 “pill” &amp; co" in page
    assert not [name for name, _ in outline.attributes if name.startswith("on")]
    addresses = {value for name, value in outline.attributes if name in {"src", "href"}}
    assert all(one.startswith(("data:", "#row-")) for one in addresses)
    assert "default-src 'none'" in page


def test_it_has_an_outline_and_a_name_for_every_drawing(page: str) -> None:
    """One main heading, no level left out, and a label on whatever is only drawn."""
    outline = Outline(page)
    assert outline.headings[0] == 1
    assert outline.headings.count(1) == 1
    steps = zip(outline.headings, outline.headings[1:], strict=False)
    assert all(after - before <= 1 for before, after in steps)
    drawings = re.findall(r"<svg [^>]*>", page)
    assert len(drawings) > 10
    assert all('aria-label="' in one or 'aria-hidden="true"' in one for one in drawings)
    assert all("aria-label=" in one for one in re.findall(r"<audio [^>]*>", page))


def test_the_verdict_comes_first_and_the_bare_one_beside_it(page: str) -> None:
    """By held-out rows; what was trained on is labelled and comes after."""
    assert page.index("Keep the tuned model.") < page.index("drug</bdi> terms in 2 of 8")
    assert "Specification’s table, all rows, trained ones included" in page
    assert "Not checked: there was no guardrail set" in page
    assert page.index("Held-out rows") < page.index("Rows it was trained on")


def test_the_figures_are_those_of_the_evaluation(finished: Path, page: str) -> None:
    """Counted by hand from the two files: the base missed 9 of 12, the tuned model 4."""
    cycle = open_cycle(finished)
    evidence = gather(cycle, run_record.read(cycle))
    everything = evidence.deltas()["(all)"]
    assert (everything.before.hits, everything.after.hits, everything.n) == (9, 4, 12)
    assert list(evidence.deltas()) == ["drug", "lab", "(all)"]
    assert [change.name for change in evidence.changes("noise_level")] == ["clean", "snr_5db"]
    assert sum(term.after.n for term in evidence.terms()) == 12
    assert sum(term.trained.n for term in evidence.terms()) == 18
    assert "75 % → 33 %" in page


def test_each_verdict_has_its_sentence(finished: Path, tmp_path: Path) -> None:
    """And an inconclusive one says how many rows would settle it."""
    headings = {}
    for verdict in ("keep", "grow", "discard", "inconclusive"):
        parent = tmp_path / verdict
        cycle = open_cycle(
            prepared_cycles.finish_turn(parent, 1, prepared_cycles.Turn(decision=verdict))
        )
        text = render(gather(cycle, run_record.read(cycle)))
        headings[verdict] = re.findall("<h1>(.*)</h1>", text)[0]
        assert ("About 60 held-out rows would settle it." in text) == (verdict == "inconclusive")
    assert len(set(headings.values())) == 4


def test_the_origin_says_where_the_seconds_went(finished: Path, tmp_path: Path) -> None:
    """Each job's phases; a run that did not keep them has no such line."""
    cycle = open_cycle(finished)
    record = run_record.read(cycle)
    phases = {"start": 0.5, "import": 9.0, "train": 50.5}
    jobs = [JobSeconds("training", 60.0, phases), JobSeconds("interpolation", 5.0, {})]
    for kept, shown in (
        (run_seconds(70.0, jobs[:1]), "70 s, of which models computed 50 s"),
        (run_seconds(70.0, jobs), "70 s"),
    ):
        text = render(gather(cycle, {**record, "seconds": kept}))
        assert f"<dt>Run took</dt><dd>{shown}</dd>" in text
        assert "<dd>60.0 s: start 0.5 s, import 9.0 s, train 50.5 s</dd>" in text
    assert "<dt>Job interpolation</dt><dd>5.0 s</dd>" in text
    assert "Run took" not in render(gather(cycle, record))


def test_a_training_that_keeps_its_last_epoch_says_so(tmp_path: Path) -> None:
    """The least validation WER is marked, and is not called kept."""
    cycle = open_cycle(prepared_cycles.finish_turn(tmp_path, 1, prepared_cycles.Turn()))
    evidence = gather(cycle, run_record.read(cycle))
    assert "epoch 2 was kept" in render(evidence)
    training = {**evidence.training, "checkpoint": LAST_CHECKPOINT}
    text = render(dataclasses.replace(evidence, training=training))
    assert "epoch 2 was kept" not in text
    assert "the least in epoch 2; the last epoch was kept" in text


def test_metrics_have_intervals_and_go_beyond_the_four(page: str) -> None:
    """KER of 4 in 12 rows by Wilson; false keywords, the strict view, what was heard instead."""
    assert "13.8 to 60.9" in page
    assert "rows with a keyword that nobody said" in page
    assert "wrong number, dose, unit, route, side or negation" in page
    assert "heard: <bdi>uh as prin</bdi>" in page
    assert "in-domain harm" in page
    # No missed term was there in another spelling: canonical KER is KER.
    assert "canonical KER" in page
    assert "missed by spelling only: 0 → 0" in page


def test_a_tenfold_dose_is_named_on_the_first_screen(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So are a lost negation and a swapped unit, with the base's; and what could not be read."""
    cycle = open_cycle(finished)
    evidence = gather(cycle, run_record.read(cycle))
    texts = [
        ("give .5 mg <now>", "give 5 mg <now>"),
        ("no fever", "fever"),
        ("give 1 g", "give 1 mg"),
        ("give 5 qwx", "give 5"),
    ]
    rows = [Hypothesis(f"{n}.wav", ref, hyp) for n, (ref, hyp) in enumerate(texts)]
    right = [dataclasses.replace(row, hyp=row.ref) for row in rows]
    faults = describe_faults(pair(score(right), score(rows)))
    assert faults is not None
    assert [(count.name, count.before, count.after) for count in faults.counts] == [
        ("tenfold dose", 0, 1),
        ("lost negation", 0, 1),
        ("added negations", 0, 0),
        ("swapped unit", 0, 1),
    ]
    assert faults.unread == [("5 qwx", 1)]
    monkeypatch.setattr("tasks.reporting.html.page.describe_faults", lambda _: faults)
    text = render(evidence)
    top = text[: text.index("</header>")]
    assert "<strong>1 tenfold dose</strong> (base 0)" in top
    assert "<q>give .5 mg &lt;now&gt;</q> became <q>give 5 mg &lt;now&gt;</q>" in top
    assert "<bdi>5 qwx</bdi> (1)" in top


def test_the_same_run_gives_the_same_file(finished: Path, page: str) -> None:
    """So that a report that was made again can be compared; its hash is in the record."""
    before = {path: path.read_bytes() for path in finished.rglob("*.png")}
    result = CliRunner().invoke(app, ["report", str(finished), "--audio"])
    assert result.exit_code == 0, result.output
    assert (finished / "report_cycle2.html").read_text(encoding="utf-8") == page
    assert {path: path.read_bytes() for path in finished.rglob("*.png")} == before
    hashes = json.loads((finished / "run.json").read_text())["files"]
    assert set(hashes) >= {"report_cycle2.html", "figures/ker_by_category.png"}
    for name, sha256 in hashes.items():
        assert hashing.sha256_file(finished / name) == sha256


def test_folders_that_were_moved_still_give_their_report(finished: Path, tmp_path: Path) -> None:
    """Audio and training record are found beside the folder, where the record's paths are stale."""
    copy = Path(shutil.copytree(finished.parent, tmp_path / "moved"))
    record = json.loads((copy / "cycle2" / "run.json").read_text())
    record["config"]["cycle"] = "/gone/cycle1"
    record["sft"]["training_run_info"] = "/gone/cycle1/models/run/training_run_info.json"
    with privacy_settings.applied(audio=True):
        text = render(gather(open_cycle(copy / "cycle2"), record))
    assert "data:audio/mpeg;base64," in text
    assert "How training went" in text


def test_with_folds_the_cross_fitted_rows_are_shown(finished: Path, tmp_path: Path) -> None:
    """All 30, since each was heard by a model that never saw it; trained ones stay apart."""
    copy = Path(shutil.copytree(finished.parent, tmp_path / "clinic"))
    crossed = prepared_cycles.rows(
        prepared_cycles.Turn(held_out=(12, 9, 6), trained=(18, 14, 7)), 2
    )
    unseen = [dataclasses.replace(row, part=Partition.HELD_OUT) for row in crossed]
    write_hypotheses(copy / "cycle2" / run_record.CROSS_FITTED_NAME, unseen)
    record = json.loads((copy / "cycle2" / "run.json").read_text())
    record["config"]["folds"] = 5
    evidence = gather(open_cycle(copy / "cycle2"), record)
    everything = evidence.deltas()["(all)"]
    assert (everything.before.hits, everything.after.hits, everything.n) == (23, 13, 30)
    assert sum(term.after.n for term in evidence.terms()) == 30
    assert sum(term.trained.n for term in evidence.terms()) == 18
    assert "Cross-fitted rows" in render(evidence)


def test_an_imported_baseline_is_what_the_tuned_model_is_shown_against(
    finished: Path, tmp_path: Path
) -> None:
    """Where the decision compared with the eval stage's result, so does the report."""
    copy = Path(shutil.copytree(finished.parent, tmp_path / "clinic"))
    hosted = prepared_cycles.rows(prepared_cycles.Turn(held_out=(12, 12, 4)), 1)
    write_hypotheses(copy / "cycle1" / "per_sample.json", hosted)
    record = json.loads((copy / "cycle2" / "run.json").read_text())
    record["config"]["compare_with"] = "imported"
    evidence = gather(open_cycle(copy / "cycle2"), record)
    assert evidence.deltas()["(all)"].before.hits == 12


@pytest.mark.parametrize("name", ["run.json", "decision.json", "offline_hyps.jsonl"])
def test_a_damaged_run_is_named(finished: Path, tmp_path: Path, name: str) -> None:
    """Cut short or absent: the file and what to do, and no half report."""
    copy = Path(shutil.copytree(finished.parent, tmp_path / "clinic"), "cycle2")
    (copy / "report_cycle2.html").unlink(missing_ok=True)
    cycle = open_cycle(copy)
    for damage in (lambda path: path.write_text('{"a'), Path.unlink):
        damage(copy / name)
        with pytest.raises(InputError, match=r"cycle2"):
            write_report(cycle, run_record.read(cycle))
    assert not (copy / "report_cycle2.html").exists()


def test_a_training_without_figures_has_no_chart(finished: Path, page: str, tmp_path: Path) -> None:
    """Neither in the page nor among the PNGs, where it was an empty frame."""
    assert "by epoch" in page
    assert (finished / "figures/training.png").is_file()
    shutil.copytree(finished.parent, tmp_path / "clinic")
    cycle = open_cycle(tmp_path / "clinic" / finished.name)
    evidence = gather(cycle, run_record.read(cycle))
    blank = {**evidence.training, "epochs": [{"epoch": 1}]}
    without = dataclasses.replace(evidence, training=blank)
    assert cycle.path / "figures/training.png" not in png_figures.write_figures(without)
    assert not (cycle.path / "figures/training.png").exists()
    assert "by epoch" not in render(without)


def test_a_run_that_did_not_look_for_harm_has_no_such_section(page: str) -> None:
    """Its decision.json is of a former version."""
    assert "Harm looked for" not in page


def test_narrow_rows_are_drawn_apart(finished: Path) -> None:
    """By the marks of the later side; without such rows the section is not there."""
    cycle = open_cycle(finished)
    evidence = gather(cycle, run_record.read(cycle))
    assert evidence.bandwidths() == []
    pairs = tuple(
        dataclasses.replace(
            one,
            after=dataclasses.replace(
                one.after,
                row=dataclasses.replace(one.after.row, bandwidth=None if place % 3 else "narrow"),
            ),
        )
        for place, one in enumerate(evidence.pairing.pairs)
    )
    marked = dataclasses.replace(
        evidence, pairing=dataclasses.replace(evidence.pairing, pairs=pairs)
    )
    narrow, wide = marked.bandwidths()
    assert (narrow.name, wide.name) == ("narrow", "wide")
    assert narrow.before.n == narrow.after.n
    assert narrow.after.n + wide.after.n == marked.judged.after.keyword.n
    assert "Missed terms by bandwidth" in render(marked)
    assert "Missed terms by bandwidth" not in render(evidence)
