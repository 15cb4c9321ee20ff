"""Checkpoints that are written while training goes on.

A checkpoint of a base of 617 M parameters is 7.4 GB. Lightning writes it into memory and then into
the file, while the GPU waits: some 20 s an epoch on one host. Here training waits until the tensors
are copied from the GPU. One thread then writes the file, and does in the same order whatever else
is asked of files: so an old checkpoint goes when the new one is whole.

A file gets its name when it is whole. What a killed run had begun is ``*.part``.
"""

from __future__ import annotations

import copy
import shutil
from collections import OrderedDict, deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import saved_tensors  # type: ignore[import-not-found]  # lies beside this file
import torch
from lightning.fabric.plugins import TorchCheckpointIO

if TYPE_CHECKING:
    from collections.abc import Callable

PART = ".part"
"""Ends the name of a file that is not whole yet."""
_LEAST_PINNED = 1 << 20


class BackgroundCheckpointIO(TorchCheckpointIO):
    """Lightning's reading and writing of checkpoints, with the writing in a thread.

    What fails there is raised by the next call that writes, reads or waits, and by all after it.
    What was queued behind it is not done, so that no older checkpoint is removed.
    """

    def __init__(self) -> None:
        """Start no thread yet."""
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._queued: deque[Future[None]] = deque()
        self._failed: BaseException | None = None
        # Kept for the next checkpoint: new memory would have to be cleared by the kernel each time.
        self._host: dict[tuple[object, ...], torch.Tensor] = {}

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | Path,
        storage_options: object = None,
    ) -> None:
        """Copy a checkpoint to the host and have it written; wait for the one before it."""
        if storage_options is not None:
            raise TypeError("storage options are for checkpoints that are not one local file")
        self.wait()  # also, since the copies are kept
        copied = self._copied(checkpoint, (), {})
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self._queue(_write, copied, Path(path))

    def load_checkpoint(self, path: str | Path, *arguments: Any, **options: Any) -> dict[str, Any]:  # noqa: ANN401
        """Read a checkpoint, after all that was asked for is written."""
        self.wait()
        loaded: dict[str, Any] = super().load_checkpoint(path, *arguments, **options)
        return loaded

    def remove_checkpoint(self, path: str | Path) -> None:
        """Have a checkpoint removed when those before it are written."""
        self._queue(super().remove_checkpoint, path)

    def link(self, source: Path, target: Path) -> None:
        """Have a checkpoint get a second name, or a copy where the file system has no links."""
        self._queue(_link_or_copy, source, target)

    def wait(self) -> None:
        """Wait until all is written.

        Raises:
            OSError: something could not be written.
        """
        while self._queued:
            self._queued.popleft().result()

    def teardown(self) -> None:
        """Let the thread end what it has begun; ``wait`` tells what failed."""
        self._thread.shutdown(wait=True)

    def _queue(self, do: Callable[..., None], *arguments: Any) -> None:  # noqa: ANN401
        self._queued.append(self._thread.submit(self._do, do, *arguments))

    def _do(self, do: Callable[..., None], *arguments: Any) -> None:  # noqa: ANN401
        if self._failed is not None:
            raise self._failed
        try:
            do(*arguments)
        except BaseException as failed:
            self._failed = failed
            raise

    def _copied(
        self,
        value: Any,  # noqa: ANN401
        place: tuple[object, ...],
        seen: dict[tuple[object, ...], torch.Tensor],
    ) -> Any:  # noqa: ANN401
        """Copy a checkpoint; what training changes meanwhile must not reach the file.

        Args:
            value: the checkpoint, or something in it.
            place: the keys that lead there.
            seen: copies by the memory of what was copied; weights with two names stay one.
        """
        if isinstance(value, torch.Tensor):
            memory = value.data_ptr(), value.dtype, value.shape, value.stride()
            if not value.numel() or memory not in seen:
                seen[memory] = self._on_the_host(value, place)
            return seen[memory]
        if type(value) in {dict, OrderedDict}:
            made = copy.copy(value)  # a model's state has its layers' versions as an attribute
            for key, one in value.items():
                made[key] = self._copied(one, (*place, key), seen)
            return made
        if type(value) in {list, tuple}:
            return type(value)(
                self._copied(one, (*place, number), seen) for number, one in enumerate(value)
            )
        return copy.deepcopy(value)

    def _on_the_host(self, tensor: torch.Tensor, place: tuple[object, ...]) -> torch.Tensor:
        kept = self._host.get(place)
        if kept is None or kept.shape != tensor.shape or kept.dtype != tensor.dtype:
            kept = self._host[place] = _empty_like(tensor)
        return kept.copy_(tensor.detach(), non_blocking=True)


def _empty_like(tensor: torch.Tensor) -> torch.Tensor:
    """Return memory of the host for a tensor; where it is large, such as a GPU copies to by itself.

    From there to other memory 1 GB/s was measured.
    """
    size = tensor.numel() * tensor.element_size()
    if tensor.is_cuda and size >= _LEAST_PINNED:
        with suppress(RuntimeError):  # none is left that could be locked
            return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")


def _write(checkpoint: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + PART)
    try:
        with part.open("wb") as out:
            saved_tensors.save(checkpoint, out)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _link_or_copy(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        part = target.with_name(target.name + PART)
        shutil.copyfile(source, part)
        part.replace(target)
