"""What the scan of a .nemo lets pass, by torch's own safe loader."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import pytest

from tasks.models import pickle_scan
from tests.support import factories
from tests.support.safe_models_cases import CALLS

if TYPE_CHECKING:
    from pathlib import Path


def test_torch_loads_safely_whatever_passes_and_no_more(tmp_path: Path) -> None:
    """All that is allowed is on torch's own list; what torch saves in both formats passes."""
    import torch  # noqa: PLC0415 - seconds that the other tests need not pay
    from torch import _weights_only_unpickler as unpickler  # noqa: PLC0415

    theirs = set(unpickler._get_allowed_globals())
    assert theirs >= pickle_scan.ALLOWED
    kinds = [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool, torch.complex64]
    state: dict[str, Any] = OrderedDict(
        (str(kind), torch.zeros(2, 3, dtype=kind)) for kind in kinds
    )
    state["parameter"] = torch.nn.Parameter(torch.ones(2))
    layer = torch.nn.BatchNorm1d(4).state_dict()
    for new in (True, False):
        path = tmp_path / f"{new}.ckpt"
        torch.save({**state, "layer": layer}, path, _use_new_zipfile_serialization=new)
        with path.open("rb") as stream:
            assert pickle_scan.find_danger(stream, path.stat().st_size) == ""
        torch.load(path, weights_only=True)
    refused = tmp_path / "refused.ckpt"
    refused.write_bytes(factories.no_tensors(CALLS[2]))
    with pytest.raises(pickle.UnpicklingError):
        torch.load(refused, weights_only=True)
