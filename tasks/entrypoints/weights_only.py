"""NeMo restores a .nemo's weights as tensors and nothing else, from where the file is mapped.

NeMo before 3.0 unpickles whatever a .nemo holds. The project reads the pickle before any of these
programs sees it; this is the second lock, for a file that is changed in between.

NeMo has the weights twice while it restores them: in the model, and as they were read. Where the
file is mapped, the second ones are pages of the file: 2.4 GB less memory to clear for a base of
617 M parameters, and a third of the time (benchmarks/restoring.py).
"""

from __future__ import annotations

import zipfile
from typing import Any

import torch
from nemo.core.connectors.save_restore_connector import SaveRestoreConnector

_HOOK = "_load_state_dict_from_disk"


def load_tensors_only(*, trust: bool = False) -> None:
    """Have every .nemo of this process restored by ``torch.load(weights_only=True)``.

    With ``trust`` it is restored by a loading that runs what the file says, in NeMo 3.0 as well.
    Lightning's checkpoints, which hold more than tensors and are the run's own, are read as before.
    """

    def load(model_weights: str, map_location: Any = "cpu") -> Any:  # noqa: ANN401 - as NeMo's own
        return torch.load(
            model_weights,
            map_location=map_location,
            weights_only=not trust,
            mmap=can_be_mapped(model_weights),
        )

    if hasattr(SaveRestoreConnector, _HOOK):
        setattr(SaveRestoreConnector, _HOOK, staticmethod(load))


def can_be_mapped(path: str) -> bool:
    """Return whether a checkpoint's tensors lie in its file as they are in memory.

    They do not in PyTorch's format before 1.6, nor where another program packed the file.
    """
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return all(member.compress_type == zipfile.ZIP_STORED for member in archive.infolist())
