#!/usr/bin/env bash
# Prefect 3.8.8: a task whose stored result is given a name is not run again, in no later flow run, whatever its inputs are.
#
# result_storage_key says where a result is stored "when persisted", so that people find it: scores-{parameters[model]}.
# One would expect the next flow run to compute anew and write over it, as the task without a name does: the default
# policy keeps results to one flow run, its inputs and its source. But a name takes the policy's place, and is the cache's
# key: what lies there is the answer, in state Cached. So the second night's evaluation returns the first night's score for
# other recordings, and with another source of the task. A policy that is given beside the name, INPUTS for example, is
# dropped without a word. {flow_run.id} in the name, cache_policy=NO_CACHE or refresh_cache=True make it what it seems.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check prefect==3.8.8 pydantic==2.14.3 \
  fastapi==0.150.0 sqlalchemy==2.0.58
cat >"$work/nights.py" <<'PYTHON'
"""Score one model's recordings in a flow run; print what each kind of task answers, and if it ran."""

import sys

from prefect import flow, task
from prefect.cache_policies import INPUTS, NO_CACHE

NAME = "scores-{parameters[model]}"


def score(model, recordings):
    return len(recordings)  # the first night's measure


TASKS = {
    "without a name": task(score, name="plain", persist_result=True),
    "with a name": task(score, name="named", result_storage_key=NAME),
    "with a name and INPUTS": task(score, name="inputs", result_storage_key=f"inputs-{NAME}", cache_policy=INPUTS),
    "with a name and NO_CACHE": task(score, name="anew", result_storage_key=f"anew-{NAME}", cache_policy=NO_CACHE),
    "with a name and refresh_cache": task(score, name="fresh", result_storage_key=f"fresh-{NAME}", refresh_cache=True),
    "with the flow run in the name": task(score, name="run", result_storage_key="{flow_run.id}-" + NAME),
}


@flow
def evaluate(recordings):
    found = {}
    for kind, scored in TASKS.items():
        state = scored("base", recordings, return_state=True)
        found[kind] = f"{state.result()} ({state.name})"
    return found


if __name__ == "__main__":
    for kind, answer in evaluate(list(range(int(sys.argv[1])))).items():
        print(f"  {kind}: {answer}")
PYTHON
cd "$work"
export PREFECT_HOME=$work/home PREFECT_LOGGING_LEVEL=WARNING PREFECT_SERVER_ANALYTICS_ENABLED=false DO_NOT_TRACK=1
{
  venv/bin/python -c 'import prefect; print("prefect", prefect.__version__)'
  echo "first night, 10 recordings:"
  venv/bin/python -W error::UserWarning nights.py 10 2>>errors
  sed -i 's/return len(recordings).*/return 1000 + len(recordings)  # the second/' nights.py
  echo "second night, 25 recordings, a measure that adds 1000:"
  venv/bin/python -W error::UserWarning nights.py 25 2>>errors
} | tee seen || { cat errors; exit 1; }

cat >expected <<'SEEN'
prefect 3.8.8
first night, 10 recordings:
  without a name: 10 (Completed)
  with a name: 10 (Completed)
  with a name and INPUTS: 10 (Completed)
  with a name and NO_CACHE: 10 (Completed)
  with a name and refresh_cache: 10 (Completed)
  with the flow run in the name: 10 (Completed)
second night, 25 recordings, a measure that adds 1000:
  without a name: 1025 (Completed)
  with a name: 10 (Cached)
  with a name and INPUTS: 10 (Cached)
  with a name and NO_CACHE: 1025 (Completed)
  with a name and refresh_cache: 1025 (Completed)
  with the flow run in the name: 1025 (Completed)
SEEN
diff expected seen
