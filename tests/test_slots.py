"""When a run asks for a slot; waiting for one is tested on a real site (test_site.py)."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import slots

if TYPE_CHECKING:
    import pytest


def test_only_a_shared_server_is_asked_for_a_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that a run starts for itself knows of no other run."""
    asked: list[list[str]] = []

    def concurrency(names: list[str], **_: object) -> nullcontext[None]:
        asked.append(names)
        return nullcontext()

    monkeypatch.setattr(slots, "concurrency", concurrency)
    with temporary_settings(restore_defaults={PREFECT_API_URL}), slots.gpu_slot(()):
        assert not asked
    served = {PREFECT_API_URL: "http://127.0.0.1:4200/api"}
    with temporary_settings(served), slots.gpu_slot(()):
        assert asked == [slots.slot_names()]
