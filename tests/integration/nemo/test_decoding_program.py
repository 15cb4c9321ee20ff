"""The program that decodes: the files it consists of, and the order of a request's sets."""

from __future__ import annotations

import ast
import importlib.util
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

from tasks.runtimes.base import ENTRY
from tasks.transcription.offline import DECODER, PROGRAM

# The programs of tasks/entrypoints find each other beside themselves.
sys.path.insert(0, str(ENTRY))

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_every_file_that_decodes_names_the_hypotheses() -> None:
    """A kept hypothesis is of these very files; one that is not named would change unseen."""
    files, left = set(), [PROGRAM]
    while left:
        files.add(name := left.pop())
        if not name.endswith(".py"):
            continue
        named = set()
        for node in ast.walk(ast.parse((ENTRY / name).read_text())):
            if isinstance(node, ast.Import):
                named |= {f"{alias.name}.py" for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                named.add(f"{node.module}.py")
            elif isinstance(node, ast.Constant) and str(node.value).endswith(".cu"):
                named.add(str(node.value))
        left += sorted({one for one in named if (ENTRY / one).is_file()} - files)
    assert set(DECODER) == files


def test_a_set_apart_is_prepared_for_alone_and_after_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two minutes at once set no budget for sentences, nor is there a graph for as many rows."""
    path = ENTRY / PROGRAM
    found = importlib.util.spec_from_file_location("the_program_that_decodes", path)
    assert found is not None
    assert found.loader is not None
    program = importlib.util.module_from_spec(found)
    found.loader.exec_module(program)
    calls: list[tuple[object, ...]] = []
    model = SimpleNamespace(describe=lambda: "", release=lambda: calls.append(("release",)))

    def prepare(_: object, longest: float, *, together: int | None, shift: int) -> str:
        calls.append(("prepare", longest, together))
        assert not shift
        return f"for {longest:g} s"

    def decode(_: object, audio: list[str], *rest: object) -> list[list[str]]:
        calls.append(("decode", len(audio), rest[2]))
        return [[""]] * len(audio)

    monkeypatch.setattr(program, "load", lambda *_: model)
    monkeypatch.setattr(program.decoding_pipeline, "prepare", prepare)
    monkeypatch.setattr(program.decoding_pipeline, "transcribe_variants", decode)
    sets = [([3.0, 2.0], False), ([2.5], False), ([120.0, 60.0, 30.0], True)]
    request = {
        "jobs": [
            {
                "model": "m.nemo",
                "sets": [
                    {
                        "audio": ["a.wav"] * len(seconds),
                        "durations": seconds,
                        "out": str(tmp_path / f"{number}.jsonl"),
                        **({"apart": True} if apart else {}),
                    }
                    for number, (seconds, apart) in enumerate(sets)
                ],
            }
        ]
    }
    monkeypatch.setattr(program, "begin", lambda: request)
    program.main()
    assert calls == [
        ("prepare", 3.0, None),
        ("decode", 2, "for 3 s"),
        ("decode", 1, "for 3 s"),
        ("release",),
        ("prepare", 120.0, 3),
        ("decode", 3, "for 120 s"),
        ("release",),
    ]
