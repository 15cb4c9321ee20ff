#!/usr/bin/env bash
# pyarrow 26.0.1 installs beside numpy 1.26.4, pip check calls that sound, and the import fails:
# "pyarrow requires NumPy 2.0 or newer". Its metadata names no numpy at all, so that no resolver can
# know. Whoever must have numpy below 2 (nemo_toolkit[asr] 2.5 and 2.6.0 do) and does not pin
# pyarrow gets an environment in which nothing of it can be imported. pyarrow 23.0.1 imports.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python

observe() { # RELEASE WANTED: "imports" or the beginning of the error
  "$python" -m pip install --quiet --disable-pip-version-check numpy==1.26.4 "pyarrow==$1"
  "$python" --version
  "$python" -m pip list --disable-pip-version-check 2>/dev/null | grep -i -E '^(numpy|pyarrow) '
  "$python" -m pip check
  said=$("$python" -c 'import pyarrow; print("imports")' 2>&1 | tail -1 || true)
  echo "pyarrow $1: $said"
  case $said in *"$2"*) ;; *) echo "expected: $2" >&2; exit 1 ;; esac
}

observe 23.0.1 imports
observe 26.0.1 "requires NumPy 2.0 or newer"
requires=$("$python" -c 'from importlib import metadata; print(metadata.requires("pyarrow"))')
echo "its declared dependencies: $requires"
case $requires in *numpy*) echo "numpy is declared now" >&2; exit 1 ;; esac
