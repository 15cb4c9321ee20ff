"""Greedy decoding that prefers given phrases, by NeMo's boosting tree.

NeMo makes the tree and runs the loop over frames or labels. At each step that loop asks the tree
for the score of every label. On a GPU NeMo's kernel answers. On a CPU NeMo answers by scanning the
vocabulary once for each step back to the root, which takes many times as long as decoding itself.
There ``ArcTable`` answers from a table of the same sums, made once for a list of phrases.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

NO_BOOSTING = "phrase boosting is not available"
"""Begins each line that says why; tasks/runtimes/failures.py knows it."""
# NeMo's own values for CTC, RNN-T and TDT; before 2.6 its default of the second was another one.
_CONTEXT_SCORE = 1.0
_DEPTH_SCALING = 2.0


def require_nemo() -> Any:  # noqa: ANN401 - NeMo ships no types
    """Return NeMo's module of boosting trees; call it before a model is loaded.

    Raises:
        SystemExit: this NeMo has none.
    """
    try:
        from nemo.collections.asr.parts.context_biasing import (  # noqa: PLC0415
            boosting_graph_batched,
        )
    except ImportError:
        import nemo  # noqa: PLC0415

        sys.exit(f"{NO_BOOSTING}: NeMo {nemo.__version__} has no boosting tree")
    return boosting_graph_batched


class Booster:
    """A list of phrases, ready to be heeded by one model's greedy decoding."""

    def __init__(self, model: Any, phrases: Sequence[str]) -> None:  # noqa: ANN401
        """Build the tree.

        Args:
            model: NeMo's, whose tokenizer spells the phrases.
            phrases: as the model writes; at least one.

        Raises:
            SystemExit: this model or this NeMo cannot be boosted.
        """
        module = require_nemo()
        tokenizer = getattr(model, "tokenizer", None)
        if tokenizer is None:
            sys.exit(f"{NO_BOOSTING}: NeMo's tree needs a tokenizer, and this model has none")
        on_gpu = next(model.parameters()).is_cuda
        tree = module.GPUBoostingTreeModel.from_config(
            module.BoostingTreeModelConfig(
                key_phrases_list=list(phrases),
                context_score=_CONTEXT_SCORE,
                depth_scaling=_DEPTH_SCALING,
                use_triton=on_gpu and _has_triton(),
            ),
            tokenizer=tokenizer,
        )
        self.fusion: Any = tree.to(next(model.parameters()).device) if on_gpu else ArcTable(tree)

    def ctc_decoder(self, model: Any, decoding: Any, strength: float) -> Any:  # noqa: ANN401
        """Return NeMo's greedy decoder of frames with this list.

        Args:
            model: the CTC model.
            decoding: its decoding object.
            strength: what the tree's scores are multiplied by.
        """
        from nemo.collections.asr.parts.submodules.ctc_greedy_decoding import (  # noqa: PLC0415
            GreedyBatchedCTCInfer,
        )

        module = require_nemo()
        # With a list of one phrase it sets itself up for boosting; its tree is then replaced.
        one = model.tokenizer.ids_to_text([1])
        decoder = GreedyBatchedCTCInfer(
            blank_id=decoding.blank_id,
            boosting_tree=module.BoostingTreeModelConfig(
                key_phrases_list=[one], use_triton=bool(getattr(self.fusion, "use_triton", False))
            ),
            boosting_tree_alpha=strength,
            tokenizer=model.tokenizer,
        )
        decoder.fusion_models = [self.fusion]
        return decoder

    def boost_transducer(self, computer: Any, strength: float) -> None:  # noqa: ANN401
        """Have a transducer's loop over labels heed this list from here on."""
        computer.fusion_models = [self.fusion]
        computer.fusion_models_alpha = [strength]
        if hasattr(computer, "reset_cuda_graphs_state"):
            # A captured graph holds the strength as a constant.
            computer.reset_cuda_graphs_state()
        if not self.fusion.compatible_with_cuda_graphs():
            computer.allow_cuda_graphs = False
            if hasattr(computer, "disable_cuda_graphs"):
                computer.disable_cuda_graphs()


def unboost_transducer(computer: Any) -> None:  # noqa: ANN401
    """Have a transducer's loop heed sound alone again."""
    computer.fusion_models = [] if hasattr(computer, "has_fusion_models") else None
    computer.fusion_models_alpha = [] if hasattr(computer, "has_fusion_models") else None
    if hasattr(computer, "reset_cuda_graphs_state"):
        computer.reset_cuda_graphs_state()


def decode_ctc(decoder: Any, scores: torch.Tensor, lengths: torch.Tensor) -> Any:  # noqa: ANN401
    """Return the labels of every frame, (recordings, frames), on the host.

    Args:
        decoder: as ``Booster.ctc_decoder`` returns it.
        scores: log-probabilities, (recordings, frames, labels).
        lengths: frames of each recording.
    """
    # Detached, they are tensors without NeMo's note of what made them, which it would check.
    (hypotheses,) = decoder(decoder_output=scores.detach(), decoder_lengths=lengths.detach())
    labels = torch.zeros(scores.shape[:2], dtype=torch.long)
    for row, hypothesis in zip(labels, hypotheses, strict=True):
        sequence = torch.as_tensor(hypothesis.y_sequence, dtype=torch.long)
        row[: len(sequence)] = sequence
    return labels


def _has_triton() -> bool:
    try:
        from nemo.core.utils.optional_libs import TRITON_AVAILABLE  # noqa: PLC0415
    except ImportError:
        return False
    return bool(TRITON_AVAILABLE)


class ArcTable:
    """A boosting tree for a CPU: every label's score and next state, looked up.

    From a state the tree goes on by its own arcs, then by those of the state that it backs off to,
    and so on to the start state, which has an arc for every label. So a state's answer is the start
    state's, moved by the sum of the back-off weights, except for few labels. Those few, with the
    sums that NeMo adds up in 32 bits in the same order, stand here one state after the other.
    """

    def __init__(self, tree: Any) -> None:  # noqa: ANN401
        self.vocab_size = int(tree.vocab_size)
        self._bos_state = int(tree.bos_state)
        start = int(tree.START_STATE)
        arcs = _read_arcs(tree)
        states = len(arcs["backoff_to"])
        current = np.arange(states)
        moved = np.zeros(states, np.float32)
        alive = np.ones(states, bool)
        rows, labels, scores, targets = [], [], [], []
        while True:
            # The start state's arcs hold for every label, and are kept once.
            alive &= current != start
            if not alive.any():
                break
            first, last = arcs["bounds"][current].T
            counts = np.where(alive, last - first, 0)
            row = np.repeat(np.arange(states), counts)
            within = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
            arc = first[row] + within
            rows.append(row)
            labels.append(arcs["labels"][arc])
            scores.append(moved[row] + arcs["weights"][arc])
            targets.append(arcs["to"][arc])
            moved = np.where(alive, moved + arcs["backoff"][current], moved).astype(np.float32)
            current = np.where(alive, arcs["backoff_to"][current], current)
        first, last = arcs["bounds"][start]
        everything = slice(int(first), int(last))
        order = np.argsort(arcs["labels"][everything], kind="stable")
        self._moved = torch.from_numpy(moved)
        self._scores = torch.from_numpy(arcs["weights"][everything][order])
        self._next = torch.from_numpy(arcs["to"][everything][order].astype("i8"))
        self._keep_exceptions(states, *map(_concatenate, (rows, labels, scores, targets)))

    def _keep_exceptions(self, states: int, rows: Any, labels: Any, scores: Any, to: Any) -> None:  # noqa: ANN401
        """Keep of each state and label the first arc: the one with the fewest steps back."""
        keys = rows.astype(np.int64) * self.vocab_size + labels
        keys, places = np.unique(keys, return_index=True)
        bounds = np.searchsorted(keys, np.arange(states + 1) * self.vocab_size)
        self._bounds = torch.from_numpy(bounds.astype("i8"))
        self._labels = torch.from_numpy((keys % self.vocab_size).astype("i8"))
        self._arc_scores = torch.from_numpy(scores[places].astype("f4"))
        self._arc_next = torch.from_numpy(to[places].astype("i8"))

    def get_init_states(self, batch_size: int, bos: bool = True) -> torch.Tensor:  # noqa: ARG002, FBT001, FBT002 - as NeMo's loops call it
        """Return the state before the first label, of each recording."""
        return torch.full([batch_size], self._bos_state, dtype=torch.long)

    def to(self, device: object) -> ArcTable:  # noqa: ARG002 - as NeMo's loops call it
        """Return itself: it answers on a CPU alone."""
        return self

    def compatible_with_cuda_graphs(self) -> bool:
        """Return whether a CUDA graph may hold it; nothing here runs on a GPU."""
        return False

    def advance(
        self,
        states: torch.Tensor,
        eos_id: int | None = None,  # noqa: ARG002 - as NeMo's loops call it
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the score and the next state of every label, (recordings, labels) each."""
        scores = self._moved[states].unsqueeze(1) + self._scores
        following = self._next.repeat(len(states), 1)
        first = self._bounds[states]
        counts = self._bounds[states + 1] - first
        total = int(counts.sum())
        if total:
            rows = torch.repeat_interleave(counts, output_size=total)
            shift = first - (counts.cumsum(0) - counts)
            arcs = torch.arange(total) + shift[rows]
            places = (rows, self._labels[arcs])
            scores[places] = self._arc_scores[arcs]
            following[places] = self._arc_next[arcs]
        return scores, following


def _read_arcs(tree: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return a tree's structure as arrays."""
    tensors = {
        "bounds": tree.start_end_arcs,
        "labels": tree.ilabels,
        "weights": tree.arcs_weights,
        "to": tree.to_states,
        "backoff": tree.backoff_weights,
        "backoff_to": tree.backoff_to_states,
    }
    return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}


def _concatenate(parts: list[Any]) -> Any:  # noqa: ANN401
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)
