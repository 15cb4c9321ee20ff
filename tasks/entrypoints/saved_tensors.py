"""Tensors written into a file that is open, so that a disk that is full is called so.

Of a full disk PyTorch's own writing says "unexpected pos" and no more. Into an open file it raises
the same, but the system's error stands behind it.
"""

from __future__ import annotations

from typing import IO, Any

import torch


def save(tensors: Any, out: IO[bytes]) -> None:  # noqa: ANN401 - what torch.save takes
    """Write tensors, or what holds them, where an open file is.

    Raises:
        OSError: the file cannot be written.
    """
    try:
        torch.save(tensors, out)
    except RuntimeError as failed:
        raise _cause(failed) from failed


def _cause(failed: BaseException) -> BaseException:
    """Return what the system said when a file could not be written; else the failure itself."""
    behind: BaseException | None = failed
    while behind is not None and not isinstance(behind, OSError):
        behind = behind.__context__
    return failed if behind is None else behind
