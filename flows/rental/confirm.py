"""Asking a person for a YES: in Prefect's UI by the run's input, else at the terminal.

There is no parameter, flag or variable that answers instead. Anything but YES, the end of the
input, a time-out, and a program without a terminal are a no.
"""

from __future__ import annotations

import select
import sys
from typing import TYPE_CHECKING

from prefect import pause_flow_run
from prefect.exceptions import FlowPauseTimeout
from prefect.input import RunInput
from prefect.runtime import deployment
from pydantic import Field

from flows.console import print_stage

if TYPE_CHECKING:
    from collections.abc import Sequence

YES = "YES"


class Answer(RunInput):
    """What the form in the UI asks for; without a default, so that an empty resume is refused."""

    answer: str = Field(
        title="Type YES to rent this host",
        description="Exactly YES, in capitals. Anything else cancels, and nothing is created.",
    )


def confirmed(lines: Sequence[str], seconds: float) -> bool:
    """Whether a person who was shown these lines has typed YES.

    Args:
        lines: what it costs.
        seconds: after which it is a no.
    """
    if deployment.id is not None:
        return _in_the_ui(lines, seconds)
    return _at_the_terminal(seconds)


def _in_the_ui(lines: Sequence[str], seconds: float) -> bool:
    shown = "\n".join(["## About to rent a host", "", *(f"- {line}" for line in lines)])
    asked = Answer.with_initial_data(description=shown)
    print_stage("rent", "waiting for YES in Prefect's UI (Resume)")
    try:
        given = pause_flow_run(wait_for_input=asked, timeout=round(seconds), poll_interval=2)
    except FlowPauseTimeout:
        return False
    return bool(given.answer == YES)


def _at_the_terminal(seconds: float) -> bool:
    if not sys.stdin.isatty():
        print_stage("rent", "nobody can be asked: standard input is not a terminal")
        return False
    print("Type YES to rent (anything else cancels): ", end="", flush=True)  # noqa: T201
    if not select.select([sys.stdin], [], [], seconds)[0]:
        print(flush=True)  # noqa: T201
        return False
    return sys.stdin.readline().removesuffix("\n") == YES
