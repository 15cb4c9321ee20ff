#!/usr/bin/env bash
# pydantic 2.14.3 tells two errors of a tuple with min_length=1 whose one member is misspelt: the
# member's, and that the tuple is too short, "not 0 items". One would expect the member's alone: one
# was given. A list and a frozenset with the same members and bound have that one error.
# Whoever shows all errors tells a user who named something that he named nothing.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check pydantic==2.14.3
"$python" - <<'PROGRAM'
import sys
from typing import Annotated, Literal

import pydantic

Word = Literal["drug", "lab"]
KINDS = {"tuple": tuple[Word, ...], "list": list[Word], "frozenset": frozenset[Word]}


def errors(kind, given):
    adapter = pydantic.TypeAdapter(Annotated[kind, pydantic.Field(min_length=1)])
    try:
        adapter.validate_python(given)
    except pydantic.ValidationError as wrong:
        return [error["type"] for error in wrong.errors()]
    return []


print("pydantic", pydantic.VERSION)
found = {name: errors(kind, ["drugs"]) for name, kind in KINDS.items()}
for name, types in found.items():
    print(f"a {name} of one misspelt word: {', '.join(types)}")
print("a tuple with a right word beside it:", *errors(KINDS["tuple"], ["drugs", "lab"]))
alone = ["literal_error"]
if found != {"tuple": [*alone, "too_short"], "list": alone, "frozenset": alone}:
    sys.exit("the behaviour has changed")
PROGRAM
