#!/usr/bin/env bash
# Prefect 3.8.8: the temporary server of a flow's process outlives that process if a signal ends it.
#
# Without PREFECT_API_URL a flow's process starts a server of its own, which it stops when it exits by itself. Nothing
# ties the two together otherwise: no death signal, no pipe, no heartbeat. After SIGTERM, which batch systems and
# `docker stop` send, and after SIGKILL, which a memory limit sends, the server goes on with its memory and its port
# until somebody ends it. So each such run leaves one behind.
set -euo pipefail
work=$(mktemp -d)
cleanup() {
  pids=$(ours) && kill -9 $pids 2>/dev/null
  rm -rf "$work"
}
ours() { # ids of the server processes whose Prefect home is below the folder, or is its folder $1
  for process in /proc/[0-9]*; do
    if tr '\0' '\n' 2>/dev/null <"$process/environ" | grep -q "^PREFECT_HOME=$work/${1:-}" &&
      tr '\0' ' ' <"$process/cmdline" | grep -q prefect.server.api; then
      echo "${process#/proc/}"
    fi
  done
}
trap cleanup EXIT
python3.11 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check prefect==3.8.8 fastapi==0.150.0
"$work/venv/bin/python" -c 'import prefect; print("prefect", prefect.__version__)'
cat >"$work/flow.py" <<'PYTHON'
import time
from pathlib import Path

from prefect import flow


@flow
def slow():
    Path("started").touch()
    while not Path("stop").exists():
        time.sleep(0.2)


slow()
PYTHON

observe() { # HOW SERVERS
  rm -f "$work/started" "$work/stop"
  (cd "$work" && exec env -u PREFECT_API_URL PREFECT_HOME="$work/$1" PREFECT_LOGGING_LEVEL=CRITICAL \
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS=120 venv/bin/python flow.py) 2>/dev/null &
  flow=$!
  until [ -e "$work/started" ]; do
    kill -0 $flow
    sleep 0.2
  done
  if [ "$1" = itself ]; then touch "$work/stop"; else kill "-$1" $flow; fi
  wait $flow 2>/dev/null || true
  sleep 15
  echo "ended by $1: 15 s later $(ours "$1" | wc -l) server of it was running"
  [ "$(ours "$1" | wc -l)" = "$2" ]
}

observe itself 0
observe TERM 1
observe KILL 1
