"""Weights are mapped where they lie in the file as in memory, and read where they do not."""

# ruff: noqa: PLC0415 - torch and NeMo take ten seconds that collecting tests need not pay

from __future__ import annotations

import sys
import zipfile
from typing import TYPE_CHECKING, Any

from tasks.runtimes.base import ENTRY

sys.path.insert(0, str(ENTRY))

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def packed(path: Path) -> Path:
    """Write a checkpoint anew, compressed, as a program that packs archives would."""
    out = path.with_name("packed.ckpt")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for member in source.infolist():
            made.writestr(member.filename, source.read(member))
    return out


def test_whole_packed_and_old_files_give_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is mapped; the others do not lie in the file as in memory, and are read."""
    import torch
    import weights_only  # type: ignore[import-not-found]
    from nemo.core.connectors.save_restore_connector import SaveRestoreConnector

    weights = {"w": torch.arange(1 << 16, dtype=torch.float32), "n": torch.tensor(3)}
    whole, old = tmp_path / "whole.ckpt", tmp_path / "old.ckpt"
    torch.save(weights, whole)
    torch.save(weights, old, _use_new_zipfile_serialization=False)
    files = {whole: True, packed(whole): False, old: False}
    asked: list[bool] = []
    plain = torch.load

    def load(*args: Any, mmap: bool, **kwargs: Any) -> Any:
        asked.append(mmap)
        return plain(*args, mmap=mmap, **kwargs)

    monkeypatch.setattr(SaveRestoreConnector, "_load_state_dict_from_disk", None)
    weights_only.load_tensors_only()
    monkeypatch.setattr(torch, "load", load)
    for path in files:
        loaded = SaveRestoreConnector._load_state_dict_from_disk(str(path), map_location="cpu")
        assert loaded.keys() == weights.keys()
        assert all(torch.equal(loaded[name], tensor) for name, tensor in weights.items())
    assert asked == list(files.values())


def test_a_change_of_the_loaded_weights_stays_in_memory(tmp_path: Path) -> None:
    """Training writes into its model, never into the file that it began with."""
    import torch
    import weights_only

    path = tmp_path / "whole.ckpt"
    torch.save({"w": torch.zeros(1 << 16)}, path)
    before = path.read_bytes()
    assert weights_only.can_be_mapped(str(path))
    torch.load(path, weights_only=True, mmap=True)["w"].add_(1)
    assert path.read_bytes() == before
