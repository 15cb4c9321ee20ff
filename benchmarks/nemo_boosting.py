"""NeMo's own boosted decoding, against which ours is measured and tested."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


def boost_by_nemo(model: Any, phrases: Sequence[str], strength: float) -> None:  # noqa: ANN401 - NeMo ships no types
    """Have a model of NeMo's decode greedily with boosted phrases.

    NeMo before 2.6 has another default of ``depth_scaling``; ours is that of 2.6.
    """
    from omegaconf import open_dict  # noqa: PLC0415 - comes with NeMo

    decoding = model.cfg.decoding
    with open_dict(decoding):
        decoding.strategy = "greedy_batch"
        decoding.greedy.boosting_tree = {
            "key_phrases_list": list(phrases),
            "context_score": 1.0,
            "depth_scaling": 2.0,
        }
        decoding.greedy.boosting_tree_alpha = strength
    model.change_decoding_strategy(decoding, verbose=False)
