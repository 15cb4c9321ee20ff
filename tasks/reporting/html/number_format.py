"""Shares and differences as people read them."""

from __future__ import annotations

_POINTS = 100


def percent(value: float | None) -> str:
    """Format a share for people; a dash if there is none."""
    return "–" if value is None else f"{_POINTS * value:.0f} %"


def points(value: float) -> str:
    """Format a difference of shares in percentage points, with a real minus sign."""
    rounded = round(_POINTS * value)
    return f"{rounded:+d}".replace("-", "\u2212") if rounded else "0"


def fine_points(value: float, digits: int = 2) -> str:
    """Format a difference in parts of a point, with a real minus sign."""
    rounded = round(_POINTS * value, digits)
    return f"{rounded:+.{digits}f}".replace("-", "\u2212") if rounded else "0"
