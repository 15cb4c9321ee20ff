"""Keeps NVRTC from writing into bytes objects that the whole interpreter shares.

NVRTC fills a buffer that its caller made, and ends it with a NUL. NeMo's CUDA-graph decoders make
theirs as ``b" " * size``. The log of a kernel that compiles without a word has size 1, and then
that expression is the literal itself. Where Python compiled NeMo's source in this process (a first
start, or a user who may not write beside it; a literal out of a .pyc is another object), that is
CPython's one and only ``b" "``: from then on a lone space byte reads as NUL wherever this process
meets one, so that a later .nemo does not unpickle and ``print`` puts NUL between its arguments
(NVIDIA-NeMo/Speech#15790).

The functions are wrapped where every caller finds them, in the bindings' own module, so that it
does not matter which of NeMo's modules took ``run_nvrtc`` by name, or when.
"""

from __future__ import annotations

import importlib
import warnings
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

# Where cuda-python keeps them; the second is the older name, and may be a module of its own.
_MODULES = ("cuda.bindings.nvrtc", "cuda.nvrtc")
# CPython shares bytes objects of no or one byte, and no others.
_SHARED = 1
_BYTE_VALUES = bytes(range(256))


class CorruptedBytesError(Exception):
    """One-byte objects that the whole interpreter shares were overwritten."""


def install() -> int:
    """Wrap NVRTC's functions; call it before a model decodes.

    Returns:
        How many functions were wrapped; 0 without cuda-python, and where all of them are already.
    """
    return sum(
        _wrap_all(module) for name in _MODULES if (module := _import_or_none(name)) is not None
    )


def check() -> None:
    """Make sure that every lone byte reads as itself.

    Raises:
        CorruptedBytesError: one does not; whatever this process writes from here on may be wrong.
    """
    # A slice of one byte is the shared object itself, and an index reads what it holds.
    wrong = [value for value in range(256) if _BYTE_VALUES[value : value + 1][0] != value]
    if wrong:
        raise CorruptedBytesError(f"the bytes {wrong} do not read as themselves in this process")


def _import_or_none(name: str) -> ModuleType | None:
    """Import a module; None if it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the older name is deprecated
            return importlib.import_module(name)
    except ImportError:
        return None


def _wrap_all(module: ModuleType) -> int:
    """Wrap what writes an answer into a buffer, and what tells its size."""
    functions = dict(vars(module))
    pairs = [
        (name, name + "Size")
        for name in functions
        if name.startswith("nvrtcGet") and name + "Size" in functions
    ]
    wrapped = 0
    for writer, size in pairs:
        for name, wrap in ((writer, _with_own_buffer), (size, _with_larger_size)):
            if not hasattr(functions[name], "never_shared"):
                new = wrap(functions[name])
                new.never_shared = True  # type: ignore[attr-defined]
                setattr(module, name, new)
                wrapped += 1
    return wrapped


def _with_larger_size(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function that returns a size, to return one that makes an unshared buffer."""

    @wraps(function)
    def ask(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever the bindings take
        error, size = function(*args, **kwargs)
        # Where it failed there is no size.
        return error, size if size is None else max(size, _SHARED + 1)

    return ask


def _with_own_buffer(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function to give it a buffer of its own in the place of a shared one.

    What is written there is lost. It is no more than a terminator.
    """

    @wraps(function)
    def write(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever the bindings take
        positional = [bytes(_SHARED + 1) if _is_shared(argument) else argument for argument in args]
        keywords = {
            name: bytes(_SHARED + 1) if _is_shared(argument) else argument
            for name, argument in kwargs.items()
        }
        return function(*positional, **keywords)

    return write


def _is_shared(value: object) -> bool:
    return isinstance(value, bytes) and len(value) <= _SHARED
