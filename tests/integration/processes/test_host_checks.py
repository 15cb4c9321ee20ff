"""The doctor's checks that start a program or ask a server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from asr_flywheel.cli import main
from asr_flywheel.site import checks
from tasks.stages import gpu_checks, host_checks
from tasks.stages.check_result import CheckStatus
from tests.support.host_checks_cases import H100, run_context, smi

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ("9.0", CheckStatus.OK),
        ("8.9\n7.5", CheckStatus.NOTE),
        ("7.0", CheckStatus.NOTE),
        ("[N/A]", CheckStatus.NOTE),
    ],
)
def test_a_card_without_bf16_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: str, state: CheckStatus
) -> None:
    """Turing and Volta; the weakest card counts."""
    smi(monkeypatch, tmp_path, answer)
    assert gpu_checks.bf16(run_context(host=H100)).state is state


def test_a_store_is_really_tried(tmp_path: Path) -> None:
    """A folder that cannot be written, and one that can."""
    from blocks.stores import open_store  # noqa: PLC0415 - time that only this test pays

    def check(name: str) -> None:
        open_store(name).check()

    assert host_checks.store(run_context(), check).state is CheckStatus.OK
    assert (
        host_checks.store(run_context(store=str(tmp_path / "kept")), check).state is CheckStatus.OK
    )
    (tmp_path / "file").write_text("")
    found = host_checks.store(run_context(store=str(tmp_path / "file")), check)
    assert found.state is CheckStatus.MISSING
    assert found.fix


def test_without_a_server_runs_go_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A note; a server that is named but does not answer is missing."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    (found,) = checks.examine("gpu")
    assert found.state is CheckStatus.NOTE
    from prefect.settings import PREFECT_API_URL, temporary_settings  # noqa: PLC0415 - a second

    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        (found,) = checks.examine("gpu")
    assert found.state is CheckStatus.MISSING
    assert "PREFECT_API_URL" in found.fix


def test_the_command_prints_json_and_its_exit_code_says_whether_a_run_can_go(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 it can, 1 it cannot, 2 for a runtime that there is not."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)

    def call(*arguments: str) -> tuple[int, str]:
        line = ["asr-flywheel", "doctor", "--no-decode", *arguments]
        monkeypatch.setattr("sys.argv", line)
        code: Any = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
        return code, capsys.readouterr().out

    code, printed = call("--base", "embedded", "--json")
    assert (code, json.loads(printed)["ok"]) == (0, True)
    code, printed = call("--base", "nvidia/nemotron-speech-streaming-en-0.6b", "--json")
    assert (code, json.loads(printed)["ok"]) == (1, False)
    code, printed = call("--base", "embedded")
    assert "A local run can go." in printed
    assert call("--runtime", "cloud")[0] == 2
