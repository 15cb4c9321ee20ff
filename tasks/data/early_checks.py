"""What is checked before a base is fetched, a server asked or an engine started.

A check that costs nothing comes first. Nobody waits for a download to learn that the folder holds
no manifest.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tasks.data.audio_checks import AudioLimits
from tasks.data.manifest import require_content
from tasks.data.preflight import preflight
from tasks.models import catalog

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

USUAL_RATE = 16_000
"""Hz: of every base of the catalogue, where the base itself is not here to say it."""


def check_before_base(
    base: str,
    manifests: Iterable[Path],
    audio_roots: Sequence[Path] = (),
    shortest: float = 0.0,
    longest: float = math.inf,
) -> None:
    """Check manifests before their base is resolved.

    Rows are checked here only where the base has to be downloaded. Else the check by the base
    follows at once, and lists everything in one round.

    Args:
        base: as the user named it.
        manifests: of the cycle, and of general English where there is one.
        audio_roots: folders under which recordings may lie.
        shortest: seconds that a recording needs.
        longest: seconds that it may have.

    Raises:
        InputError: a manifest is missing, is no file or holds no row; or the base is unknown; or a
            row is faulty, and the base would have to be downloaded.
    """
    paths = [path.expanduser() for path in manifests]
    for path in paths:
        require_content(path)
    if catalog.at_hand(base) is not None:
        return
    limits = AudioLimits(USUAL_RATE, tuple(audio_roots), shortest, longest)
    for path in paths:
        preflight(path, limits, None).raise_errors()
