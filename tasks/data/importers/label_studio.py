"""Read what Label Studio exports: tasks with annotations, as JSON or as JSON-MIN.

A task counts once a person has submitted an annotation; a prediction alone is a model's. The
recording of a task is its ``recording``, which `asr-flywheel sheet` writes, or the path in its
``audio`` where that is one.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tasks.common.counted import counted
from tasks.common.errors import InputError
from tasks.data.canonical import canonical
from tasks.data.importers.source_rows import SKIP_FIX, RowFault, SourceRow, number, recording_at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tasks.data.importers.source_rows import Found, ReadOptions

TEXT_CONTROL, AUDIO_CONTROL, STATE_CONTROL = "transcription", "audio", "state"
"""Names in the labelling interface that `asr-flywheel sheet` writes."""
RECORDING, UNCLEAR = "recording", "unclear"


def detect(source: Path) -> bool:
    """Return whether a JSON file is a list of tasks."""
    if not source.is_file() or source.suffix.lower() != ".json":
        return False
    try:
        tasks = json.loads(source.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return False
    return isinstance(tasks, list) and bool(tasks) and all(map(_is_task, tasks))


def _is_task(task: object) -> bool:
    if not isinstance(task, dict):
        return False
    is_whole = isinstance(task.get("data"), dict) and (
        "annotations" in task or "predictions" in task
    )
    return is_whole or ("id" in task and AUDIO_CONTROL in task and "annotation_id" in task)


def read(source: Path, options: ReadOptions) -> Iterator[Found]:
    """Yield the rows of annotated tasks; say how many tasks have no annotation or are unclear.

    Raises:
        InputError: it is no list of tasks.
    """
    try:
        tasks = json.loads(source.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as wrong:
        raise InputError(
            f"{source}: is not readable as JSON ({wrong}). Fix: export the tasks as JSON again."
        ) from wrong
    if not isinstance(tasks, list) or not all(map(_is_task, tasks)):
        raise InputError(
            f"{source}: is no list of Label Studio's tasks. Fix: export them as JSON or JSON-MIN."
        )
    waiting = unclear = 0
    for place_number, task in enumerate(tasks, start=1):
        place = f"{source}: task {task.get('id', place_number)}"
        annotations = _annotations(task)
        if not annotations:
            waiting += 1
        elif any(map(_is_unclear, annotations)):
            unclear += 1
        else:
            yield from _rows(place, task.get("data", task), annotations, source.parent)
    if waiting or unclear:
        options.note(
            f"not imported: {counted(waiting, 'task')} without an annotation, {unclear} unclear"
        )


def _annotations(task: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """Return the results of each submitted annotation."""
    if "data" not in task:
        text, state = task.get(TEXT_CONTROL), task.get(STATE_CONTROL)
        result: list[dict[str, Any]] = []
        if state:
            result.append({"type": "choices", "value": {"choices": [state]}})
        if text:
            texts = text if isinstance(text, list) else [text]
            result.append({"type": "textarea", "value": {"text": texts}})
        return [result]
    return [
        annotation["result"]
        for annotation in task.get("annotations") or ()
        if isinstance(annotation, dict)
        and not annotation.get("was_cancelled")
        and isinstance(annotation.get("result"), list)
    ]


def _is_unclear(result: list[dict[str, Any]]) -> bool:
    return any(
        item.get("type") == "choices" and UNCLEAR in (item.get("value") or {}).get("choices", ())
        for item in result
    )


def _rows(
    place: str, data: dict[str, Any], annotations: list[list[dict[str, Any]]], folder: Path
) -> Iterator[Found]:
    """Yield a row for the recording, or one for each of its marked regions."""
    try:
        recording = recording_at(folder, _recording_of(data))
        texts = _agreed_texts(annotations)
    except ValueError as wrong:
        fix = f"correct it in Label Studio and export again, {SKIP_FIX}"
        yield RowFault(place, str(wrong), fix)
        return
    for start, end, text in texts:
        yield SourceRow(place, recording, text, start=start or 0.0, end=end)


def _recording_of(data: dict[str, Any]) -> str:
    """Return the path of a task's recording.

    Raises:
        ValueError: it names none.
    """
    written = data.get(RECORDING) or data.get(AUDIO_CONTROL)
    if not isinstance(written, str) or not written.strip():
        raise ValueError(f"names no recording under {RECORDING} or {AUDIO_CONTROL}")
    return written


def _agreed_texts(
    annotations: list[list[dict[str, Any]]],
) -> list[tuple[float | None, float | None, str]]:
    """Return the texts of a task on which all who annotated it agree.

    Raises:
        ValueError: they do not, or there is none.
    """
    first, *others = map(_texts, annotations)
    if any(_spoken(other) != _spoken(first) for other in others):
        raise ValueError("several people wrote different texts")
    if not first:
        raise ValueError("is annotated, and holds no text")
    return first


def _texts(result: list[dict[str, Any]]) -> list[tuple[float | None, float | None, str]]:
    """Return the texts of an annotation with the seconds of their regions.

    Raises:
        ValueError: a region's seconds are no numbers.
    """
    found: list[tuple[float | None, float | None, str]] = []
    for item in result:
        value = item.get("value")
        if item.get("type") != "textarea" or not isinstance(value, dict):
            continue
        texts = value.get("text")
        text = " ".join(map(str, texts)) if isinstance(texts, list) else str(texts or "")
        if text.strip():
            found.append((number(value.get("start")), number(value.get("end")), text.strip()))
    return sorted(found, key=lambda one: one[0] or 0.0)


def _spoken(texts: list[tuple[float | None, float | None, str]]) -> list[tuple[float | None, str]]:
    return [(start, canonical(text)) for start, _, text in texts]
