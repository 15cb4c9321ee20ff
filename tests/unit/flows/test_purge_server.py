"""Where a purge says that runs are, and how they are deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from flows.purge_server import how_to_delete_runs

if TYPE_CHECKING:
    from pathlib import Path


def test_without_a_server_the_store_is_named_and_no_ui(tmp_path: Path) -> None:
    """With the command that works there."""
    with temporary_settings(updates={PREFECT_API_URL: None, PREFECT_HOME: tmp_path}):
        said = how_to_delete_runs()
    assert f"in {tmp_path}/prefect.db: PREFECT_HOME={tmp_path} prefect flow-run delete ID" in said
    assert "UI" not in said


def test_a_named_server_is_named() -> None:
    """By its address."""
    with temporary_settings(updates={PREFECT_API_URL: "http://site.example:4200/api"}):
        said = how_to_delete_runs()
    assert "on the server http://site.example:4200/api: prefect flow-run delete ID" in said
