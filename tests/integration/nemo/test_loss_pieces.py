"""NeMo's joint with a loss that draws, called for many rows at once.

NeMo's own loss that draws needs a GPU. Here a sum of the same arguments draws in its place.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.support.transducer_bases_cases import model

ROWS, PIECE, TOGETHER = 7, 2, 7
OMEGA = 0.5


@pytest.fixture(scope="module")
def joint() -> Any:
    """The TDT base's joint; its loss draws as NeMo's does, which needs a GPU."""
    import torch  # noqa: PLC0415 - seconds that the other tests need not pay
    from nemo.collections.asr.models import ASRModel  # noqa: PLC0415

    restored = ASRModel.restore_from(str(model("tdt")), map_location="cpu")

    class Drawing(torch.nn.Module):
        """Draws at each call, and refuses padding, as NeMo's TDTLossNumba does (NeMo 3.0.0)."""

        def __init__(self) -> None:
            super().__init__()
            self.omega, self.reduction = OMEGA, "none"
            self.calls: list[int] = []

        def forward(self, acts: Any, labels: Any, act_lens: Any, label_lens: Any) -> Any:
            self.calls.append(len(acts))
            assert acts.shape[1] == int(act_lens.max())
            assert acts.shape[2] == int(label_lens.max()) + 1
            weight = 3.0 if random.uniform(0, 1) < self.omega else 1.0  # noqa: S311 - as NeMo
            sums = [
                acts[row, :frames, : count + 1].square().mean() + labels[row, :count].sum()
                for row, (frames, count) in enumerate(zip(act_lens, label_lens, strict=True))
            ]
            return torch.stack(sums) * weight

    restored.loss._loss = Drawing()
    for module in restored.joint.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # it draws other numbers for other pieces
    restored.joint.set_fuse_loss_wer(True, restored.loss, restored.wer)
    return restored.joint.train()


def _loss(joint: Any, seed: int) -> tuple[Any, Any, list[int], Any]:
    """Return loss, gradient, rows of each call, and the generator's state afterwards."""
    import torch  # noqa: PLC0415

    generator = torch.Generator().manual_seed(3)
    frames = torch.tensor([9, 4, 6, 7, 3, 8, 5])
    labels = torch.tensor([2, 3, 1, 4, 1, 2, 3])
    encoded = torch.randn(ROWS, joint.encoder_hidden, 9, generator=generator).requires_grad_()
    decoded = torch.randn(ROWS, joint.pred_hidden, 5, generator=generator)
    transcripts = torch.randint(0, 100, (ROWS, 4), generator=generator)
    joint.loss._loss.calls.clear()
    random.seed(seed)
    loss, *_ = joint(
        encoder_outputs=encoded,
        decoder_outputs=decoded,
        encoder_lengths=frames,
        transcripts=transcripts,
        transcript_lengths=labels,
        compute_wer=False,
    )
    (gradient,) = torch.autograd.grad(loss, [encoded])
    assert float(gradient.abs().max()) > 0
    return loss.detach(), gradient, [*joint.loss._loss.calls], random.getstate()


def test_rows_that_drew_alike_are_one_call(joint: Any) -> None:
    """Loss, gradient and generator are those of a call for each piece."""
    import torch  # noqa: PLC0415

    from benchmarks.entrypoint_imports import loss_pieces  # noqa: PLC0415

    seen = set()
    for seed in range(6):
        joint.set_fused_batch_size(PIECE)
        loss, gradient, calls, state = _loss(joint, seed)
        assert calls == [2, 2, 2, 1]
        draws = loss_pieces.join_pieces(joint, TOGETHER)
        assert joint.fused_batch_size == 6  # whole pieces
        joined, joined_gradient, joined_calls, joined_state = _loss(joint, seed)
        draws.remove()
        torch.testing.assert_close(joined, loss)
        torch.testing.assert_close(joined_gradient, gradient)
        assert joined_state == state
        assert joint.loss._loss.omega == OMEGA
        seen.add(tuple(joined_calls))
    # All alike, and some of each kind, and the last piece by itself.
    assert (6, 1) in seen
    assert {len(calls) for calls in seen} == {2, 3}


def test_a_loss_that_does_not_draw_takes_all_rows(joint: Any) -> None:
    """Nothing draws for it, and it may take any number of rows."""
    from benchmarks.entrypoint_imports import loss_pieces  # noqa: PLC0415

    joint.set_fused_batch_size(PIECE)
    joint.loss._loss.omega = 0.0
    try:
        assert loss_pieces.join_pieces(joint, TOGETHER) is None
        assert joint.fused_batch_size == TOGETHER
    finally:
        joint.loss._loss.omega = OMEGA


def test_the_parts_that_are_cast_are_those_of_nemo(
    joint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NeMo's loss of a GPU gets the same numbers, of a joint of 16 bits; so do its gradients.

    What computes is a sum of the same arguments; the kernels need a GPU.
    """
    import torch  # noqa: PLC0415
    from nemo.collections.asr.parts.numba.rnnt_loss.rnnt_pytorch import (  # noqa: PLC0415
        TDTLossNumba,
    )

    from benchmarks.entrypoint_imports import loss_pieces  # noqa: PLC0415

    class Numba(TDTLossNumba):  # type: ignore[misc]  # untyped
        calls: list[int] = []  # noqa: RUF012 - what the other loss has

    def kernels(of_labels: Any, of_durations: Any, *rest: Any) -> Any:
        labels, act_lens, label_lens, *_, omega = rest
        assert {of_labels.dtype, of_durations.dtype} == {torch.float32}
        assert of_labels.is_contiguous()
        assert of_durations.is_contiguous()
        weight = 3.0 if random.uniform(0, 1) < omega else 1.0  # noqa: S311 - as NeMo
        sums = [
            of_labels[row, :frames, : count + 1].square().mean()
            + of_durations[row, :frames, : count + 1].square().mean()
            + labels[row, :count].sum()
            for row, (frames, count) in enumerate(zip(act_lens, label_lens, strict=True))
        ]
        return torch.stack(sums) * weight

    loss = Numba(blank=joint.num_classes_with_blank - 6, durations=[0, 1, 2, 3, 4], omega=OMEGA)
    loss.loss = kernels
    monkeypatch.setattr(joint.loss, "_loss", loss)
    monkeypatch.setattr(joint.loss, "_force_float32", True)
    for seed in range(4):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            joint.set_fused_batch_size(PIECE)
            plain, gradient, _, state = _loss(joint, seed)
            draws = loss_pieces.join_pieces(joint, TOGETHER)
            assert joint.loss._force_float32 is False
            joined, joined_gradient, _, joined_state = _loss(joint, seed)
            draws.remove()
        torch.testing.assert_close(joined, plain)
        torch.testing.assert_close(joined_gradient, gradient, rtol=0.02, atol=1e-3)
        assert joined_state == state
    assert joint.loss._force_float32 is True
    assert loss.omega == OMEGA
