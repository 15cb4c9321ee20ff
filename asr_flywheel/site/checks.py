"""The doctor's checks of Prefect's side: server, pool and worker."""

from __future__ import annotations

import os

from tasks.common.shell_words import in_shell
from tasks.stages.check_result import CheckResult, CheckStatus

_URL = "PREFECT_API_URL"
_ONLINE = "ONLINE"


def examine(pool: str) -> tuple[CheckResult, ...]:
    """Check server, pool and worker if PREFECT_API_URL is set; a run works without a server too."""
    url = os.environ.get(_URL)
    if not url:
        says = "none: runs go by themselves, without a UI that stays"
        return (
            CheckResult(
                "server", CheckStatus.NOTE, says, "asr-flywheel site up, for a server and UI"
            ),
        )
    from prefect.client.orchestration import get_client  # noqa: PLC0415 - a second

    with get_client(sync_client=True) as client:
        if (wrong := client.api_healthcheck()) is not None:
            fix = f"start the server that {_URL} names, or unset it (asr-flywheel site up)"
            return (
                CheckResult("server", CheckStatus.MISSING, f"{url}: {type(wrong).__name__}", fix),
            )
        return _check_server(url, pool)


def _check_server(url: str, pool: str) -> tuple[CheckResult, ...]:
    from prefect.client.orchestration import get_client  # noqa: PLC0415 - as above
    from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError  # noqa: PLC0415

    server = CheckResult("server", CheckStatus.OK, url)
    with get_client(sync_client=True) as client:
        try:
            client.read_work_pool(pool)
        except ObjectNotFound:
            fix = "asr-flywheel site up, or python -m asr_flywheel.site.register"
            return (server, CheckResult("pool", CheckStatus.NOTE, f"no work pool {pool!r}", fix))
        except PrefectHTTPStatusError as refused:
            says = f"{url}: HTTP {refused.response.status_code}"
            fix = "set PREFECT_API_AUTH_STRING as the server's PREFECT_SERVER_API_AUTH_STRING"
            return (CheckResult("server", CheckStatus.MISSING, says, fix),)
        workers = client.read_workers_for_work_pool(pool)
    results = (server, CheckResult("pool", CheckStatus.OK, pool))
    online = [worker.name for worker in workers if worker.status and worker.status.value == _ONLINE]
    if not online:
        says = f"none is online for pool {pool!r}: launched runs wait"
        return (
            *results,
            CheckResult(
                "worker", CheckStatus.NOTE, says, f"asr-flywheel worker --pool {in_shell(pool)}"
            ),
        )
    return (*results, CheckResult("worker", CheckStatus.OK, ", ".join(online)))
