"""Whether texts may stand in logs and artifacts, and sound in pages; how long both are kept.

A site sets the variables once for its workers and users. A run's parameters and a command's options
may hide more, never less. Pages have no sound unless it is asked for: a page is mailed on easily,
and a voice tells who speaks.
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
_AUDIO_ASKED: ContextVar[bool] = ContextVar("audio_asked", default=False)


def hides_texts() -> bool:
    """Return whether logs and artifacts go without texts."""
    return _TEXTS_HIDDEN.get() or _is_set(NO_TEXTS_VARIABLE)


def hides_audio() -> bool:
    """Return whether pages go without sound: nobody asked for it, or somebody forbids it."""
    return not _AUDIO_ASKED.get() or forbids_audio()


def forbids_audio() -> bool:
    """Return whether a site or a run forbids sound in pages, also where it is asked for."""
    return _AUDIO_HIDDEN.get() or _is_set(NO_AUDIO_VARIABLE)


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() not in _OFF


@contextmanager
def applied(
    *, no_texts: bool = False, no_audio: bool = False, audio: bool = False
) -> Iterator[None]:
    """Hide texts or sound while the block runs, besides what the site hides.

    Args:
        no_texts: logs and artifacts go without texts.
        no_audio: pages go without sound, also where it is asked for.
        audio: pages are to have sound.
    """
    texts = _TEXTS_HIDDEN.set(_TEXTS_HIDDEN.get() or no_texts)
    hidden = _AUDIO_HIDDEN.set(_AUDIO_HIDDEN.get() or no_audio)
    asked = _AUDIO_ASKED.set(_AUDIO_ASKED.get() or audio)
    try:
        yield
    finally:
        _AUDIO_ASKED.reset(asked)
        _TEXTS_HIDDEN.reset(texts)
        _AUDIO_HIDDEN.reset(hidden)


def for_log(sentence: str) -> str:
    """Return a sentence as logs and artifacts may have it: what it quotes is hidden."""
    return _QUOTED.sub(HIDDEN, sentence) if hides_texts() else sentence
