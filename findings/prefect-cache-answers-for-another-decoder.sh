#!/usr/bin/env bash
# Prefect 3.8.8: a cached task answers with the result of other inputs, if these differ within a field of a pydantic model.
#
# INPUTS makes the cache's key of the arguments' values, so one would expect two models that are not equal to have two keys.
# But the key is the MD5 of what Prefect's JSON serializer writes, and pydantic writes a field by its annotation, not by
# what it holds: of `decoder: Decoder`, given a Beam(size=16), only what Decoder declares. So beams of 4 and of 16, and
# greedy search too, are one key: the second training, decoding or scoring is not done, and gets the first one's result, in
# state Cached. Nothing warns: pydantic's own warning stands for wrong types only. The same models as the argument itself,
# or in a list, are told apart, because Prefect then writes each by its own class. SerializeAsAny on the field, or a union
# of the classes, gives each its own key.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check prefect==3.8.8 pydantic==2.14.3 \
  fastapi==0.150.0 sqlalchemy==2.0.58
cat >"$work/cached.py" <<'PYTHON'
"""Call a cached task with three decoders in each kind of argument; print what it answers."""

from importlib.metadata import version

from prefect import flow, task
from prefect.cache_policies import INPUTS
from pydantic import BaseModel, SerializeAsAny


class Decoder(BaseModel):
    blank: int = 0


class Greedy(Decoder):
    pass


class Beam(Decoder):
    size: int


class Recipe(BaseModel):
    decoder: Decoder


class AsAny(BaseModel):
    decoder: SerializeAsAny[Decoder]


class OneOf(BaseModel):
    decoder: Greedy | Beam


DECODERS = [Beam(size=4), Beam(size=16), Greedy()]
ARGUMENTS = {
    "the model itself": DECODERS,
    "in a list": [[decoder] for decoder in DECODERS],
    "in a field of its base class": [Recipe(decoder=decoder) for decoder in DECODERS],
    "in a field with SerializeAsAny": [AsAny(decoder=decoder) for decoder in DECODERS],
    "in a field with a union": [OneOf(decoder=decoder) for decoder in DECODERS],
}


@task(cache_policy=INPUTS, persist_result=True)
def decode(kind, argument):
    decoder = argument if isinstance(argument, Decoder) else argument[0] if isinstance(argument, list) else argument.decoder
    return repr(decoder)


@flow
def main():
    answers = {}
    for kind, arguments in ARGUMENTS.items():
        states = [decode(kind, argument, return_state=True) for argument in arguments]
        answers[kind] = [f"{state.name} {state.result()}" for state in states]
    return answers


if __name__ == "__main__":
    assert len({recipe.model_dump_json(serialize_as_any=True) for recipe in ARGUMENTS["in a field of its base class"]}) == 3
    assert ARGUMENTS["in a field of its base class"][0] != ARGUMENTS["in a field of its base class"][1]
    answers = main()
    print("prefect", version("prefect"), "pydantic", version("pydantic"))
    for kind, found in answers.items():
        print(f"{kind}: {'; '.join(found)}")
PYTHON
cd "$work"
export PREFECT_HOME=$work/home PREFECT_LOGGING_LEVEL=CRITICAL PREFECT_SERVER_ANALYTICS_ENABLED=false DO_NOT_TRACK=1
"$work/venv/bin/python" -W error::UserWarning:pydantic cached.py 2>"$work/errors" | tee "$work/seen" || { cat "$work/errors"; exit 1; }

cat >"$work/expected" <<'SEEN'
prefect 3.8.8 pydantic 2.14.3
the model itself: Completed Beam(blank=0, size=4); Completed Beam(blank=0, size=16); Completed Greedy(blank=0)
in a list: Completed Beam(blank=0, size=4); Completed Beam(blank=0, size=16); Completed Greedy(blank=0)
in a field of its base class: Completed Beam(blank=0, size=4); Cached Beam(blank=0, size=4); Cached Beam(blank=0, size=4)
in a field with SerializeAsAny: Completed Beam(blank=0, size=4); Completed Beam(blank=0, size=16); Completed Greedy(blank=0)
in a field with a union: Completed Beam(blank=0, size=4); Completed Beam(blank=0, size=16); Completed Greedy(blank=0)
SEEN
diff "$work/expected" "$work/seen"
