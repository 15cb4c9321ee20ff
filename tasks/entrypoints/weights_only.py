"""NeMo restores a .nemo's weights as tensors and nothing else.

NeMo before 3.0 unpickles whatever a .nemo holds. The project reads the pickle before any of these
programs sees it; this is the second lock, for a file that is changed in between.
"""

from __future__ import annotations

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
        return torch.load(model_weights, map_location=map_location, weights_only=not trust)

    if hasattr(SaveRestoreConnector, _HOOK):
        setattr(SaveRestoreConnector, _HOOK, staticmethod(load))
