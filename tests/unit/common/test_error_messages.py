"""An error's advice stands behind the word that all errors have for it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import tasks
from tasks.runtimes.failures import Fault, FaultError

ROOT = Path(tasks.__file__).resolve().parents[1]
PACKAGES = ("tasks", "flows", "blocks", "asr_flywheel")
ADVICE = re.compile(
    r"[.!] (Add|Check|Choose|Correct|Delete|Give|Install|Keep|Leave|Make|Mend|Name|Put|Remove|Run|"
    r"Set|Start|Take|Try|Use|Wait|Write) "
)
WITHOUT_ADVICE = {Fault.NO_MODEL, Fault.SCRIPT_FAILED}
"""The log's last lines stand behind these."""


def messages(tree: ast.AST) -> list[tuple[int, str]]:
    """The texts that errors are made of, with their lines."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not ast.unparse(node.func).endswith("Error"):
            continue
        parts = [
            (part.lineno, part.col_offset, part.value)
            for part in ast.walk(node)
            if isinstance(part, ast.Constant) and isinstance(part.value, str)
        ]
        found.append((node.lineno, "".join(text for *_, text in sorted(parts))))
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_advice_is_behind_its_word(package: str) -> None:
    """Entry programs apart, whose words are quoted from their log."""
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path in (ROOT / package).rglob("*.py")
        if "entrypoints" not in path.parts
        for line, text in messages(ast.parse(path.read_text(encoding="utf-8")))
        if ADVICE.search(text) and "Fix: " not in text
    ]
    assert wrong == []


@pytest.mark.parametrize("fault", Fault)
def test_a_fault_has_a_fix(fault: Fault) -> None:
    """One, in the same form."""
    assert str(FaultError(fault)).count("Fix: ") == (fault not in WITHOUT_ADVICE)
