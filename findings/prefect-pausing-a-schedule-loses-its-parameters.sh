#!/usr/bin/env bash
# Prefect 3.8.8: `prefect deployment schedule pause` and `resume` empty the parameters of the schedule.
#
# A schedule of a deployment may have parameters of its own, such as the folder it works on. The command sends nothing
# but "active". The server takes the parameters that are not in the request for {} and writes that, while it leaves
# recurrence, slug and the number of runs as they are. The same holds for any PATCH of a schedule that names no
# parameters. From then on its runs are scheduled with the deployment's defaults, or, where a parameter has none, with
# nothing at all. Send the parameters with every change.
set -euo pipefail
work=$(mktemp -d)
server=""
cleanup() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check prefect==3.8.8 fastapi==0.150.0
port=$("$work/venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export PREFECT_HOME=$work/home PREFECT_API_URL=http://127.0.0.1:$port/api PREFECT_SERVER_ANALYTICS_ENABLED=false
export PREFECT_SERVER_ALLOW_EPHEMERAL_MODE=false PATH=$work/venv/bin:$PATH
cd "$work"
prefect server start --host 127.0.0.1 --port "$port" >server.log 2>&1 &
server=$!

cat >schedule.py <<'PYTHON'
"""make: a deployment with a schedule, whose id is printed. show: what the server has of it.

restore: give the schedule its parameters again.
"""

import json
import sys
import time
import urllib.request
from os import environ


def ask(method, path, body=None):
    request = urllib.request.Request(
        f"{environ['PREFECT_API_URL']}/{path}",
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read() or "null")


if sys.argv[1] == "make":
    for _ in range(240):
        try:
            ask("GET", "health")
            break
        except OSError:
            time.sleep(0.5)
    flow = ask("POST", "flows/", {"name": "report"})["id"]
    deployment = ask("POST", "deployments/", {"name": "weekly", "flow_id": flow, "paused": True})["id"]
    made = {
        "schedule": {"cron": "0 2 * * 1"},
        "parameters": {"folder": "ward-7"},
        "slug": "monday",
        "max_scheduled_runs": 5,
        "active": True,
    }
    print(deployment, ask("POST", f"deployments/{deployment}/schedules", [made])[0]["id"])
elif sys.argv[1] == "restore":
    body = {"parameters": {"folder": "ward-7"}}
    ask("PATCH", f"deployments/{sys.argv[2]}/schedules/{sys.argv[3]}", body)
else:
    (found,) = ask("GET", f"deployments/{sys.argv[2]}/schedules")
    names = ("active", "parameters", "slug", "max_scheduled_runs")
    print(json.dumps({name: found[name] for name in names}))
PYTHON

python -c 'import prefect; print("prefect", prefect.__version__)'
read -r deployment schedule < <(python schedule.py make)
made=$(python schedule.py show "$deployment")
prefect deployment schedule pause report/weekly "$schedule" >/dev/null
paused=$(python schedule.py show "$deployment")
python schedule.py restore "$deployment" "$schedule"
restored=$(python schedule.py show "$deployment")
prefect deployment schedule resume report/weekly "$schedule" >/dev/null
resumed=$(python schedule.py show "$deployment")
printf '%s\n' "made:     $made" "paused:   $paused" "restored: $restored" "resumed:  $resumed"
rest='"slug": "monday", "max_scheduled_runs": 5}'
[ "$made" = '{"active": true, "parameters": {"folder": "ward-7"}, '"$rest" ]
[ "$restored" = '{"active": false, "parameters": {"folder": "ward-7"}, '"$rest" ]
if [ "$paused" = '{"active": false, "parameters": {}, '"$rest" ] &&
  [ "$resumed" = '{"active": true, "parameters": {}, '"$rest" ]; then
  echo "as found: to pause or to resume a schedule is to lose its parameters"
else
  echo "changed: the parameters are left alone"
  exit 1
fi
