"""A cycle that NeMo has decoded, made once for all tests of serving."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asr_flywheel.demo import dataset
from asr_flywheel.demo.dataset import plan_cycle
from tasks.data.cycle_folder import open_cycle
from tasks.stages import evaluate

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every fifth row of the demo's cycle with the embedded base's offline evaluation."""
    folder = tmp_path_factory.mktemp("demo") / "cycle1"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset, "plan_cycle", lambda seed: plan_cycle(seed)[::5])
        dataset.synthesise_cycle(folder)
    evaluate.transcribe_baseline(open_cycle(folder), "embedded", None, (), print)
    return folder
