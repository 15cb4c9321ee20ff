"""The hand-off's command, its table, and a whole hand-off."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from asr_flywheel.cli import main
from tasks.data.cycle_folder import open_cycle
from tasks.models.catalog import embedded_path
from tasks.serving import handoff, handoff_package
from tests.support import finished_runs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pytest


FIELDS = ("decoder", "riva_decoder_flag", "nim_family")
TABLE = {
    "ctc": dict(zip(FIELDS, ("ctc", "decoder=greedy_ctc", "parakeet-*-ctc-*"), strict=True)),
    "rnnt": dict(zip(FIELDS, ("rnnt", "decoder=nemo", "parakeet-rnnt-*"), strict=True)),
    "tdt": dict(zip(FIELDS, ("tdt", "decoder=nemo", "parakeet-tdt-*"), strict=True)),
}
"""The specification's table 4f."""


def shown(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The three fields of the table."""
    return {name: answer[name] for name in FIELDS}


def handed_on(cycle: Path) -> Path:
    """A hand-off of the embedded base."""
    finished_runs.finish(cycle, embedded_path())
    tuned = handoff_package.find_tuned(open_cycle(cycle))
    accepted = handoff_package.judge_tuned(tuned, None)
    assert isinstance(accepted, handoff.Accepted)
    return handoff_package.write(tuned, accepted, cycle.parent / "handed").parent


def call_handoff(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> tuple[int, dict[str, Any]]:
    """Call ``asr-flywheel handoff … --json``; its exit code and its answer."""
    monkeypatch.setattr("sys.argv", ["asr-flywheel", "handoff", *map(str, arguments), "--json"])
    code: Any = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code or 0
    printed = capsys.readouterr()
    return code, json.loads(printed.out) if printed.out else {"error": printed.err}
