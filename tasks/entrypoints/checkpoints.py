"""Checkpoints: written once, and what a killed run left of them made fit for the next start.

After an epoch that is the best so far the same state would be written twice, as the best and as the
last one, and after training a third time: 7.4 GB each for a base of 617 M parameters.

NeMo's experiment manager takes up a run at its ``*last.ckpt``. It refuses for ever where a run was
killed between the new last checkpoint and the removal of the old one (two of them), or while it
marked one as written (an unfinished one alone). The best checkpoint is written before the last one,
and holds as much. And there is no way on from the checkpoint of the last epoch: nothing is left to
train then, and no .nemo is written.
"""

from __future__ import annotations

import functools
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_MARK = "-unfinished"


def write_once(save: Callable[..., None]) -> Callable[..., None]:
    """Wrap Trainer.save_checkpoint: hard-link a last checkpoint of a step that was just saved.

    Either name may go without the other. What the two would differ in is not needed: the name of
    the last checkpoint, and, after the last epoch, that it is over; see ``finish``.
    """
    saved: tuple[int, Path] | None = None

    # NeMo checks the signature of what it overrides; where there are ranks it comes after this.
    @functools.wraps(save)
    def save_checkpoint(trainer: Any, filepath: Any, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        nonlocal saved
        path = Path(filepath)
        same_step = saved is not None and saved[0] == trainer.global_step and path != saved[1]
        if saved is not None and same_step and path.name.endswith("-last.ckpt"):
            if not trainer.is_global_zero or _try_link(saved[1], path):
                trainer.strategy.barrier("a checkpoint that is written already")
                return
        else:
            saved = trainer.global_step, path
        save(trainer, filepath, *arguments, **options)

    return save_checkpoint


def _try_link(source: Path, target: Path) -> bool:
    """Link a file; return whether the file system could do it."""
    try:
        target.unlink(missing_ok=True)
        target.hardlink_to(source)
    except OSError:
        return False
    return True


def mend(folder: Path) -> None:
    """Remove what was not written to its end, and make the newest checkpoint the only last one."""
    for mark in folder.glob(f"*{_MARK}"):
        mark.with_name(mark.name.removesuffix(_MARK) + ".ckpt").unlink(missing_ok=True)
        mark.unlink()
    for path in folder.glob("*.ckpt"):
        if not zipfile.is_zipfile(path):  # cut short: torch writes zip archives, their index last
            path.unlink()
    newest = max(folder.glob("*.ckpt"), key=_modified_ns, default=None)
    last = _last_checkpoints(folder)
    if newest is not None and (not last or _modified_ns(newest) > _modified_ns(last[-1])):
        last.append(newest.with_name(f"{newest.stem}-last.ckpt"))
        last[-1].hardlink_to(newest)
    for older in last[:-1]:
        older.unlink()


def _last_checkpoints(folder: Path) -> list[Path]:
    """List the last checkpoints, the newest at the end."""
    return sorted(folder.glob("*last.ckpt"), key=_modified_ns)


def _modified_ns(path: Path) -> int:
    return path.stat().st_mtime_ns


def finish(folder: Path, base: Path, epochs: int, out: Path) -> dict[str, int] | None:
    """Write the .nemo of a run that was killed after its last checkpoint.

    Args:
        folder: of the checkpoints, mended.
        base: the .nemo that the run started from.
        epochs: how many were asked for.
        out: where the script would have written its .nemo.

    Returns:
        Epoch and step of the last checkpoint; None if there is still something to train.
    """
    from nemo.collections.asr.models import ASRModel  # noqa: PLC0415 - as in _load

    last = _last_checkpoints(folder)
    if not last:
        return None
    checkpoint = _load(last[-1])
    if checkpoint["epoch"] < epochs - 1:
        return None
    # Of the others one is kept, the best by validation WER; without it the last one is the best.
    best = [path for path in folder.glob("*.ckpt") if path not in last]
    model = ASRModel.restore_from(str(base), map_location="cpu")
    model.load_state_dict(_load((best or last)[-1])["state_dict"])
    model.save_to(str(out))
    return {"epoch": int(checkpoint["epoch"]), "step": int(checkpoint["global_step"])}


def _load(path: Path) -> dict[str, Any]:
    import torch  # noqa: PLC0415 - most starts find nothing to load

    # It holds more than tensors; this run wrote it itself.
    loaded: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=False, mmap=True)
    return loaded
