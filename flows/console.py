"""Lines for a person who watches a run on a terminal."""

from __future__ import annotations

from contextlib import suppress

from prefect import get_run_logger
from prefect.exceptions import MissingContextError
from rich.console import Console

console = Console(highlight=False, soft_wrap=True)


def print_stage(name: str, text: str) -> None:
    """One line of what is being done: on the terminal and, inside a run, in its log."""
    console.print(f"[bold cyan]{name:>11}[/]  ", end="")
    console.print(text, markup=False)
    with suppress(MissingContextError):
        get_run_logger().info("%s: %s" if name else "%s%s", name, text)
