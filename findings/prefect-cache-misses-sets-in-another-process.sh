#!/usr/bin/env bash
# Prefect 3.8.8: a cached task that is given a set is computed again in each new process, with the same set.
#
# INPUTS makes the cache's key of the arguments' values. What JSON holds is written with sorted keys; a set is not JSON,
# and then the key is that of its pickle, which holds the members in the set's order. Python draws the hash of a string
# anew for each process, so the order is another one, and with it the key. Within one process, a test's for example, the
# cache is hit; the worker that starts a process for each run computes everything again, and each time stores a result
# that nobody will find. Lists, tuples and dictionaries are hit, whatever the order of a dictionary. One set anywhere in
# an argument is enough, also a frozenset or a field of a data class. With sorted(...) there is no such miss.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check prefect==3.8.8 fastapi==0.150.0 \
  sqlalchemy==2.0.58
cat >"$work/cached.py" <<'PYTHON'
"""Call a cached task twice with each argument; print for which it was computed the first and the second time."""

import dataclasses
import json
import sys

from prefect import flow, task
from prefect.cache_policies import INPUTS

WORDS = ("metoprolol", "cefuroxime", "pantoprazole", "troponin", "creatinine", "ferritin", "apixaban", "ramipril")


@dataclasses.dataclass
class Terms:
    words: frozenset[str]


ARGUMENTS = {
    "list": list(WORDS),
    "tuple": WORDS,
    "dict": dict.fromkeys(WORDS, 1) if sys.argv[1] == "1" else dict.fromkeys(reversed(WORDS), 1),
    "set": set(WORDS),
    "frozenset": frozenset(WORDS),
    "data class with a frozenset": Terms(frozenset(WORDS)),
    "sorted list of a set": sorted(set(WORDS)),
}
computed = []


@task(cache_policy=INPUTS, persist_result=True)
def count(kind, words):
    computed.append(kind)
    return len(WORDS)


@flow
def main():
    found = {}
    for kind, words in ARGUMENTS.items():
        before = [len(computed), count(kind, words), len(computed), count(kind, words), len(computed)]
        found[kind] = [before[2] > before[0], before[4] > before[2]]
    return found


print(json.dumps(main()))
PYTHON
cd "$work"
export PREFECT_HOME=$work/home PREFECT_LOGGING_LEVEL=CRITICAL PREFECT_SERVER_ANALYTICS_ENABLED=false
unset PYTHONHASHSEED
venv/bin/python -c 'import prefect; print("prefect", prefect.__version__)'
for process in 1 2; do
  venv/bin/python cached.py "$process" 2>/dev/null | tail -1 >"$process.json"
done
venv/bin/python - <<'PYTHON'
import json

first, second = (json.load(open(f"{process}.json")) for process in (1, 2))
print("computed in process 1, call 1 and 2; in process 2, call 1 and 2:")
for kind in first:
    print(f"  {kind}:", *(["no", "yes"][once] for once in first[kind] + second[kind]))
    with_set = "set" in kind and "sorted" not in kind
    assert first[kind] + second[kind] == [True, False, with_set, False], "the behaviour changed"
PYTHON
