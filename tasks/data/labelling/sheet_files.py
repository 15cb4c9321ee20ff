"""Write a labelling sheet: a table for people, and tasks for Label Studio with predictions.

`asr-flywheel import` takes both back: tasks/data/importers/labelling_sheet.py, label_studio.py.
"""

from __future__ import annotations

import csv
import io
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tasks.common import atomic_files
from tasks.data.importers.label_studio import AUDIO_CONTROL, RECORDING, STATE_CONTROL, TEXT_CONTROL
from tasks.data.importers.label_studio import UNCLEAR as UNCLEAR_CHOICE
from tasks.data.importers.labelling_sheet import CHECKED, HYPOTHESIS
from tasks.data.labelling.sheet_ranking import MOST_WORTH

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tasks.data.labelling.sheet_ranking import SheetRow

SHEET, TASKS, INTERFACE = "sheet.csv", "label_studio.json", "label_studio.xml"
LOCAL_FILES = "/data/local-files/?d="
"""Where Label Studio serves files of this host; see its setting for local files."""
_COLUMNS = (
    *("rank", "audio_filepath", CHECKED, "text", HYPOTHESIS),
    *("worth", "disagreement", "near_terms", "confidence", "why", "seconds"),
)
_INTERFACE = f"""\
<View>
  <Audio name="{AUDIO_CONTROL}" value="$audio"/>
  <Text name="why" value="$why"/>
  <TextArea name="{TEXT_CONTROL}" toName="{AUDIO_CONTROL}" rows="4" editable="true"
            maxSubmissions="1"/>
  <Choices name="{STATE_CONTROL}" toName="{AUDIO_CONTROL}" choice="single" showInline="true">
    <Choice value="{UNCLEAR_CHOICE}"/>
  </Choices>
</View>
"""


def write_sheet(folder: Path, rows: Sequence[SheetRow], model: str, root: Path, url: str) -> None:
    """Write the table, the tasks and the labelling interface into a folder.

    Args:
        folder: where to.
        rows: ranked.
        model: the name of the model whose hypotheses they are.
        root: the folder whose recordings Label Studio serves.
        url: what it serves them by, before their path in that folder.
    """
    atomic_files.write_text(folder / INTERFACE, _INTERFACE)
    atomic_files.write_json(
        folder / TASKS, [_task(*one, model, root, url) for one in _ranked(rows)]
    )
    atomic_files.write_text(folder / SHEET, _table(rows))  # last: it marks a whole sheet


def _ranked(rows: Sequence[SheetRow]) -> list[tuple[int, SheetRow]]:
    return list(enumerate(rows, start=1))


def _table(rows: Sequence[SheetRow]) -> str:
    table = io.StringIO()
    table.write("\ufeff")  # without it, a spreadsheet may take UTF-8 for something else
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for place, row in _ranked(rows):
        recording = row.recording
        sure = "" if recording.confidence is None else f"{recording.confidence:.3f}"
        near = "; ".join(f"{written} → {term}" for written, term in row.near)
        writer.writerow(
            [
                *(place, str(recording.audio), "", recording.hypothesis, recording.hypothesis),
                *(f"{row.worth:.3f}", f"{row.disagreement:.3f}", near, sure, row.why),
                f"{recording.seconds:.1f}",
            ]
        )
    return table.getvalue()


def _task(place: int, row: SheetRow, model: str, root: Path, url: str) -> dict[str, Any]:
    """Return a task with the hypothesis as its prediction, as Label Studio imports it."""
    recording = row.recording
    served = quote(os.path.relpath(recording.audio, root))
    return {
        "data": {
            "audio": f"{url}{served}",
            RECORDING: str(recording.audio),
            HYPOTHESIS: recording.hypothesis,
            "rank": place,
            "why": row.why,
        },
        "predictions": [
            {
                "model_version": model,
                # Label Studio can sort by it, the least sure first.
                "score": round(1 - row.worth / MOST_WORTH, 4),
                "result": [
                    {
                        "id": f"row{place}",
                        "from_name": TEXT_CONTROL,
                        "to_name": AUDIO_CONTROL,
                        "type": "textarea",
                        "value": {"text": [recording.hypothesis]},
                    }
                ],
            }
        ],
    }
