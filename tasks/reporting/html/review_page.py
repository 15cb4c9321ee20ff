"""The review page: the worst rows with buttons, whose marks a person saves as a file.

It is the only page with a script. The policy in its head allows that one script by its hash and
forbids the network, so that neither a row's text nor another script can send anything.
"""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import TYPE_CHECKING

from markupsafe import Markup

from tasks.common.schemas import Schema
from tasks.data import audio_probe
from tasks.data.audio_probe import AudioFacts
from tasks.data.row_reviews import RowMark, RowReviews, read_reviews
from tasks.records.purge_notes import describe_purged
from tasks.reporting.html import audio_clips
from tasks.reporting.html.page import heard_rows, open_templates

if TYPE_CHECKING:
    from tasks.reporting.html.page import HeardRow
    from tasks.reporting.html.report_data import ReportData

REVIEWED_ROWS = 40
MOST_BYTES = 8_000_000
"""Of all recordings of the page together, encoded."""
_CHOICES = (
    (RowMark.REFERENCE_WRONG, "Reference wrong"),
    (RowMark.UNCLEAR, "Unclear"),
    (RowMark.FINE, "Fine"),
)


def read_script() -> str:
    """Return the page's script."""
    return resources.files("tasks.reporting.html").joinpath("review.js").read_text("utf-8")


def write_policy(script: str) -> str:
    """Return the Content-Security-Policy that lets this script run, and nothing out."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; connect-src 'none'; "
        "style-src 'unsafe-inline'; media-src data:; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def render_review(evidence: ReportData) -> str:
    """Render the review page of a cycle: one file, which loads nothing.

    Raises:
        InputError: a file of an earlier review is damaged.
    """
    rows = heard_rows(evidence, REVIEWED_ROWS, MOST_BYTES)
    hashes = _hash_recordings(evidence, rows)
    reviews = read_reviews(evidence.cycle)
    script = read_script()
    number = evidence.cycle.number
    variables = {
        "cycle": number,
        "clinic": evidence.cycle.clinic.name,
        "basis": evidence.decision["basis"],
        "file": f"review_cycle{number}.json",
        "folder": f"cycle{number - 1}",
        "schema": Schema.REVIEW.value,
        "policy": write_policy(script),
        "script": Markup(script),  # noqa: S704 - a file of this package, no text of a row
        "purged": describe_purged(evidence.record),
        "content": audio_clips.warn_of_content(sum(bool(row.clip.uri) for row in rows), len(rows)),
        "heard": rows,
        "judged_n": len(evidence.judged.pairs),
        "hashes": hashes,
        "marks": _earlier_marks(reviews, rows, hashes),
        "choices": _CHOICES,
    }
    return open_templates().get_template("review.html").render(**variables) + "\n"


def _hash_recordings(evidence: ReportData, rows: list[HeardRow]) -> list[str | None]:
    paths = [evidence.audio(row.pair) for row in rows]
    here = [path for path in paths if path.is_file()]
    facts = dict(zip(here, audio_probe.probe_all(here), strict=True))
    found = [facts.get(path) for path in paths]
    return [fact.sha256 if isinstance(fact, AudioFacts) else None for fact in found]


def _earlier_marks(
    reviews: RowReviews, rows: list[HeardRow], hashes: list[str | None]
) -> list[object]:
    """Return the marks that rows have already, so that a second review keeps them."""
    return [
        reviews.find(row.pair.after.row.audio_filepath, row.pair.after.row.ref, sha256)
        for row, sha256 in zip(rows, hashes, strict=True)
    ]
