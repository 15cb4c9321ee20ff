"""Checkpoints: written once, and what a killed run left of them made fit for the next start.

After an epoch that is the best so far the same state would be written twice, as the best and as the
last one, and after training a third time: 7.4 GB each for a base of 617 M parameters. Training
waits for a copy only (background_checkpoints.py).

NeMo's experiment manager takes up a run at its ``*last.ckpt``. It refuses for ever where a run was
killed between the new last checkpoint and the removal of the old one (two of them), or while it
marked one as written (an unfinished one alone). The best checkpoint is written before the last one,
and holds as much. And there is no way on from the checkpoint of the last epoch: nothing is left to
train then, and no .nemo is written.

Where a recipe keeps several checkpoints, the mean of their weights is the model.
"""

from __future__ import annotations

import functools
import hashlib
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch

_MARK = "-unfinished"
_PART = ".ckpt.part"  # of background_checkpoints.py, which needs torch
_FEATURES = "preprocessor."


def write_once(save: Callable[..., None]) -> Callable[..., None]:
    """Wrap Trainer.save_checkpoint: a last checkpoint of a step that was just saved is a link.

    Either name may go without the other. What the two would differ in is not needed: the name of
    the last checkpoint, and, after the last epoch, that it is over; see ``finish``. The trainer's
    checkpoints are those of background_checkpoints.py.
    """
    saved: tuple[int, Path] | None = None

    # NeMo checks the signature of what it overrides; where there are ranks it comes after this.
    @functools.wraps(save)
    def save_checkpoint(trainer: Any, filepath: Any, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        nonlocal saved
        path = Path(filepath)
        same_step = saved is not None and saved[0] == trainer.global_step and path != saved[1]
        if saved is not None and same_step and path.name.endswith("-last.ckpt"):
            if trainer.is_global_zero:
                trainer.strategy.checkpoint_io.link(saved[1], path)
            trainer.strategy.barrier("a checkpoint that is written already")
            return
        saved = trainer.global_step, path
        save(trainer, filepath, *arguments, **options)

    return save_checkpoint


def mend(folder: Path) -> None:
    """Remove what was not written to its end, and make the newest checkpoint the only last one."""
    for part in folder.glob(f"*{_PART}"):
        part.unlink()
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


def finish(
    folder: Path, base: Path, epochs: int, out: Path, *, keeps_last: bool = False
) -> dict[str, int] | None:
    """Write the .nemo of a run that was killed after its last checkpoint.

    Args:
        folder: of the checkpoints, mended.
        base: the .nemo that the run started from.
        epochs: how many were asked for.
        out: where the script would have written its .nemo.
        keeps_last: whether the last checkpoint is the model, and not the best one.

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
    # The others are the best by validation WER; without them the last one is the best. Of several
    # the mean will be the model; see ``average``.
    best = [] if keeps_last else _kept_checkpoints(folder)
    model = ASRModel.restore_from(str(base), map_location="cpu")
    model.load_state_dict(_load((best or last)[-1])["state_dict"])
    model.save_to(str(out))
    return {"epoch": int(checkpoint["epoch"]), "step": int(checkpoint["global_step"])}


def average(folder: Path, out: Path) -> list[dict[str, Any]]:
    """Put the mean of the kept checkpoints' weights into the script's .nemo.

    The weights are summed in 32 bits in the order of the epochs. Integer buffers, and what computes
    features, are those of the last of these epochs.

    Args:
        folder: of the checkpoints: the best ones by validation WER, besides the last one.
        out: the .nemo that the script wrote; it is replaced when the new one is whole.

    Returns:
        Epoch, step and the SHA-256 of the weights of each checkpoint.

    Raises:
        SystemExit: the checkpoints are not of one model, or not of the .nemo's.
    """
    import mix_weights  # type: ignore[import-not-found]  # noqa: PLC0415 - lies beside this file

    kept = _kept_checkpoints(folder) or _last_checkpoints(folder)
    archive = mix_weights.Archive(str(out))
    model = archive.weights()
    # A file's tensors are read as they are needed: one checkpoint's weights are in memory at most.
    sums: dict[str, Any] = dict.fromkeys(model, 0.0)
    averaged = []
    for path in kept:
        checkpoint = _load(path)
        weights = checkpoint["state_dict"]
        if names := mix_weights.differing(model, weights):
            sys.exit(f"checkpoints that differ cannot be averaged: {', '.join(names[:3])}")
        for name, tensor in weights.items():
            averages = tensor.is_floating_point() and not name.startswith(_FEATURES)
            sums[name] = sums[name] + tensor.float() / len(kept) if averages else tensor
        epoch, step = int(checkpoint["epoch"]), int(checkpoint["global_step"])
        averaged.append({"epoch": epoch, "step": step, "weights_sha256": _digest(weights)})
    archive.write_with({name: sums[name].to(model[name].dtype) for name in model}, out)
    return averaged


def _kept_checkpoints(folder: Path) -> list[Path]:
    """List the best checkpoints, which are not called last ones, by their epochs."""
    last = _last_checkpoints(folder)
    kept = [path for path in folder.glob("*.ckpt") if path not in last]
    return kept if len(kept) < 2 else sorted(kept, key=_step)  # noqa: PLR2004 - one has no order


def _step(path: Path) -> int:
    return int(_load(path)["global_step"])


def _digest(weights: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of tensors: their names and bytes, in the order of the names."""
    import torch  # noqa: PLC0415 - as in _load

    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _load(path: Path) -> dict[str, Any]:
    import torch  # noqa: PLC0415 - most starts find nothing to load

    # It holds more than tensors; this run wrote it itself.
    loaded: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=False, mmap=True)
    return loaded
