"""A size above which hashes are remembered."""

from __future__ import annotations

LARGE = b"weights!" * (1 << 20)
