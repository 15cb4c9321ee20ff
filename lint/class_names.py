"""Part of ``make lint``: a class name means one thing, so it is defined once outside of tests.

Usage: python -m lint.class_names; exit code 1 and a line for each doubled name.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = (
    "asr_flywheel",
    "base_training",
    "benchmarks",
    "blocks",
    "deployments",
    "flows",
    "tasks",
)


def doubled(root: Path = ROOT) -> dict[str, list[str]]:
    """The class names of a checkout that are defined more than once, each with its places.

    Args:
        root: of the checkout.

    Returns:
        ``path:line`` of each definition, by name; classes within functions count too.
    """
    places: defaultdict[str, list[str]] = defaultdict(list)
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
                if isinstance(node, ast.ClassDef):
                    places[node.name].append(f"{path.relative_to(root)}:{node.lineno}")
    return {name: found for name, found in places.items() if len(found) > 1}


def main() -> int:
    """Print the doubled names."""
    names = doubled()
    for name, places in sorted(names.items()):
        sys.stdout.write(f"class {name} is defined {len(places)} times: {', '.join(places)}\n")
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main())
