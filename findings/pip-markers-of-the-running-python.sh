#!/usr/bin/env bash
# pip 26.3 with --python-version 3.12 resolves for the Python that runs it where a requirement has a
# marker: run by 3.11, `new; python_version >= "3.12"` is left out and `old; python_version < "3.12"`
# is taken, though the wheels' tags are those of 3.12. One would expect both to follow the option.
# Whoever downloads wheels for another machine that way carries the wrong set, without an error.
# uv 0.13.9 evaluates markers for the Python that is asked for.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check pip==26.3 uv==0.13.9
mkdir "$work/wheels"

# Three packages, one of which wants another on each side of a Python that is not the running one.
"$python" - "$work/wheels" <<'PROGRAM'
import sys
import zipfile

below, above = "3.%d" % sys.version_info[1], "3.%d" % (sys.version_info[1] + 1)
needs = {
    "app": [f'old; python_version <= "{below}"', f'new; python_version >= "{above}"'],
    "old": [],
    "new": [],
}
for name, requires in needs.items():
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(f"{sys.argv[1]}/{name}-1.0-py3-none-any.whl", "w") as wheel:
        lines = [f"Requires-Dist: {one}\n" for one in requires]
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n" + "".join(lines)
        )
        wheel.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: finding\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr(f"{info}/RECORD", "")
PROGRAM

next=$("$python" -c 'import sys; print("3.%d" % (sys.version_info[1] + 1))')
"$python" --version
"$python" -m pip --version | cut -d' ' -f1,2
taken=$("$python" -m pip install --quiet --disable-pip-version-check --dry-run --ignore-installed \
  --target "$work/none" --no-index --find-links "$work/wheels" --only-binary=:all: \
  --python-version "$next" --report - app |
  "$python" -c 'import json, sys
print(*sorted(one["metadata"]["name"] for one in json.load(sys.stdin)["install"]))')
echo "pip, asked for Python $next: $taken"
"$work/venv/bin/uv" --version | cut -d' ' -f1,2
theirs=$(echo app | "$work/venv/bin/uv" pip compile --quiet --no-index --find-links "$work/wheels" \
  --no-python-downloads --python-version "$next" --no-header --no-annotate - 2>/dev/null |
  cut -d= -f1 | sort | tr '\n' ' ' | sed 's/ $//')
echo "uv, asked for Python $next: $theirs"
test "$taken" = "app old" || { echo "pip follows the option now" >&2; exit 1; }
test "$theirs" = "app new" || { echo "uv no longer follows the option" >&2; exit 1; }
