#!/usr/bin/env bash
# torch 2.13.0, CPU: a number of threads that a helper thread sets is not the main thread's, but that of all later threads.
#
# torch.set_num_threads "sets the number of threads used for intraop parallelism on CPU", and names no thread. A helper that
# takes one core for itself (set_num_threads(1)) leaves the main thread at its 4: OpenMP and MKL keep a number for each
# thread. Yet every thread that begins afterwards computes with one, and so does a pool made before, which starts its
# threads when work comes. What a program logs as its number of threads, asked for in its main thread, is then not what
# its workers compute with. A later set_num_threads in the main thread is again that of the threads that follow.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat >"$work/threads.py" <<'PYTHON'
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import torch


def number():
    """What PyTorch, OpenMP and, where it is built in, MKL say in this thread: all the same."""
    told = torch.__config__.parallel_info()
    found = {int(one) for one in re.findall(r"(?:omp|mkl)_get_max_threads\(\) : (\d+)", told)}
    found.add(torch.get_num_threads())
    assert len(found) == 1, told
    return found.pop()


def in_a_thread(work):
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def helper():
    before = number()
    torch.set_num_threads(1)
    return before, number()


torch.set_num_threads(4)
pool = ThreadPoolExecutor(1)  # begins its thread with its first work
main = number()
before, own = in_a_thread(helper)
after, later, pooled = number(), in_a_thread(number), pool.submit(number).result()
print(
    f"main: {main}, helper before: {before}, helper: {own}, main after: {after}, "
    f"later thread: {later}, later pool: {pooled}"
)
torch.set_num_threads(4)
again = in_a_thread(number)
print(f"main sets 4 again; thread begun afterwards: {again}")
assert (main, before, own, after, later, pooled, again) == (4, 4, 1, 4, 1, 1, 4)
PYTHON
"$work/venv/bin/python" "$work/threads.py"
