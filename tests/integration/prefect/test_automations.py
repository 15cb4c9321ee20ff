"""Automations on a real site: an arrival starts a run, a failed run tells hook and mailbox."""

from __future__ import annotations

import datetime as dt
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from prefect.blocks.webhook import Webhook
from pydantic import SecretStr

from asr_flywheel.site import automations
from asr_flywheel.site.automations import Wanted
from blocks.email import EmailNotification
from tasks.data.cycle_folder import open_cycle
from tasks.data.cycle_lock import lock_cycle
from tests.support import factories, notification_receivers, prefect_site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage
    from pathlib import Path

    from asr_flywheel.site.local_site import Site


def registered(site: Site) -> dict[str, bool]:
    """Which automations there are, and whether they are on."""
    found = prefect_site.call(site, "POST", "automations/filter")
    return {one["name"]: one["enabled"] for one in found}


@pytest.fixture
def clean(site: Site) -> Iterator[None]:
    """No automation is left for other tests."""
    yield
    for one in prefect_site.call(site, "POST", "automations/filter"):
        prefect_site.call(site, "DELETE", f"automations/{one['id']}")


@pytest.mark.usefixtures("clean")
def test_automations_are_off_until_switched_on_and_stay_on(site: Site) -> None:
    """Registering again leaves what a user has switched on."""
    with prefect_site.speaking_to(site):
        automations.register(Wanted())
        assert registered(site) == {automations.NEXT_CYCLE: False, automations.LOST: False}
        automations.register(Wanted(), enable=True)
        automations.register(Wanted())
    assert registered(site) == {automations.NEXT_CYCLE: True, automations.LOST: True}


@pytest.mark.usefixtures("clean")
def test_an_arrival_starts_its_cycle_once_and_a_grown_manifest_again(
    site: Site, tmp_path: Path
) -> None:
    """The run has the settings of the watch; here its gate asks for a baseline."""
    inbox, cycles = tmp_path / "store", tmp_path / "ward-7"
    shutil.copytree(factories.make_cycle(tmp_path / "made"), inbox / "inbox" / "cycle1")
    watch = {
        "store": str(inbox),
        "prefix": "inbox/",
        "cycles": str(cycles),
        "settings": {"base": "embedded", "priority": ["procedure"]},
    }
    with prefect_site.speaking_to(site):
        automations.register(Wanted(), enable=True)

    def look() -> None:
        run = prefect_site.launch(site, watch, "watch-inbox/watch-inbox")
        prefect_site.ends(site, run, "Completed")

    look()
    prefect_site.wait_for(lambda: len(started(site, cycles)) == 1)
    (first,) = started(site, cycles)
    assert first["parameters"]["config"] == {
        "cycle": str(cycles / "cycle1"),
        "when_busy": "wait",
        "base": "embedded",
        "priority": ["procedure"],
    }
    prefect_site.ends(site, first["id"], "Completed")
    prefect_site.says(site, first["id"], "refused: go to /digital-health-clinical-asr")
    state = prefect_site.call(site, "GET", f"flow_runs/{first['id']}")["state"]
    assert state["message"].startswith("Gate refused cycle 1 (")
    look()
    manifest = inbox / "inbox" / "cycle1" / "manifest.jsonl"
    manifest.write_text(manifest.read_text() + manifest.read_text().splitlines()[0] + "\n")
    look()
    prefect_site.wait_for(lambda: len(started(site, cycles)) == 2)
    for run in started(site, cycles):
        prefect_site.ends(site, run["id"], "Completed")


def started(site: Site, cycles: Path) -> list[dict[str, Any]]:
    """The runs of a cycle."""
    found = prefect_site.call(
        site, "POST", "flow_runs/filter", flows={"name": {"any_": ["finetune-cycle"]}}
    )
    wanted = str(cycles / "cycle1")
    return [one for one in found if one["parameters"].get("config", {}).get("cycle") == wanted]


@pytest.mark.usefixtures("clean")
def test_a_failed_run_tells_a_webhook_and_a_mailbox(site: Site, tmp_path: Path) -> None:
    """With the run's name, its state and why; both blocks are sent from the server."""
    with (
        notification_receivers.webhook() as (url, hooks),
        notification_receivers.mailbox() as (port, mails),
    ):
        with prefect_site.speaking_to(site):
            Webhook(url=SecretStr(url)).save("clinic-hook", overwrite=True)
            EmailNotification(
                host="127.0.0.1",
                port=port,
                security="insecure",
                sender="flywheel@clinic.example",
                recipients=["asr@clinic.example"],
            ).save("clinic-mail", overwrite=True)
            automations.register(Wanted("clinic-hook", "clinic-mail"), enable=True)
        run = prefect_site.launch(site, prefect_site.quick(tmp_path / "cycle1"))
        prefect_site.ends(site, run, "Failed")
        name = prefect_site.call(site, "GET", f"flow_runs/{run}")["name"]

        # Another test's run may have failed a moment before, and is told of as well.
        def told() -> tuple[list[dict[str, Any]], list[EmailMessage]]:
            ours = [hook for hook in hooks if hook["run_id"] == run]
            return ours, [mail for mail in mails if name in mail["subject"]]

        prefect_site.wait_for(lambda: all(told()))
        # Prefect sends at least once: a busy server may send one message again.
        (hook, *_), (mail, *_) = told()
    assert (hook["run"], hook["state"]) == (name, "Failed")
    assert "there is no such cycle folder" in hook["message"]
    assert hook["url"].endswith(f"/flow-run/{run}")
    assert "there is no such cycle folder" in mail.as_string().replace("=\n", "")


@pytest.mark.usefixtures("clean")
def test_a_run_that_waits_for_another_is_told_of_and_goes_on(
    site: Site, trained_cycle: Path
) -> None:
    """``when_busy: wait``, behind a run that takes too long: a webhook hears of it."""
    with notification_receivers.webhook() as (url, hooks):
        with prefect_site.speaking_to(site):
            Webhook(url=SecretStr(url)).save("clinic-hook", overwrite=True)
            longest = dt.timedelta(seconds=10)
            automations.register(Wanted("clinic-hook", longest=longest), enable=True)
        with lock_cycle(open_cycle(trained_cycle)):
            run = prefect_site.launch(site, prefect_site.quick(trained_cycle, when_busy="wait"))
            prefect_site.wait_for(lambda: hooks)
            assert prefect_site.state(site, run) == "Running"
            prefect_site.says(site, run, "another run works on")
            assert not (trained_cycle.parent / "cycle2").exists()
        prefect_site.ends(site, run, "Completed")
    assert (trained_cycle.parent / "cycle2" / "run.json").is_file()
    assert {(hook["automation"], hook["run_id"]) for hook in hooks} == {(automations.LONG, run)}
