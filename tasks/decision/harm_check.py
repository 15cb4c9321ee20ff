"""What a check of harm tells the verdict, whatever it looks at."""

from __future__ import annotations

from typing import Protocol


class HarmCheck(Protocol):
    """A comparison of base and shipped model that may refuse a model, whatever it gained.

    ``str()`` of it is a sentence with its figures.
    """

    @property
    def name(self) -> str:
        """Its name in decision.json."""

    @property
    def harm(self) -> str | None:
        """The ground to discard, in a sentence; None where no harm is shown."""

    @property
    def doubt(self) -> str | None:
        """Why a model is not kept though no harm is shown, in a sentence; None where it may be."""

    def as_dict(self) -> dict[str, object]:
        """Return the check as decision.json holds it."""
