"""When a run asks for a slot; waiting for one is tested on a real site (test_site.py)."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import gpu_slots

if TYPE_CHECKING:
    import pytest


def test_only_a_shared_server_is_asked_for_a_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    """And only after a moment; one that a run starts for itself knows of no other run."""
    done: list[object] = []

    def concurrency(names: list[str], **_: object) -> nullcontext[None]:
        done.append(names)
        return nullcontext()

    monkeypatch.setattr(gpu_slots, "concurrency", concurrency)
    monkeypatch.setattr("flows.gpu_slots.time.sleep", done.append)
    with temporary_settings(restore_defaults={PREFECT_API_URL}), gpu_slots.gpu_slot(()):
        assert not done
    served = {PREFECT_API_URL: "http://127.0.0.1:4200/api"}
    with temporary_settings(served), gpu_slots.gpu_slot(()):
        moment, names = done
        assert names == gpu_slots.slot_names()
        # After 0.1 s no request was refused (docs/log).
        assert isinstance(moment, float)
        assert 0.1 <= moment < 1
