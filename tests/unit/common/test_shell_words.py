"""Commands in messages can be pasted into a shell, whatever a folder's name is."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest
import typer.main

from asr_flywheel.cli import app
from tasks.common.shell_words import in_shell

REPOSITORY = Path(__file__).parents[3]
PACKAGES = ("asr_flywheel", "blocks", "flows", "tasks")
COMMANDS = "|".join(typer.main.get_group(app).commands)
PROGRAM = "asr-flywheel "
# From the command's name to its end: a backtick, or what ends a clause.
IN_COMMAND = re.compile(rf"asr-flywheel (?:{COMMANDS})\b[^`.;,:)]*\Z")


@pytest.mark.parametrize("value", ["/srv/ward 3/cycle2", "O'Brien", "$HOME", "a;b", "plain"])
def test_a_value_is_one_word(value: str) -> None:
    """And the same one."""
    assert shlex.split(f"command {in_shell(Path(value))}") == ["command", value]


def unquoted(source: str) -> list[tuple[int, str]]:
    """Values that a text puts into a command of this program as they are: line and expression."""
    found: list[tuple[int, str]] = []
    if PROGRAM not in source:
        return found
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.JoinedStr):
            continue
        text = ""
        for part in node.values:
            if isinstance(part, ast.Constant):
                text += str(part.value)
                continue
            assert isinstance(part, ast.FormattedValue)
            is_quoted = isinstance(part.value, ast.Call) and ast.unparse(part.value.func) in {
                "in_shell",
                "shlex.join",
            }
            if IN_COMMAND.search(text) and not is_quoted:
                found.append((node.lineno, ast.unparse(part.value)))
            text += "VALUE"
    return found


def test_an_unquoted_value_is_found() -> None:
    """The check itself can fail."""
    assert unquoted("f'Fix: `asr-flywheel gate {path}`'") == [(1, "path")]
    assert unquoted("f'Fix: `asr-flywheel transcribe {in_shell(a)} --model {b}`'") == [(1, "b")]
    assert unquoted("f'`asr-flywheel gate {in_shell(path)}` says so of {path}'") == []


def test_no_message_has_a_command_that_a_space_breaks() -> None:
    """A folder may be named `ward 3`, and the fix of an error is pasted as it stands."""
    found = [
        f"{path.relative_to(REPOSITORY)}:{line}: {value}"
        for package in PACKAGES
        for path in sorted((REPOSITORY / package).rglob("*.py"))
        for line, value in unquoted(path.read_text(encoding="utf-8"))
    ]
    assert found == []
