#!/usr/bin/env bash
# Prefect 3.8.8: a daily interval schedule leaves its hour when the clocks change, and runs twice a day while it does.
#
# Its documentation says that an interval of a day or longer keeps the clock's hour in the schedule's time zone: 9:00
# stays 9:00. It does while one list of dates crosses the change, since the dates are counted on by calendar days. But a
# list is begun by a jump from the anchor in seconds, so that each list that begins after the change has 10:00. The
# scheduler keeps three runs ahead. Those it made before the change stand at 9:00, those it makes after it at 10:00, and
# its idempotency keys hold the time: both are kept. So a nightly training is started twice on three days, and an hour late
# until autumn. A schedule by cron ("0 9 * * *") keeps its hour and has one run a day.
#
# Here a real server is asked for runs as its scheduler asks: at 9:01 of each day, if fewer than three are ahead.
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
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check prefect==3.8.8 fastapi==0.150.0 \
  sqlalchemy==2.0.58
port=$("$work/venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export PREFECT_HOME=$work/home PREFECT_API_URL=http://127.0.0.1:$port/api PREFECT_SERVER_ANALYTICS_ENABLED=false
export PREFECT_SERVER_ALLOW_EPHEMERAL_MODE=false PATH=$work/venv/bin:$PATH
cd "$work"
prefect server start --host 127.0.0.1 --port "$port" >server.log 2>&1 &
server=$!

python - <<'PYTHON'
import json
import platform
import time
import urllib.error
import urllib.request
from datetime import datetime, timedelta
from os import environ
from zoneinfo import ZoneInfo

import prefect

BERLIN = ZoneInfo("Europe/Berlin")  # its clocks go forward in the night to Sunday, 28 March 2027
AHEAD = 3  # PREFECT_SERVER_SERVICES_SCHEDULER_MIN_RUNS
ANCHOR = datetime(2027, 1, 1, 9, tzinfo=BERLIN).isoformat()
SCHEDULES = {
    "interval": {"interval": 86400, "anchor_date": ANCHOR, "timezone": "Europe/Berlin"},
    "cron": {"cron": "0 9 * * *", "timezone": "Europe/Berlin"},
}


def ask(method, path, body=None):
    request = urllib.request.Request(
        f"{environ['PREFECT_API_URL']}/{path}",
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json"},
        method=method,
    )
    for attempt in range(20):
        try:
            with urllib.request.urlopen(request) as answer:
                return json.loads(answer.read() or "null")
        except urllib.error.HTTPError as busy:  # 503 while the database is locked, as Prefect's client repeats it
            if busy.code != 503 or attempt == 19:
                raise
            time.sleep(0.5)


def times(deployment):
    runs = ask("POST", "flow_runs/filter", {"deployments": {"id": {"any_": [deployment]}}})
    return sorted(datetime.fromisoformat(run["expected_start_time"]).astimezone(BERLIN) for run in runs)


for _ in range(240):
    try:
        ask("GET", "health")
        break
    except OSError:
        time.sleep(0.5)
print("prefect", prefect.__version__, "Python", platform.python_version())
flow = ask("POST", "flows/", {"name": "train"})["id"]
days = [datetime(2027, 3, day, 9, 1, tzinfo=BERLIN) for day in range(25, 32)]
days += [datetime(2027, 4, day, 9, 1, tzinfo=BERLIN) for day in range(1, 4)]
seen = {}
for name, schedule in SCHEDULES.items():
    # Paused, so that only the calls below make runs and none of them starts.
    made = {"name": name, "flow_id": flow, "paused": True}
    deployment = ask("POST", "deployments/", made)["id"]
    ask("POST", f"deployments/{deployment}/schedules", [{"schedule": schedule, "active": True}])
    for today in days:
        if sum(run >= today for run in times(deployment)) < AHEAD:
            body = {"start_time": today.isoformat(), "end_time": (today + timedelta(100)).isoformat()}
            ask("POST", f"deployments/{deployment}/schedule", body)
    seen[name] = {}
    for run in times(deployment):
        seen[name].setdefault(f"{run:%m-%d}", []).append(f"{run:%H:%M}")
    print(f"{name}:")
    for day, hours in seen[name].items():
        print(f"  {day}", *hours)
assert {tuple(hours) for hours in seen["cron"].values()} == {("09:00",)}, "the behaviour of cron changed"
for day, hours in seen["interval"].items():
    both, late = "03-29" <= day <= "03-31", day > "03-31"
    expected = ["09:00", "10:00"] if both else ["10:00"] if late else ["09:00"]
    assert hours == expected, f"the behaviour changed: {day} {hours}"
PYTHON
