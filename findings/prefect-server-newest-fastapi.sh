#!/usr/bin/env bash
# prefect 3.8.8, installed without pins, brings a FastAPI with which its server does not start.
#
# Prefect asks for FastAPI without an upper bound, and its API has a parameter with Body(min_items=…),
# pydantic 1's name for it. FastAPI 0.165.0 no longer takes that name: TypeError at the server's
# import. So `pip install prefect==3.8.8` on a new machine gives a client that works, and a server,
# also the one that a flow starts for itself, that ends at once. With FastAPI 0.150.0 it starts.
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export PREFECT_HOME="$folder/home"

starts() {
  python3 -m venv "venv-$1"
  "venv-$1/bin/pip" install --quiet prefect==3.8.8 ${2:+"$2"}
  "venv-$1/bin/python" -c 'import fastapi; print("FastAPI", fastapi.__version__, end=": ")'
  if "venv-$1/bin/python" -c 'from prefect.server.api.server import create_app; create_app()' 2>"$1.log" >/dev/null; then
    echo "the server's application is made"
  else
    echo "the server's application is not made: $(tail -n 1 "$1.log" | cut -c1-120)"
    return 1
  fi
}

starts newest && newest=starts || newest=fails
starts pinned fastapi==0.150.0 && pinned=starts || pinned=fails
[ "$newest" = fails ] && [ "$pinned" = starts ]
