"""The command line: ``asr-flywheel``.

Exit codes: 0 done (or the gate passed), 1 a run failed, 2 bad input, 3 the gate refused.
"""

from __future__ import annotations

import atexit
import errno
import gc
import os
import sys

import typer

from asr_flywheel.commands import (
    archive,
    boost,
    bundle,
    combination,
    doctor,
    exchange,
    labelling,
    privacy,
    rehearse,
    rent,
    report,
    run,
    serve,
    serving,
    site,
    stages,
    track,
    transcription,
)
from asr_flywheel.option_errors import ExplainingGroup
from asr_flywheel.options import EXIT_BAD_INPUT, EXIT_FAILED, OPTION_NAMES
from asr_flywheel.run_server import PATIENCE_S, TIMEOUT_SETTING
from tasks.common.errors import DiskFullError, FlywheelError, InputError, is_disk_full
from tasks.common.loopback import reach_loopback_directly
from tasks.common.parameter_names import spelled_as
from tasks.common.telemetry import forbid_telemetry

app = typer.Typer(
    cls=ExplainingGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Fine-tune an ASR model on a clinic's vocabulary and measure whether it helped.",
)
# Without a name of their own, their commands are this program's.
GROUPS = (
    *(stages, transcription, exchange, combination, labelling, boost, run, rent, report, archive),
    *(privacy, track, serve, serving, site, bundle, doctor, rehearse),
)
for group in GROUPS:
    app.add_typer(group.app)


def main() -> None:
    """Run the command line; what the user can mend is printed without a traceback."""
    # The stages print their own lines; Prefect's console log would repeat them.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    forbid_telemetry()
    reach_loopback_directly()
    # On a busy host the run's own server needs longer than Prefect's 20 s; one that ends is seen.
    os.environ.setdefault(TIMEOUT_SETTING, str(PATIENCE_S))
    # What a run has loaded is not searched for cycles once more while the interpreter ends: half a
    # second.
    atexit.register(gc.freeze)
    try:
        with spelled_as(OPTION_NAMES):
            app()
    except InputError as wrong:
        print(f"error: {wrong}", file=sys.stderr)  # noqa: T201
        sys.exit(EXIT_BAD_INPUT)
    except FlywheelError as failed:
        print(f"failed: {failed}", file=sys.stderr)  # noqa: T201
        sys.exit(EXIT_FAILED)
    except OSError as wrong:
        if is_disk_full(wrong):
            print(f"failed: {DiskFullError(wrong)}", file=sys.stderr)  # noqa: T201
            sys.exit(EXIT_FAILED)
        if wrong.errno not in _FORBIDDEN or wrong.filename is None:
            raise
        print(f"error: {_explain_forbidden(wrong)}", file=sys.stderr)  # noqa: T201
        sys.exit(EXIT_BAD_INPUT)


_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def _explain_forbidden(wrong: OSError) -> str:
    """Say what this user may not do with which file, and the fix."""
    return (
        f"{wrong.filename}: {wrong.strerror}. Fix: give this user the right to read and write it "
        "and its folder; or copy the folder to a place of your own, and name the copy."
    )


if __name__ == "__main__":
    main()
