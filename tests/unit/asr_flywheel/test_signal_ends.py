"""A signal ends a run with one line and its exit code."""

from __future__ import annotations

import signal
import subprocess
import sys
from threading import Event
from typing import TYPE_CHECKING

import pytest
from prefect.server.api.server import SubprocessASGIServer
from typer.core import TyperGroup

from asr_flywheel import cli, run_server, signal_ends
from asr_flywheel.signal_ends import SignalExit, command_ended_by_signals, ended_by_signals

if TYPE_CHECKING:
    from types import FrameType

HOW_TO_GO_ON = "give the same command again to go on"


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"]
)
def test_a_signal_ends_the_block_with_one_line(
    number: signal.Signals, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what handled it before does so again."""
    own = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    # Whoever starts the tests in the background may have it ignored.
    before = signal.signal(number, own)
    try:
        with pytest.raises(SignalExit) as ended, ended_by_signals(server_apart=False):
            signal.raise_signal(number)
        assert signal.getsignal(number) is own
    finally:
        signal.signal(number, before)
    assert ended.value.code == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"stopped by {number.name}: {HOW_TO_GO_ON}")


COMMANDS = {
    "import a cycle1": f"{HOW_TO_GO_ON} from what is converted",
    "transcribe cycle1 --model embedded": f"{HOW_TO_GO_ON} from what is decoded",
    "sheet recordings sheet": f"{HOW_TO_GO_ON} from what is decoded",
    "validate-serving cycle1": f"{HOW_TO_GO_ON} from what was answered",
    "boost cycle1": "give the same command again",
    "bundle check": "give the same command again",
    "rehearse": "give the same command again with --resume to go on from the steps that passed",
    "rent cycle1": "`asr-flywheel rent --reap` gives back a host that is still out",
}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("line", COMMANDS)
def test_a_signal_ends_each_command_in_one_line(
    number: signal.Signals,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever the command was doing."""

    def work(*_: object) -> None:
        signal.raise_signal(number)

    monkeypatch.setattr(TyperGroup, "invoke", work)
    monkeypatch.setattr(sys, "argv", ["asr-flywheel", *line.split()])
    own = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    before = signal.signal(number, own)
    try:
        with pytest.raises(SignalExit) as ended:
            cli.main()
    finally:
        signal.signal(number, before)
    assert ended.value.code == 128 + number
    assert capsys.readouterr().err == f"stopped by {number.name}: {COMMANDS[line]}\n"


def test_of_two_blocks_the_inner_one_tells(capsys: pytest.CaptureFixture[str]) -> None:
    """A run in a command."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with (
            pytest.raises(SignalExit),
            command_ended_by_signals("run"),
            ended_by_signals("what is new", server_apart=False),
        ):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capsys.readouterr().err == f"stopped by SIGTERM: {HOW_TO_GO_ON} from what is new\n"


def test_whoever_had_a_handler_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two would each print a line."""
    seen: list[int] = []

    def own(number: int, _: FrameType | None) -> None:
        seen.append(number)

    before = signal.signal(signal.SIGTERM, own)
    try:
        with ended_by_signals(server_apart=False):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [signal.SIGTERM]


@pytest.mark.parametrize("gone", [True, False])
def test_a_run_whose_server_is_gone_does_not_wait_for_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, gone: bool
) -> None:
    """It ends itself after the signal; a run that has its server ends by its own cleaning up."""
    ended = Event()
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        ended.set()

    monkeypatch.setattr(signal_ends, "own_server_is_gone", lambda: gone)
    monkeypatch.setattr(signal_ends, "LONGEST_S", 0.3)
    monkeypatch.setattr("os._exit", end)
    handled: list[int] = []
    monkeypatch.setattr("sys.stderr", sys.stderr)  # which the run gives up
    before = signal.signal(signal.SIGTERM, lambda number, _: handled.append(number))
    try:
        # Prefect's handler, in whose hands the run stays.
        with ended_by_signals(server_apart=False):
            signal.raise_signal(signal.SIGTERM)
            assert ended.wait(3 if gone else 0.7) is gone
    finally:
        signal.signal(signal.SIGTERM, before)
    assert handled == [signal.SIGTERM]
    assert codes == ([143] if gone else [])
    assert (HOW_TO_GO_ON in capsys.readouterr().err) is gone


def test_a_server_of_the_runs_own_starts_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a session of its own, and with a process that ends it with the run."""
    started: list[dict[str, object]] = []

    class Started:
        """What is started."""

        pid = 7

        def __init__(self, *_: object, **named: object) -> None:
            started.append(named)

    watched: list[int] = []
    monkeypatch.setattr(run_server, "_watch_over", watched.append)
    monkeypatch.setattr("flows.prefect_helpers.is_named", lambda: False)
    monkeypatch.setattr("prefect.server.api.server.subprocess", subprocess)
    run_server.start_server_apart()
    monkeypatch.setattr(subprocess, "Popen", Started)
    server = SubprocessASGIServer(port=65001)
    server._run_uvicorn_command()
    del SubprocessASGIServer._instances[65001]
    assert [one["start_new_session"] for one in started] == [True]
    assert watched == [7]
