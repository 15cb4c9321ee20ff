"""What several tests of this are made of."""

from __future__ import annotations

LARGE = b"weights!" * (1 << 20)
