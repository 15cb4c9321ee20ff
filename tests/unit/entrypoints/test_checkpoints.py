"""Checkpoints: written once, and what a killed run left of them is fit for the next start."""

from __future__ import annotations

import os
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from tasks.entrypoints import checkpoints

if TYPE_CHECKING:
    from pathlib import Path

BEST, LAST, NEW_BEST, NEW_LAST = (
    "sft--val_wer=0.2-epoch=0.ckpt",
    "sft--val_wer=0.2-epoch=0-last.ckpt",
    "sft--val_wer=0.1-epoch=1.ckpt",
    "sft--val_wer=0.1-epoch=1-last.ckpt",
)


def left(folder: Path, *names: str) -> None:
    """Checkpoints that were written in this order; a name with ! was cut short."""
    for number, name in enumerate(names):
        path = folder / name.rstrip("!")
        if path.suffix == ".ckpt":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("data", name.rstrip("!"))
        else:
            path.touch()
        if name.endswith("!"):
            path.write_bytes(path.read_bytes()[:-20])
        os.utime(path, (number, number))


@pytest.mark.parametrize(
    ("found", "kept", "last"),
    [
        ([BEST, LAST], {BEST, LAST}, LAST),
        # Killed before the old last one was removed.
        ([NEW_BEST, LAST, NEW_LAST], {NEW_BEST, NEW_LAST}, NEW_LAST),
        # Killed while the new last one was marked as being written, with and without a file.
        (
            [BEST, LAST, NEW_BEST, NEW_LAST, NEW_LAST.replace(".ckpt", "-unfinished")],
            {BEST, NEW_BEST, NEW_LAST},
            NEW_BEST,
        ),
        ([BEST, LAST, NEW_LAST.replace(".ckpt", "-unfinished")], {BEST, LAST}, LAST),
        # The first last one is the unfinished one.
        ([BEST, LAST.replace(".ckpt", "-unfinished")], {BEST, LAST}, BEST),
        # The power went.
        ([BEST, LAST + "!"], {BEST, LAST}, BEST),
        ([BEST + "!", LAST + "!"], set(), None),
        # Killed while the next one was written.
        ([BEST, LAST, NEW_BEST + ".part"], {BEST, LAST}, LAST),
        ([], set(), None),
    ],
)
def test_the_newest_whole_checkpoint_is_the_only_last_one(
    tmp_path: Path, found: list[str], kept: set[str], last: str | None
) -> None:
    """Whatever moment the run was killed in."""
    left(tmp_path, *found)
    checkpoints.mend(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept
    lasts = list(tmp_path.glob("*last.ckpt"))
    assert len(lasts) == (last is not None)
    if last is not None:
        with zipfile.ZipFile(lasts[0]) as archive:
            assert archive.read("data").decode() == last


def test_a_folder_that_is_not_there_needs_no_mending(tmp_path: Path) -> None:
    """As at the first start."""
    checkpoints.mend(tmp_path / "none")


class Trainer:
    """As much of Lightning's as saving needs, with links that are made at once."""

    def __init__(self, *, first: bool = True) -> None:
        self.is_global_zero = first
        self.global_step = 0
        self.barriers = 0
        self.strategy = self.checkpoint_io = self

    def barrier(self, _: str) -> None:
        """Count."""
        self.barriers += 1

    def link(self, source: Path, target: Path) -> None:
        """Link a file."""
        target.hardlink_to(source)


def test_the_same_state_is_written_once(tmp_path: Path) -> None:
    """As the best and as the last checkpoint, and again after training; a later step anew."""
    written = []

    def save(trainer: Any, path: Path, weights_only: bool = False) -> None:  # noqa: FBT001, FBT002
        written.append(path)
        path.write_text(str(trainer.global_step))

    trainer = Trainer()
    once = checkpoints.write_once(save)
    for step in (49, 98):
        trainer.global_step = step
        once(trainer, tmp_path / f"best-{step}.ckpt", False)
        once(trainer, tmp_path / f"epoch-{step}-last.ckpt", False)
    once(trainer, tmp_path / "over-last.ckpt", False)
    trainer.global_step = 147  # an epoch that is not the best so far
    once(trainer, tmp_path / "epoch-147-last.ckpt", weights_only=False)
    assert [path.name for path in written] == [
        "best-49.ckpt",
        "best-98.ckpt",
        "epoch-147-last.ckpt",
    ]
    (tmp_path / "best-98.ckpt").unlink()
    assert (tmp_path / "epoch-98-last.ckpt").read_text() == "98"
    assert (tmp_path / "over-last.ckpt").read_text() == "98"
    assert trainer.barriers == 3


def test_the_other_ranks_wait_and_link_nothing(tmp_path: Path) -> None:
    """One rank writes."""
    once = checkpoints.write_once(lambda *_: None)
    other = Trainer(first=False)
    once(other, tmp_path / "best.ckpt")
    once(other, tmp_path / "a-last.ckpt")
    assert (other.barriers, list(tmp_path.iterdir())) == (1, [])
