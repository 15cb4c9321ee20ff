"""How many rows of a batch joint and loss take at once.

NeMo's joint and loss take a batch in pieces of a few rows, to save memory. Each piece costs several
waits for the GPU. Losses are added up over all pieces before they are averaged, so that fewer
pieces are the same training; except for a loss that draws.

A TDT loss with an ``omega`` draws at each call whether it is the RNN-T's, which is some units
higher. In one piece a whole batch would draw at once, and clipping would make another training of
it. So it is called for all rows that drew alike.

NeMo casts the joint's output to 32 bits, and then copies the part of it that are labels. For a
batch of 16 rows of 15 s either is some 0.9 GiB. Here the parts are cast, so that there is one copy.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import torch
from nemo.collections.asr.parts.numba.rnnt_loss.rnnt_pytorch import TDTLossNumba

if TYPE_CHECKING:
    from padded_shapes import PaddedShapes  # type: ignore[import-not-found]  # lies beside this file

# A joint's element: logits in bf16 and fp32, the gradients of both, and what is between.
_JOINT_BYTES = 16
_JOINT_SHARE = 0.15  # of the GPU's memory, for the joint of one piece
_LONGEST_TEXTS = 50


class PiecewiseDraws:
    """A TDT loss of many rows that draws for each piece of them.

    It draws from the generator, and in the order, in which the loss would draw if it were called
    piece by piece. Losses and gradients are those of the pieces, but for rounding.
    """

    def __init__(self, loss: Any, piece: int) -> None:  # noqa: ANN401 - NeMo's RNNTLoss
        """Take the place of the forward pass of the loss that NeMo's loss holds.

        Args:
            loss: casts the joint's output for the loss that it holds, which draws at each call.
            piece: rows that draw together.
        """
        self._casts, self._forced = loss, loss._force_float32  # noqa: SLF001 - it has no other name
        self._loss, self._piece = loss._loss, piece  # noqa: SLF001 - likewise
        self._plain = self._loss.forward
        self._loss.forward = self
        self._by_parts = isinstance(self._loss, TDTLossNumba)
        if self._by_parts:
            loss._force_float32 = False  # noqa: SLF001 - cast below

    def remove(self) -> None:
        """Leave the loss as it was."""
        del self._loss.forward  # the class's own is found again
        self._casts._force_float32 = self._forced  # noqa: SLF001

    def __call__(
        self,
        acts: torch.Tensor,
        labels: torch.Tensor,
        act_lens: torch.Tensor,
        label_lens: torch.Tensor,
    ) -> torch.Tensor:
        """Return the loss of each row; arguments and result are those of NeMo's.

        Args:
            acts: (rows, frames, labels + 1, classes).
            labels: (rows, labels).
            act_lens: frames of each row.
            label_lens: labels of each row.
        """
        omega = self._loss.omega
        pieces = range(-(-len(acts) // self._piece))
        drawn = [random.uniform(0, 1) < omega for _ in pieces]  # noqa: S311 - as NeMo draws
        state = random.getstate()
        try:
            if len({*drawn}) == 1:
                return self._ask(drawn[0], acts, labels, act_lens, label_lens)
            # Split, since a slice's gradient would be a whole tensor of zeros for each piece.
            by_piece = [
                torch.split(one, self._piece) for one in (acts, labels, act_lens, label_lens)
            ]
            losses: dict[int, torch.Tensor] = {}
            for kind in (False, True):
                alike = [piece for piece in pieces if drawn[piece] is kind]
                rows = [torch.cat([parts[piece] for piece in alike]) for parts in by_piece]
                found = torch.split(self._ask(kind, *_trimmed(*rows)), self._piece)
                losses |= dict(zip(alike, found, strict=True))
            return torch.cat([losses[piece] for piece in pieces])
        finally:
            # Each call below has drawn once more, from a decision that was made already.
            self._loss.omega = omega
            random.setstate(state)

    def _ask(self, kind: bool, *rows: torch.Tensor) -> torch.Tensor:  # noqa: FBT001 - what was drawn
        self._loss.omega = float(kind)  # a draw of 0 to 1 is never below 0, and always below 1
        call = self._call_by_parts if self._by_parts else self._plain
        losses: torch.Tensor = call(*rows)
        return losses

    def _call_by_parts(self, acts: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        """Call the kernels as TDTLossNumba does (NeMo 2.6.0 to 3.0.0), after casting each part."""
        loss = self._loss
        durations = len(loss.durations)
        of_labels, of_durations = torch.split(acts, [acts.shape[-1] - durations, durations], dim=-1)
        losses: torch.Tensor = loss.loss(
            of_labels.float().contiguous(),
            torch.nn.functional.log_softmax(of_durations.float(), dim=-1).contiguous(),
            *rest,  # labels, and the lengths of both
            loss.blank,
            loss.durations,
            loss.reduction,
            loss.fastemit_lambda,
            loss.clamp,
            loss.sigma,
            loss.omega,
        )
        return losses


def _trimmed(
    acts: torch.Tensor, labels: torch.Tensor, act_lens: torch.Tensor, label_lens: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Return some rows without the padding that only other rows need; NeMo refuses it."""
    frames, count = int(act_lens.max()), int(label_lens.max())
    return acts[:, :frames, : count + 1], labels[:, :count].contiguous(), act_lens, label_lens


def loss_draws(joint: Any) -> bool:  # noqa: ANN401 - a NeMo RNNTJoint
    """Return whether a joint's loss draws at each call which of two losses it is."""
    return float(getattr(getattr(joint.loss, "_loss", None), "omega", 0.0)) > 0


def join_pieces(joint: Any, rows: int) -> PiecewiseDraws | None:  # noqa: ANN401 - a NeMo RNNTJoint
    """Let a joint and its loss take so many rows at once, or fewer if the loss draws for more.

    Returns:
        What draws for the loss now; None for a loss that does not.
    """
    piece = int(joint.fused_batch_size)
    if not loss_draws(joint):
        joint.set_fused_batch_size(rows)
        return None
    # Whole pieces, so that the next ones begin where NeMo's would.
    joint.set_fused_batch_size(max(piece, rows - rows % piece))
    return PiecewiseDraws(joint.loss, piece)


def fitting_rows(model: Any, shapes: PaddedShapes, texts: list[str]) -> int:  # noqa: ANN401
    """Return how many rows' joint fits into its share of the GPU's memory; at most a batch's."""
    joint = model.joint
    longest = sorted(texts, key=len)[-_LONGEST_TEXTS:]
    labels = max(len(model.tokenizer.text_to_ids(text)) for text in longest) + 1
    elements = shapes.frames[-1] * labels * int(joint.num_classes_with_blank)
    memory = torch.cuda.get_device_properties(0).total_memory * _JOINT_SHARE
    fitting = int(memory / (elements * _JOINT_BYTES))
    return max(int(joint.fused_batch_size), min(int(shapes.rows), fitting))
