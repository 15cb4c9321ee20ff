#!/usr/bin/env bash
# pytest-xdist 3.8.0 with pytest 9.2.0: --dist loadgroup no longer keeps a group together.
#
# Tests that share an xdist_group mark are meant to run in one process, so that they may share what
# is made once, such as a server. The worker writes the group's name behind each test's id, and the
# scheduler reads it there. With pytest 9.0.2 it does; with 9.2.0 the ids that the worker
# reports no longer have it, and nothing says so: every test is a group of its own, the suite stays
# green, and what a group shares is made once more in each process.
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >test_group.py <<'PY'
import os
import time

import pytest


@pytest.mark.parametrize("number", range(12))
@pytest.mark.xdist_group("one")
def test_it(number):
    time.sleep(0.2)
    with open("workers.txt", "a") as out:
        out.write(os.environ["PYTEST_XDIST_WORKER"] + "\n")
PY

workers() {
  python3 -m venv "venv-$1"
  "venv-$1/bin/pip" install --quiet "pytest==$1" pytest-xdist==3.8.0
  rm -f workers.txt
  "venv-$1/bin/python" -m pytest -q -n 2 --dist loadgroup test_group.py >/dev/null
  sort -u workers.txt | wc -l
}

before="$(workers 9.0.2)"
now="$(workers 9.2.0)"
echo "pytest-xdist 3.8.0, twelve tests of one group over two processes:"
echo "pytest 9.0.2 ran them in $before, pytest 9.2.0 in $now."
[ "$before" = 1 ] && [ "$now" = 2 ]
