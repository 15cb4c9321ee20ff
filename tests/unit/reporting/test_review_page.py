"""The review page: one script that the policy names by its hash, and nothing that leaves."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from asr_flywheel.cli import app
from tasks.data.cycle_folder import open_cycle
from tasks.records import run_record
from tasks.reporting.html import write_review
from tests.support import prepared_cycles

NETWORK = (
    *("fetch", "XMLHttpRequest", "WebSocket", "EventSource", "sendBeacon", "import(", "RTC"),
    *("localStorage", "sessionStorage", "indexedDB", "cookie", "eval", "innerHTML", "location"),
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a finished run, as the command writes it."""
    parent = tmp_path_factory.mktemp("clinic") / "St. Mary's <b>&"
    finished = prepared_cycles.finish_turn(parent, 1, prepared_cycles.Turn())
    result = CliRunner().invoke(app, ["report", str(finished), "--review"])
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == str(finished / "review_cycle2.html")
    assert "review_cycle2.html" not in json.loads((finished / "run.json").read_text())["files"]
    report = (finished / "report_cycle2.html").read_text(encoding="utf-8")
    assert "<script" not in report
    return (finished / "review_cycle2.html").read_text(encoding="utf-8")


class Elements(html.parser.HTMLParser):
    """The page's elements with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element."""
        self.found.append((tag, {name: value or "" for name, value in attrs}))


def test_the_policy_allows_this_script_alone_and_no_network(page: str) -> None:
    """Its hash is that of the script between the tags; nothing else may run or be reached."""
    (policy,) = (
        attributes["content"]
        for tag, attributes in Elements(page).found
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert rules["script-src"] == f"'sha256-{digest}'"
    for name in ("default-src", "connect-src", "base-uri", "form-action"):
        assert rules[name] == "'none'"
    assert rules["media-src"] == rules["img-src"] == "data:"
    # The policy stands before everything that it rules.
    assert page.index("Content-Security-Policy") < page.index("<style>")


def test_the_script_has_no_way_out(page: str) -> None:
    """Neither the network nor a store of the browser, where a text would stay."""
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert not [name for name in NETWORK if name in script]
    assert script == (Path(__file__).parents[3] / "tasks/reporting/html/review.js").read_text(
        encoding="utf-8"
    )


def test_texts_of_rows_are_text(page: str) -> None:
    """Terms and names run nothing; every address is within the page; no attribute is a handler."""
    elements = Elements(page).found
    assert [tag for tag, _ in elements].count("script") == 1
    names = [name for _, attributes in elements for name in attributes]
    assert not [name for name in names if name.startswith("on")]
    addresses = [
        value
        for _, attributes in elements
        for name, value in attributes.items()
        if name in {"src", "href", "action"}
    ]
    assert all(address.startswith("data:") for address in addresses)
    rows = [attributes for tag, attributes in elements if "data-mark-row" in attributes]
    assert any(prepared_cycles.NASTY in row["data-text"] for row in rows)
    assert all(re.fullmatch("[0-9a-f]{64}", row["data-sha256"]) for row in rows)


def test_each_row_has_its_three_buttons_and_marks_stay(tmp_path: Path) -> None:
    """A second page shows what an earlier review said, so that saving it again loses nothing."""
    finished = prepared_cycles.finish_turn(tmp_path, 1, prepared_cycles.Turn(held_out=(3, 3, 3)))
    cycle = open_cycle(finished)
    path = write_review(cycle, run_record.read(cycle))
    elements = Elements(path.read_text(encoding="utf-8")).found
    rows = [attributes for _, attributes in elements if "data-mark-row" in attributes]
    values = [
        attributes["value"]
        for tag, attributes in elements
        if tag == "button" and "value" in attributes
    ]
    assert values == ["reference-wrong", "unclear", "fine"] * len(rows)
    saved = {
        "audio_filepath": rows[0]["data-audio"],
        "text": rows[0]["data-text"],
        "audio_sha256": rows[0]["data-sha256"],
        "mark": "unclear",
        "note": "a door closes",
    }
    (tmp_path / "cycle1/review_cycle2.json").write_text(
        json.dumps({"schema": "asr-flywheel-review/1", "rows": [saved]})
    )
    write_review(cycle, run_record.read(cycle))
    again = path.read_text(encoding="utf-8")
    assert again.count('aria-pressed="true"') == 1 + again.count('[aria-pressed="true"]')
    assert 'value="a door closes"' in again
