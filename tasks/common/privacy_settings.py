"""Whether texts may stand in logs and artifacts, and sound in pages; how long both are kept.

A site sets the variables once for its workers and users. A run's parameters and a command's options
may ask for more, never for less.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_TEXTS_VARIABLE = "ASR_FLYWHEEL_NO_TEXTS"
"""Set to 1: logs and artifacts have counts, rows' numbers and codes in the place of texts."""
NO_AUDIO_VARIABLE = "ASR_FLYWHEEL_NO_AUDIO"
"""Set to 1: reports, review pages and pages of boosting have no recordings in them."""
KEEP_VARIABLE = "ASR_FLYWHEEL_KEEP"
"""What ``purge --expired`` leaves: a number of cycles or days, such as "3 cycles" or "90 days"."""
HIDDEN = "[hidden]"
_OFF = frozenset(("", "0", "false", "no"))
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_TEXTS_HIDDEN: ContextVar[bool] = ContextVar("texts_hidden", default=False)
_AUDIO_HIDDEN: ContextVar[bool] = ContextVar("audio_hidden", default=False)


def hides_texts() -> bool:
    """Return whether logs and artifacts go without texts."""
    return _TEXTS_HIDDEN.get() or _is_set(NO_TEXTS_VARIABLE)


def hides_audio() -> bool:
    """Return whether pages go without sound."""
    return _AUDIO_HIDDEN.get() or _is_set(NO_AUDIO_VARIABLE)


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() not in _OFF


@contextmanager
def applied(*, no_texts: bool = False, no_audio: bool = False) -> Iterator[None]:
    """Hide texts or sound while the block runs, besides what the site hides."""
    texts = _TEXTS_HIDDEN.set(_TEXTS_HIDDEN.get() or no_texts)
    audio = _AUDIO_HIDDEN.set(_AUDIO_HIDDEN.get() or no_audio)
    try:
        yield
    finally:
        _TEXTS_HIDDEN.reset(texts)
        _AUDIO_HIDDEN.reset(audio)


def for_log(sentence: str) -> str:
    """Return a sentence as logs and artifacts may have it: what it quotes is hidden."""
    return _QUOTED.sub(HIDDEN, sentence) if hides_texts() else sentence
