"""The doctor's own decoding: the embedded base and the bundled speech."""

from __future__ import annotations

import json

from tasks.models import catalog
from tasks.stages import trial_decoding
from tasks.stages.check_result import CheckStatus
from tests.support.host_checks_cases import run_context


def test_the_embedded_base_hears_the_bundled_speech() -> None:
    """By the entry program, in a process of its own."""
    decoded = trial_decoding.decode(run_context())
    assert decoded.finding.state is CheckStatus.OK, decoded.finding.says
    assert decoded.figures["decode_rtfx"] > 0
    assert catalog.EMBEDDED_SPEECH_SAYS not in json.dumps(decoded.figures)
