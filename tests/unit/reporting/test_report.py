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
from tasks.common import hashing
from tasks.common.errors import InputError
from tasks.data.cycle_folder import open_cycle
from tasks.decision import mixture_choice
from tasks.decision.group_check import check_groups
from tasks.decision.guardrail import Guardrail, GuardrailPolicy
from tasks.decision.joined_check import JoinedTexts, check_joined
from tasks.decision.nonspeech_check import check_nonspeech
from tasks.decision.writing_check import check_writing
from tasks.evaluation.diff import pair, term_missed
from tasks.evaluation.hypotheses import Hypothesis, Partition, write_hypotheses
from tasks.evaluation.scoring import score
from tasks.evaluation.statistics import Interval
from tasks.records import run_record
from tasks.reporting.html import audio_clips, chart_data, png_figures, svg_charts, write_report
from tasks.reporting.html.harm_section import describe_harms
from tasks.reporting.html.number_format import points
from tasks.reporting.html.page import render
from tasks.reporting.html.report_data import gather
from tasks.reporting.html.strict_faults import describe_faults
from tasks.runtimes.job_seconds import JobSeconds, run_seconds
from tasks.training.progress import Epoch
from tasks.training.run_info import LAST_CHECKPOINT
from tests.support import factories, prepared_cycles


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cycle 2 as a finished run left it, in a folder with an awkward name."""
    parent = tmp_path_factory.mktemp("clinic") / "St. Mary's <b>&"
    return prepared_cycles.finish_turn(parent, 1, prepared_cycles.Turn())


@pytest.fixture(scope="module")
def page(finished: Path) -> str:
    """The report's text."""
    cycle = open_cycle(finished)
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


def test_a_guardrail_is_told_with_its_limit(tmp_path: Path) -> None:
    """Where it is unclear, the number of sentences is not told as a number of rows."""
    between = Interval(-0.002, 0.022)
    guardrail = Guardrail(200, 0.036, 0.046, 0.04, 0.05, between, 0.005)
    turn = prepared_cycles.Turn(decision="inconclusive", guardrail=guardrail)
    cycle = open_cycle(prepared_cycles.finish_turn(tmp_path, 1, turn))
    text = render(gather(cycle, run_record.read(cycle)))
    assert "unclear" in text
    assert "3.6 % → 4.6 % on 200 sentences (difference -0.2 to +2.2 points)" in text
    assert "may rise by 0.5" in text
    assert "would settle it" not in text


def told(parent: Path, turn: prepared_cycles.Turn) -> str:
    """The page of a turn."""
    cycle = open_cycle(prepared_cycles.finish_turn(parent, 1, turn))
    return render(gather(cycle, run_record.read(cycle)))


def test_the_upper_end_of_the_rise_is_told_with_its_bound(tmp_path: Path) -> None:
    """And that sentences are synthetic; a decision of an older version has neither."""
    between = Interval(-0.002, 0.004)
    guardrail = Guardrail(
        600, 0.036, 0.037, 0.04, 0.05, between, 0.005, upper=0.003, bound=0.01, synthetic=True
    )
    turn = prepared_cycles.Turn(guardrail=guardrail)
    text = told(tmp_path / "now", turn)
    assert "on 600 synthetic sentences" in text
    assert "the rise is at most +0.30 points; a model is kept only up to +1.00." in text
    cycle = open_cycle(prepared_cycles.finish_turn(tmp_path / "then", 1, turn))
    path = cycle.path / "decision.json"
    decision = json.loads(path.read_text())
    for name in ("upper", "bound", "synthetic"):
        del decision["guardrail"][name]
    path.write_text(json.dumps(decision))
    text = render(gather(cycle, run_record.read(cycle)))
    assert "on 600 sentences" in text
    assert "the rise is at most" not in text


def test_what_is_shipped_is_drawn_and_told(tmp_path: Path) -> None:
    """The curve with the chosen point by shape and label, its limit, both ends, and a table."""
    text = told(tmp_path, prepared_cycles.Turn(shipped=prepared_cycles.mixture()))
    section = text[text.index("What is shipped") : text.index("Change in missed terms")]
    assert "0.4 of the tuned model’s weights and 0.6 of the base’s" in section
    assert "<h1>Keep the mixture.</h1>" in text
    assert "The mixture misses <strong>" in text
    assert prepared_cycles.mixture().reason in section
    assert section.count("shipped: 0.4</text>") == 2
    assert section.count('<path class="node best"') == 2
    assert section.count('class="allowed"') == 1
    assert "the curve through all; dashed: the allowed +0.375" in section
    assert section.count(">base</text>") == section.count(">plain tuned</text>") == 2
    rows = re.findall(r"<tr><th scope=.row.>(.*?)</tr>", section)
    assert [re.sub("<[^>]*>", " ", row).split()[0] for row in rows] == ["0", "0.4", "1"]
    assert "50.0 %" in rows[1]
    assert "+0.20" in rows[1]
    assert "+0.096" in rows[1]  # of (1.5 + .064 * .2) / (1 + .064 ** 2) points at 1, by the cube
    assert "✓ holds" in rows[1]
    assert "+1.50" in rows[2]
    assert "+1.507" in rows[2]
    assert "✕ no" in rows[2]


def test_where_no_row_chose_the_reason_stands_alone(tmp_path: Path) -> None:
    """Without a curve; and a run of an older version has no such section."""
    stated = mixture_choice.stated_choice({"drug": 8})
    text = told(tmp_path / "stated", prepared_cycles.Turn(shipped=stated))
    section = text[text.index("What is shipped") : text.index("Change in missed terms")]
    assert "Nothing was chosen" in section
    assert "<svg" not in section
    assert "<table" not in section
    asked = mixture_choice.fixed_choice(1.0)
    text = told(tmp_path / "off", prepared_cycles.Turn(shipped=asked))
    assert "The tuned model is shipped as training left it." in text
    assert "<h1>Keep the tuned model.</h1>" in text
    assert "What is shipped" not in told(tmp_path / "old", prepared_cycles.Turn())


def test_the_origin_names_rows_that_chose_and_three_models(tmp_path: Path) -> None:
    """Selection rows, the checkpoint that was kept, and the hashes of base, tuned and shipped."""
    text = told(tmp_path / "now", prepared_cycles.Turn(shipped=prepared_cycles.mixture()))
    assert "18 rows to train on, 6 to choose by, 12 held out" in text
    assert "<dt>Checkpoint</dt><dd>the best, chosen on selection rows</dd>" in text
    for name, sha256 in (
        ("base model", "b" * 64),
        ("tuned model (plain)", prepared_cycles.TUNED_SHA256),
        ("shipped model (mixture)", prepared_cycles.SHIPPED_SHA256),
    ):
        assert f"<dt>{name}</dt><dd><code>{sha256}</code></dd>" in text
    older = told(tmp_path / "then", prepared_cycles.Turn())
    assert "18 rows to train on, 12 held out" in older
    assert f"<dt>tuned model</dt><dd><code>{prepared_cycles.SHIPPED_SHA256}</code></dd>" in older


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


def test_from_the_third_verdict_on_their_number_is_told(tmp_path: Path) -> None:
    """Beside the verdict, before its grounds."""
    second = told(tmp_path / "2", prepared_cycles.Turn(verdicts=2))
    assert "verdicts. The best of several" not in second
    third = told(tmp_path / "3", prepared_cycles.Turn(verdicts=3))
    assert "These held-out rows have given 3 verdicts." in third[: third.index("<main")]


def test_a_training_that_keeps_its_last_epoch_says_so(tmp_path: Path) -> None:
    """The least validation WER is marked, and is not called kept."""
    cycle = open_cycle(prepared_cycles.finish_turn(tmp_path, 1, prepared_cycles.Turn()))
    evidence = gather(cycle, run_record.read(cycle))
    assert "epoch 2 was kept" in render(evidence)
    training = {**evidence.training, "checkpoint": LAST_CHECKPOINT}
    text = render(dataclasses.replace(evidence, training=training))
    assert "epoch 2 was kept" not in text
    assert "the least in epoch 2; the last epoch was kept" in text


def test_the_curve_is_among_the_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which Prefect shows; a run without candidates has none, nor keeps an earlier run's."""
    for other in ("_forest", "_bars", "_training"):
        monkeypatch.setattr(png_figures, other, lambda *_: None)
    turn = prepared_cycles.Turn(shipped=prepared_cycles.mixture())
    cycle = open_cycle(prepared_cycles.finish_turn(tmp_path, 1, turn))
    evidence = gather(cycle, run_record.read(cycle))
    (path,) = png_figures.write_figures(evidence)
    assert path.name == "mixture.png"
    assert path.read_bytes().startswith(b"\x89PNG")
    older = dataclasses.replace(evidence, decision={**evidence.decision, "shipping": None})
    assert png_figures.write_figures(older) == []
    assert not path.exists()


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


def test_the_verdicts_fragility_is_one_line(tmp_path: Path) -> None:
    """Beside the reasons; a decision of an older version has none."""
    line = "Fragile: another view would have decided otherwise (strict: discard; alike: two-part)."
    cycle = open_cycle(prepared_cycles.finish_turn(tmp_path, 1, prepared_cycles.Turn()))
    path = cycle.path / "decision.json"
    decision = json.loads(path.read_text())
    path.write_text(json.dumps({**decision, "fragility": line}))
    assert f'<p class="note">{line}</p>' in render(gather(cycle, run_record.read(cycle)))
    path.write_text(json.dumps({k: v for k, v in decision.items() if k != "fragility"}))
    assert "Fragile" not in render(gather(cycle, run_record.read(cycle)))


def test_several_decodes_a_row_are_told_beside_the_plain_figures(tmp_path: Path) -> None:
    """The mean that the verdict rests on; a run of one decode a row says nothing of it."""
    cycle = open_cycle(prepared_cycles.finish_turn(tmp_path, 1, prepared_cycles.Turn()))
    path = cycle.path / "decision.json"
    decision = json.loads(path.read_text())
    decision["by"] = {"drug": {"ker_a": 0.8, "ker_b": 0.3125, "decodes": 8}}
    path.write_text(json.dumps(decision))
    page = render(gather(cycle, run_record.read(cycle)))
    assert "The verdict rests on 8 decodes of each of these recordings, 7 of them with" in page
    assert "KER goes from 0.800 to <strong>0.312</strong> on average" in page
    del decision["by"]["drug"]["decodes"]
    path.write_text(json.dumps(decision))
    page = render(gather(cycle, run_record.read(cycle)))
    assert "The verdict rests on" not in page


def test_the_guardrail_is_shown_as_it_was_judged(tmp_path: Path) -> None:
    """In the canonical view; an older version's was to the letter."""
    letter = Guardrail(200, 0.1, 0.2, 0.1, 0.2, Interval(0.05, 0.15), 0.005)
    guardrail = Guardrail(
        200, 0.036, 0.037, 0.1, 0.2, Interval(-0.002, 0.004), 0.005, 0.003, to_the_letter=letter
    )
    turn = prepared_cycles.Turn(guardrail=guardrail)
    cycle = open_cycle(prepared_cycles.finish_turn(tmp_path, 1, turn))
    page = render(gather(cycle, run_record.read(cycle)))
    assert "3.6 % → 3.7 % on 200 sentences" in page
    assert "With 95 % confidence the rise is at most" in page
    path = cycle.path / "decision.json"
    decision = json.loads(path.read_text())
    for name in (
        "canonical_wer_a", "canonical_wer_b", "status_to_the_letter", "upper_confidence",
    ):  # fmt: skip
        del decision["guardrail"][name]
    path.write_text(json.dumps(decision))
    page = render(gather(cycle, run_record.read(cycle)))
    assert "10.0 % → 20.0 % on 200 sentences" in page
    assert "With 90 % confidence the rise is at most" in page


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
    result = CliRunner().invoke(app, ["report", str(finished)])
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


def test_recordings_are_small_and_what_is_left_out_is_said(tmp_path: Path) -> None:
    """Too long, unreadable, absent, or beyond the page's limit."""
    short = factories.write_wav(tmp_path / "short.wav", 2.0)
    long = factories.write_wav(tmp_path / "long.wav", 31.0)
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    found = audio_clips.clips([short, long, broken, tmp_path / "none.wav"], audio_clips.MOST_BYTES)
    assert found[0].uri.startswith("data:audio/mpeg;base64,")
    assert len(found[0].uri) < short.stat().st_size / 2
    assert [clip.uri for clip in found[1:]] == [""] * 3
    assert "31 s long" in found[1].why
    many = audio_clips.clips([short] * 10, 50_000)
    assert 0 < sum(len(clip.uri) for clip in many) <= 50_000
    assert "limit" in many[-1].why


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [([], -0.1, 0.1), ([-0.4, 0.05], -0.5, 0.1), ([-1.0, 1.0], -1.2, 1.2)],
)
def test_an_axis_holds_its_values_and_zero(values: list[float], low: float, high: float) -> None:
    """With few, round ticks, one of them zero, and room at both ends."""
    scale = svg_charts.axis(values)
    assert (scale.low, scale.high) == (low, high)
    assert 0.0 in scale.ticks
    assert all(0 < scale.at(value) < 100 for value in values)


def test_a_difference_without_an_interval_is_a_dot() -> None:
    """And with one it has a line; better, worse and no change differ in kind."""
    scale = svg_charts.axis([-0.5, 0.5])
    assert svg_charts.difference(scale, 0.0, None, "x").count("whisker") == 0
    drawn = svg_charts.difference(scale, -0.2, Interval(-0.4, 0.1), 'a "quoted" <name>')
    assert "whisker" in drawn
    assert "dot better" in drawn
    assert "&#34;quoted&#34; &lt;name&gt;" in drawn
    assert "dot worse" in svg_charts.difference(scale, 0.2, None, "x")


def test_page_and_png_show_the_charts_that_have_values() -> None:
    """What no epoch measured is in neither drawing."""
    epochs = [
        Epoch(number, number, loss, None, rate, seconds=1.0)
        for number, (loss, rate) in enumerate([(3.0, 0.5), (2.0, 0.25), (1.0, 0.25)], 1)
    ]
    series = chart_data.training_series(epochs)
    assert [(chart.title, chart.best) for chart in series] == [
        ("Validation WER", 1),
        ("Training loss", None),
    ]


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


def test_points_have_a_real_minus_sign() -> None:
    """And no sign without a difference."""
    assert [points(value) for value in (-0.4, 0.051, 0.0)] == ["−40", "+5", "0"]


def test_harm_that_was_looked_for_has_a_line_each(tmp_path: Path) -> None:
    """Long recordings, silence, writing and voices, as decision.json holds them; a loss first."""
    finished = prepared_cycles.finish_turn(tmp_path, 1, prepared_cycles.Turn())
    texts = ("we walked along the river",) * 60
    half = JoinedTexts(120, texts, " ".join(texts), " ".join(texts[:30]))
    general = score([Hypothesis("a.wav", texts[0], texts[0])])
    cycle = open_cycle(finished)
    rows = gather(cycle, run_record.read(cycle)).judged
    path = finished / "decision.json"
    decision = json.loads(path.read_text())
    decision |= {
        check.name: check.as_dict()
        for check in (
            check_joined([half], GuardrailPolicy()),
            check_writing(general, general),
            check_groups(rows, term_missed),
        )
    }
    decision["nonspeech"] = check_nonspeech(
        ["oh", ""], ["oh", "oh oh"], [], ["hum", "hiss"]
    ).as_dict()
    path.write_text(json.dumps(decision))
    lines = describe_harms(decision)
    assert [(line.name, line.finding) for line in lines[:6]] == [
        ("WER of joined sentences, 120 s", "broken"),
        ("WER of joined sentences, all lengths", "broken"),
        ("words found where nobody speaks", "held"),
        ("terms found where nobody speaks", "held"),
        (
            "punctuation F1",
            "not applicable: the references have 0 marks, fewer than 20",
        ),
        ("case accuracy", "not applicable: the references have 0 capitals, fewer than 20"),
    ]
    assert [line.name for line in lines[6:]] == ["KER, voice voice0", "KER, voice voice1"]
    assert (lines[0].before, lines[0].after, lines[0].change) == ("0.0 %", "50.0 %", "+50.0")
    page = render(gather(cycle, run_record.read(cycle)))
    assert "Harm looked for" in page
    assert "WER of joined sentences, 120 s" in page


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
