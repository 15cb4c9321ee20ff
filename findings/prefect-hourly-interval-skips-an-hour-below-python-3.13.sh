#!/usr/bin/env bash
# Prefect 3.8.8: an hourly schedule has 25 runs on the day on which clocks go back with Python 3.13, and 24 with 3.12.
#
# Its documentation says that an interval below a day follows UTC: two runs seem to be at 2:00, an hour apart. So they
# are with Python 3.13, where dates are counted by the library whenever. Below it pendulum counts them, and
# "ensure no duplicates" holds them in a set. To Python two datetimes of one zone that differ by nothing but the fold,
# 2:00 before and 2:00 after the change, are equal and hash alike, although an hour lies between them: the second is
# dropped. So the interpreter of the server decides whether a check that is due each hour is two hours late that night,
# and the runs of a schedule change by an upgrade of Python.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/tools"
"$work/tools/bin/python" -m pip install --quiet --disable-pip-version-check uv==0.13.9

cat >"$work/dates.py" <<'PYTHON'
import asyncio
import platform
import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from zoneinfo import ZoneInfo

from prefect.server.schemas.schedules import IntervalSchedule

berlin = ZoneInfo("Europe/Berlin")  # its clocks go back in the night to Sunday, 31 October 2027
start, end = datetime(2027, 10, 31, tzinfo=berlin), datetime(2027, 10, 31, 23, 59, tzinfo=berlin)
schedule = IntervalSchedule(
    interval=timedelta(hours=1), anchor_date=datetime(2027, 1, 1, tzinfo=berlin), timezone="Europe/Berlin"
)
dates = asyncio.run(schedule.get_dates(100, start=start, end=end))
instants = [datetime.fromtimestamp(date.timestamp(), UTC) for date in dates]
gap = max(after - before for before, after in zip(instants, instants[1:])) / timedelta(hours=1)
print(f"Python {platform.python_version()}, prefect {version('prefect')}: {len(dates)} runs, longest gap {gap:g} h")
print("  the first in UTC:", *(f"{instant:%H:%M}" for instant in instants[:5]))
assert (len(dates), gap) == ((25, 1) if sys.version_info >= (3, 13) else (24, 2)), "the behaviour changed"
PYTHON
for python in 3.12 3.13; do
  "$work/tools/bin/uv" venv --quiet --python "$python" "$work/$python"
  "$work/tools/bin/uv" pip install --quiet --python "$work/$python/bin/python" prefect==3.8.8 fastapi==0.150.0 \
    sqlalchemy==2.0.58 'whenever==0.10.5; python_version>="3.13"' 'pendulum==3.3.0; python_version<"3.13"'
  PREFECT_HOME=$work/home "$work/$python/bin/python" "$work/dates.py"
done
