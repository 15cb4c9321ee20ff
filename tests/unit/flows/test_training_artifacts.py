"""What is printed while a training runs."""

from __future__ import annotations

import io
import uuid
from contextlib import nullcontext

import pytest
from rich.console import Console

from flows import console, training_artifacts
from tasks.training.progress import TrainingProgress
from tasks.training.recipes import Recipe


@pytest.mark.parametrize(("fails", "lines"), [(False, 2), (True, 1)])
def test_each_epoch_is_one_line_where_nothing_moves(
    monkeypatch: pytest.MonkeyPatch, *, fails: bool, lines: int
) -> None:
    """As in the log of a service: neither a bar nor its last state follows, also after a fault."""
    printed = io.StringIO()
    for module in (console, training_artifacts):
        monkeypatch.setattr(module, "console", Console(file=printed, soft_wrap=True))
    monkeypatch.setattr(training_artifacts, "create_progress_artifact", lambda **_: uuid.uuid4())
    monkeypatch.setattr(training_artifacts, "update_progress_artifact", lambda *_, **__: None)
    with (
        pytest.raises(RuntimeError) if fails else nullcontext(),
        training_artifacts.training(Recipe(epochs=2), 0) as report,
    ):
        report(TrainingProgress(0, 2, 3, 8, 0, 7.5, None, 0))
        report(TrainingProgress(0, 2, 4, 8, 1, 7.25, 0.5, 0))
        if fails:
            raise RuntimeError
        report(TrainingProgress(1, 2, 8, 8, 2, 7.0, 0.25, 0))
    assert [line.strip() for line in printed.getvalue().splitlines()[1:]] == [
        "epoch 1 of 2, batch 4 of 8, loss 7.250, validation WER 0.500",
        "epoch 2 of 2, batch 8 of 8, loss 7.000, validation WER 0.250",
    ][:lines]
