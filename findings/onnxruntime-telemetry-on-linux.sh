#!/usr/bin/env bash
# onnxruntime 1.32.0 from PyPI reports to its maker on Linux, unless a variable forbids it.
#
# Up to 1.28 only Windows builds had telemetry. The wheel for Linux now writes a device's identity and
# a database of events (processor, operating system, path of the program) into
# ~/.cache/Microsoft/DeveloperTools/.onnxruntime when the package is imported. Privacy.md in the wheel
# says that they are sent by HTTPS; the library holds mobile.events.data.microsoft.com. Nothing is
# printed.
# DO_NOT_TRACK=1 is not heeded. ORT_DISABLE_TELEMETRY=1, set before the import, keeps it from both.
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet onnxruntime==1.32.0

# What an import leaves in a home of its own; CI's variables would keep it silent.
leaves() {
  mkdir "$1"
  env -i PATH="$PATH" HOME="$folder/$1" TMPDIR="$folder/$1" "${@:2}" \
    venv/bin/python -c 'import onnxruntime; print("onnxruntime", onnxruntime.__version__, end=": ")'
  echo "$1: $(cd "$1" && find . -type f | sort | tr '\n' ' ')"
  [ -n "$(find "$1" -name onnxruntime.db)" ]
}

leaves default && default=writes || default=silent
leaves do-not-track DO_NOT_TRACK=1 && asked=writes || asked=silent
leaves disabled ORT_DISABLE_TELEMETRY=1 && disabled=writes || disabled=silent
[ "$default" = writes ] && [ "$asked" = writes ] && [ "$disabled" = silent ]
