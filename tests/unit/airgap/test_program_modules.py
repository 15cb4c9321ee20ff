"""The program that installs a bundle has all that it imports, and nothing but Python beside it."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from tasks.airgap.bundle_writing import _PROGRAM_MODULES

REPOSITORY = Path(__file__).parents[3]


def imported(module: Path) -> set[str]:
    """Modules that a file imports when it runs; what only a type checker reads is left out."""
    names: set[str] = set()
    statements = list(ast.parse(module.read_text(encoding="utf-8")).body)
    while statements:
        node = statements.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
        statements += [inner for inner in ast.iter_child_nodes(node) if isinstance(inner, ast.stmt)]
    return names


def is_a_module(name: str) -> bool:
    """Whether a name of this project is a module, and not what one defines."""
    place = REPOSITORY.joinpath(*name.split("."))
    return place.with_suffix(".py").is_file() or place.is_dir()


@pytest.mark.parametrize("module", _PROGRAM_MODULES)
def test_a_module_imports_what_travels_with_it_and_the_standard_library(module: str) -> None:
    """A module that is missing there shows on the host without a network, and nowhere else."""
    travelling = {name.removesuffix(".py").removesuffix("/__init__") for name in _PROGRAM_MODULES}
    for name in imported(REPOSITORY / module):
        if name.split(".")[0] == "tasks":
            assert not is_a_module(name) or name.replace(".", "/") in travelling, name
        else:
            assert name.split(".")[0] in sys.stdlib_module_names, name
