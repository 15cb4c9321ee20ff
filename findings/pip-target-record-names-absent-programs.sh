#!/usr/bin/env bash
# pip 26.3 with --target moves a package's programs to TARGET/bin, and RECORD keeps the lines of the
# place where they were installed first: from TARGET, `../../bin/tool` leads out of it. One would
# expect RECORD to name each installed file, as the format says: whoever checks an installation by
# RECORD finds every program of a --target folder missing, or reads a file of another folder.
# uv 0.13.9 writes `bin/tool`, which is there.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check pip==26.3 uv==0.13.9

"$python" - "$work" <<'PROGRAM'
import sys
import zipfile

info = "tool-1.0.dist-info"
with zipfile.ZipFile(f"{sys.argv[1]}/tool-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("tool.py", "def main():\n    print('tool')\n")
    wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tool\nVersion: 1.0\n")
    wheel.writestr(
        f"{info}/WHEEL",
        "Wheel-Version: 1.0\nGenerator: finding\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    )
    wheel.writestr(f"{info}/entry_points.txt", "[console_scripts]\ntool = tool:main\n")
    wheel.writestr(f"{info}/RECORD", "")
PROGRAM

# What RECORD says of the program, and whether that file and TARGET/bin/tool are there.
told() {
  "$python" - "$1" <<'PROGRAM'
import csv
import pathlib
import sys

target = pathlib.Path(sys.argv[1]).resolve()
(record,) = target.glob("*.dist-info/RECORD")
(name,) = [row[0] for row in csv.reader(record.open()) if row[0].endswith("bin/tool")]
there = "there" if (target / name).is_file() else "absent"
print(f"RECORD: {name}, {there}; bin/tool: {'there' if (target / 'bin/tool').is_file() else 'absent'}")
PROGRAM
}

"$python" -m pip --version | cut -d' ' -f1,2
"$python" -m pip install --quiet --disable-pip-version-check --no-index --target "$work/by-pip" \
  "$work/tool-1.0-py3-none-any.whl"
pip=$(told "$work/by-pip")
echo "$pip"
"$work/venv/bin/uv" --version | cut -d' ' -f1,2
"$work/venv/bin/uv" pip install --quiet --python "$python" --no-index --target "$work/by-uv" \
  "$work/tool-1.0-py3-none-any.whl"
uv=$(told "$work/by-uv")
echo "$uv"
test "$pip" = "RECORD: ../../bin/tool, absent; bin/tool: there" || { echo "pip's RECORD changed" >&2; exit 1; }
test "$uv" = "RECORD: bin/tool, there; bin/tool: there" || { echo "uv's RECORD changed" >&2; exit 1; }
