"""The embedded CTC base: file and card."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "asr_flywheel" / "embedded"
MODEL = FOLDER / "embedded_ctc.nemo"
CARD = (FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8")


def card_sha256(label: str) -> str:
    """The SHA-256 that the model card gives for something."""
    found = re.search(rf"{re.escape(label)}.*?`([0-9a-f]{{64}})`", CARD)
    assert found, label
    return found[1]
