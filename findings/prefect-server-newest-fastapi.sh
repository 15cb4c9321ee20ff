#!/usr/bin/env bash
# prefect 3.8.8, installed without pins, brings a FastAPI with which its server does not start.
#
# Prefect asks for FastAPI 0.111 or newer and sets no upper bound. Its API has parameters with
# Body(min_items=…), a name that pydantic 1 had; FastAPI passes unknown names on to pydantic 2's
# field, with a warning for years, and as an error in its newest release. `pip install prefect` on a
# new machine therefore gives a client that works and a server, also the one that a flow starts for
# itself, that ends at its import. FastAPI 0.150.0 beside the same prefect starts.
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
