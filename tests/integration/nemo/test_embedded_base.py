"""The embedded base model, restored: what it knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jiwer

from asr_flywheel.demo.dataset import synthesise_general
from tests.support.embedded_base_cases import MODEL

if TYPE_CHECKING:
    from pathlib import Path


def test_base_knows_general_english(tmp_path: Path) -> None:
    """Restored from its 16-bit file as it is, it hears held-out sentences well."""
    import torch  # noqa: PLC0415 - ten seconds that the other tests need not pay
    from nemo.collections.asr.models import ASRModel  # noqa: PLC0415

    from base_training.evaluate import pooled, transcribe  # noqa: PLC0415

    manifest = synthesise_general(tmp_path, n=60, workers=1)
    model = ASRModel.restore_from(str(MODEL), map_location="cpu")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert pooled(jiwer.wer, transcribe(model, manifest)) <= 0.20
