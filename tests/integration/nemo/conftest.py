"""A cycle that NeMo has decoded, made once for all tests of serving; what servers get of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asr_flywheel.demo import dataset
from asr_flywheel.demo.dataset import plan_cycle
from tasks.data.cycle_folder import open_cycle
from tasks.models.catalog import embedded_path
from tasks.serving import validation
from tasks.stages import evaluate
from tests.support import evaluated_cycles

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tasks.serving.validation import ValidationPlan


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every fifth row of the demo's cycle with the embedded base's offline evaluation."""
    folder = tmp_path_factory.mktemp("demo") / "cycle1"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset, "plan_cycle", lambda seed: plan_cycle(seed)[::5])
        dataset.synthesise_cycle(folder)
    evaluate.transcribe_baseline(open_cycle(folder), "embedded", None, (), print)
    return folder


@pytest.fixture(scope="module")
def sixteen_rows(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every third row of the decoded cycle, with its evaluation, for a module's tests."""
    return evaluated_cycles.copy_rows(demo, tmp_path_factory.mktemp("serving") / "cycle1", 3)


@pytest.fixture
def serving_plan(sixteen_rows: Path) -> Iterator[ValidationPlan]:
    """What to compare; what a test wrote beside the offline evaluation goes."""
    yield validation.plan(open_cycle(sixteen_rows), model=embedded_path())
    for path in (*sixteen_rows.glob("serv*"), *sixteen_rows.glob(".serv*")):
        path.unlink()
