"""Unheard variants of a recording: a few milliseconds of silence before it.

What a greedy decoder makes of a rare word hangs on where the recording falls on the encoder's
frames, which nobody hears and nobody chose. So one decode is one draw. Judged rows are decoded
under several shifts, and the share of the decodes that miss a term is what the verdict looks at.
docs/log has what moves KER, and why these shifts.
"""

from __future__ import annotations

import random

Shifts = tuple[int, ...]
"""Samples of digital silence before a recording, at the model's sample rate; 0 is as it is."""

AS_IT_IS: Shifts = (0,)
STEP = 20
"""Every shift is a multiple of so many samples, an eighth of a hop of 10 ms at 16 kHz."""
FRAME = 1280
"""Samples of the longest encoder frame that is common, 80 ms at 16 kHz; shifts lie within one."""
DEFAULT_VARIANTS = 8
MOST_VARIANTS = 32
MOST_JUDGED = 5000
"""Up to so many judged rows variants are decoded by default."""


def shifts(count: int, seed: int) -> Shifts:
    """Return the shifts of so many variants, the recording as it is first.

    One is drawn from the middle of each of ``count`` equal parts of a frame but the first, so that
    they fall on all of it, and no two of them alike.

    Args:
        count: of decodes a row, at least 1.
        seed: of the draw.
    """
    if not 1 <= count <= MOST_VARIANTS:
        raise ValueError(f"1 to {MOST_VARIANTS} variants, not {count}")
    part = FRAME // STEP / count
    draw = random.Random(seed)  # noqa: S311 - repeatable, not secret
    places = (number + 0.25 + draw.random() / 2 for number in range(1, count))
    return (0, *(STEP * int(part * place) for place in places))


def variant_count(wanted: int | None, judged_rows: int) -> int:
    """Return how many decodes a judged row gets: what is wanted, or by default by their number."""
    if wanted is not None:
        return wanted
    return DEFAULT_VARIANTS if judged_rows <= MOST_JUDGED else 1


def variant_key(recording: str, shift: int) -> str:
    """Return the name of a hypothesis in the store: a recording's own hash where it is as it is."""
    return f"{recording}+{shift}" if shift else recording


def key_fields(key: str) -> dict[str, str | int]:
    """Return what ``variant_key`` made a name of, as the store's files hold it."""
    recording, _, shift = key.partition("+")
    return {"audio_sha256": recording, **({"shift": int(shift)} if shift else {})}
