"""General English that a training does not lose: the base's own outputs on it are taught as well.

Beside each step's clinical rows the model computes a few general sentences. The Kullback-Leibler
divergence of its outputs on them from the base's joins the loss. Nobody has to transcribe them, and
what the base gets wrong is not taught as the truth. See Hinton et al., "Distilling the knowledge in
a neural network", 2015, and Li and Hoiem, "Learning without forgetting", ECCV 2016. What it brings
stands in docs/verdict.md.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import audio_reader  # type: ignore[import-not-found]  # lies beside this file
import lightning.pytorch as pl
import torch
from torch.nn.utils.rnn import pad_sequence
from trained_part import TrainedPart  # type: ignore[import-not-found]  # likewise

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Sentences that the base computes at a time.
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class SoftTargets:
    """A general sentence and what the base makes of it, on the CPU.

    Attributes:
        features: what the trained part of the encoder gets: (frames, dimensions).
        labels: that the base's transducer writes: (labels,); none of a CTC model.
        nodes: of the base's path through the transducer's lattice: (nodes, 2), the encoder's frame,
            and how many labels are written by then; none of a CTC model.
        outputs: the base's log-probabilities at each node, of a CTC model at each encoder's frame:
            (nodes, labels and blank). A TDT model has a second such tensor, of the durations.
    """

    features: torch.Tensor
    labels: torch.Tensor
    nodes: torch.Tensor
    outputs: tuple[torch.Tensor, ...]


class DistillationCallback(pl.Callback):
    """Adds to each step's gradient that of the divergence on a few general sentences."""

    def __init__(self, manifest: str, weight: float, rows: int, seed: int) -> None:
        """Remember what is asked for.

        Args:
            manifest: path of the general sentences; only the paths of their audio are read.
            weight: of the divergence in the loss.
            rows: sentences of a step and GPU.
            seed: of their order.
        """
        with Path(manifest).open(encoding="utf-8") as lines:
            self._paths = [json.loads(line)["audio_filepath"] for line in lines]
        self._weight, self._rows, self._seed = weight, rows, seed
        self._base: dict[str, torch.Tensor] = {}
        self._sentences: list[SoftTargets] = []
        self._part: Any = None

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:  # noqa: ANN401, ARG002
        """Keep the base's weights: a checkpoint from which it goes on is loaded after this."""
        self._base = {name: one.clone() for name, one in pl_module.state_dict().items()}

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ANN401, ARG002
        """Compute the outputs of the base on every sentence."""
        now = {name: one.clone() for name, one in pl_module.state_dict().items()}
        self._part = TrainedPart(pl_module.encoder)
        pl_module.load_state_dict(self._base)
        self._sentences = soft_targets(pl_module, self._part, self._paths)
        pl_module.load_state_dict(now)
        self._base = {}
        print(
            f"distillation: {len(self._sentences)} general sentences, {self._rows} a step, weight "
            f"{self._weight:g}; {self._part.below} layers of the encoder are computed once",
            flush=True,
        )

    def on_before_optimizer_step(
        self,
        trainer: Any,  # noqa: ANN401
        pl_module: Any,  # noqa: ANN401
        optimizer: Any,  # noqa: ANN401, ARG002
    ) -> None:
        """Add the gradient; Lightning clips the sum.

        It is at most as long as the gradient of the clinical rows. Both may be a hundred times as
        long as what is clipped to, and whichever is longer in a step would rule it.
        """
        turn = trainer.global_step * trainer.world_size + trainer.global_rank
        drawn = draw(len(self._sentences), self._rows, turn, self._seed)
        trained = [one for one in pl_module.parameters() if one.requires_grad]
        with (
            torch.enable_grad(),
            trainer.precision_plugin.forward_context(),
            evaluation_mode(pl_module),
        ):
            loss = divergence(pl_module, self._part, [self._sentences[place] for place in drawn])
        # backward() would wake the hooks by which DDP reduces the gradients of its own pass.
        found = torch.autograd.grad(self._weight * loss, trained, allow_unused=True)
        pairs = [
            (one.grad, trainer.strategy.reduce(gradient, reduce_op="mean"))
            for one, gradient in zip(trained, found, strict=True)
            if one.grad is not None and gradient is not None
        ]
        own, added = (
            torch.stack([one.norm() for one in side]).norm() for side in zip(*pairs, strict=True)
        )
        factor = (own / added.clamp(min=torch.finfo(added.dtype).tiny)).clamp(max=1.0)
        for gradient, more in pairs:
            gradient.add_(more * factor)


def draw(of: int, rows: int, turn: int, seed: int) -> list[int]:
    """Return which sentences a step takes: all in a random order, then all in the next one.

    Args:
        of: how many there are.
        rows: how many a step takes.
        turn: the step's number, counted over all GPUs.
        seed: of the orders.
    """
    places = range(turn * rows, (turn + 1) * rows)
    orders = {}
    for number in {place // of for place in places}:
        generator = torch.Generator().manual_seed(seed + number)
        orders[number] = torch.randperm(of, generator=generator).tolist()
    return [orders[place // of][place % of] for place in places]


@torch.no_grad()
def soft_targets(
    model: Any,  # noqa: ANN401
    part: TrainedPart,
    paths: Sequence[str],
) -> list[SoftTargets]:
    """Return what a model makes of recordings.

    Args:
        model: a CTC, RNN-T, TDT or hybrid model of NeMo, on any device.
        part: that is trained of its encoder.
        paths: of the audio.
    """
    rate = int(model.cfg.sample_rate)
    targets: list[SoftTargets] = []
    with evaluation_mode(model):
        for start in range(0, len(paths), _AT_ONCE):
            signals = [
                torch.from_numpy(audio_reader.read(path, rate))
                for path in paths[start : start + _AT_ONCE]
            ]
            features, lengths = model.preprocessor(
                input_signal=pad_sequence(signals, batch_first=True).to(model.device),
                length=torch.tensor([len(one) for one in signals], device=model.device),
            )
            targets += _batch_targets(model, part, features, lengths)
    return targets


def _batch_targets(
    model: Any,  # noqa: ANN401
    part: TrainedPart,
    features: torch.Tensor,
    lengths: torch.Tensor,
) -> list[SoftTargets]:
    """Return what a model makes of features, (recordings, features, frames)."""
    with part.watching(model.encoder) as seen:
        encoded, frames = model.encoder(audio_signal=features, length=lengths)
    given, sizes_given = features.transpose(1, 2), lengths
    if part.below:
        given, sizes_given = seen[0], frames
    labels = [torch.empty(0, dtype=torch.long)] * len(frames)
    nodes = [torch.empty((0, 2), dtype=torch.long)] * len(frames)
    if hasattr(model, "joint"):
        decoded = model.decoding.rnnt_decoder_predictions_tensor(
            encoder_output=encoded, encoded_lengths=frames, return_hypotheses=True
        )
        labels = [torch.tensor([*map(int, one.y_sequence)], dtype=torch.long) for one in decoded]
        nodes = [
            torch.tensor(path_nodes(int(of), [*map(int, one.timestamp)]))
            for of, one in zip(frames, decoded, strict=True)
        ]
        sizes = [len(one) for one in nodes]
    else:
        sizes = frames.tolist()
    outputs = [
        torch.split(one.cpu(), sizes) for one in _outputs(model, encoded, frames, labels, nodes)
    ]
    return [
        SoftTargets(
            given[place, : int(sizes_given[place])].cpu(),
            labels[place],
            nodes[place],
            tuple(one[place] for one in outputs),
        )
        for place in range(len(frames))
    ]


def path_nodes(frames: int, label_frames: Sequence[int]) -> list[tuple[int, int]]:
    """Return the nodes of a lattice that a greedy path passes: frame, and labels written by then.

    A TDT path leaps over frames. The nodes of these, at which nothing is written, are here as well.

    Args:
        frames: of the encoder.
        label_frames: the frame of each label, in their order.
    """
    nodes, written = [], 0
    for frame in range(frames):
        while written < len(label_frames) and label_frames[written] <= frame:
            nodes.append((frame, written))
            written += 1
        nodes.append((frame, written))
    return nodes


def divergence(
    model: Any,  # noqa: ANN401
    part: TrainedPart,
    sentences: Sequence[SoftTargets],
) -> torch.Tensor:
    """Return the divergence of a model from the base: the sum over nodes, the mean of sentences.

    Args:
        model: as in ``soft_targets``.
        part: that is trained of its encoder.
        sentences: what the base made of them.
    """
    device = model.device
    features = pad_sequence([one.features for one in sentences], batch_first=True).to(device)
    lengths = torch.tensor([len(one.features) for one in sentences], device=device)
    encoded, frames = part.encoder(audio_signal=features.transpose(1, 2), length=lengths)
    outputs = _outputs(
        model,
        encoded,
        frames,
        [one.labels for one in sentences],
        [one.nodes for one in sentences],
    )
    total = torch.zeros((), device=device)
    for place, student in enumerate(outputs):
        base = torch.cat([one.outputs[place] for one in sentences]).to(device)
        total += torch.nn.functional.kl_div(student, base, reduction="sum", log_target=True)
    return total / len(sentences)


def _outputs(
    model: Any,  # noqa: ANN401
    encoded: torch.Tensor,
    frames: torch.Tensor,
    labels: Sequence[torch.Tensor],
    nodes: Sequence[torch.Tensor],
) -> tuple[torch.Tensor, ...]:
    """Return log-probabilities of all recordings' nodes, or frames, as ``SoftTargets`` has them.

    Args:
        model: as in ``soft_targets``.
        encoded: (recordings, dimensions, frames).
        frames: of each recording.
        labels: of each recording.
        nodes: of each recording.
    """
    if not hasattr(model, "joint"):
        scores = model.decoder(encoder_output=encoded)
        every = torch.arange(scores.shape[1], device=scores.device)
        return (scores[every < frames[:, None]].float().log_softmax(-1),)
    joint, device = model.joint, encoded.device
    predicted = model.decoder(
        targets=pad_sequence(list(labels), batch_first=True).to(device),
        target_length=torch.tensor([len(one) for one in labels], device=device),
    )[0]
    recording = torch.repeat_interleave(torch.tensor([len(one) for one in nodes])).to(device)
    frame, written = torch.cat(list(nodes)).to(device).T
    # One node a row, with one frame and one state of the predictor each.
    scores = joint.joint_after_projection(
        joint.project_encoder(encoded.transpose(1, 2))[recording, frame][:, None],
        joint.project_prednet(predicted.transpose(1, 2))[recording, written][:, None],
    )[:, 0, 0]
    parts = scores.float().split(
        [joint.num_classes_with_blank - joint.num_extra_outputs, joint.num_extra_outputs], dim=-1
    )
    return tuple(one.log_softmax(-1) for one in parts if one.shape[-1])


@contextmanager
def evaluation_mode(model: Any) -> Iterator[None]:  # noqa: ANN401
    """Let a model compute as it decodes: no dropout, and batch norms by their statistics.

    cuDNN computes no gradient of a recurrent layer that is not in training; its dropout is off.
    """
    modes = [(one, one.training) for one in model.modules()]
    recurrent = [one for one in model.modules() if isinstance(one, torch.nn.RNNBase)]
    dropout = [one.dropout for one in recurrent]
    model.eval()
    for one in recurrent:
        one.training, one.dropout = True, 0.0
    try:
        yield
    finally:
        for one, mode in modes:
            one.training = mode
        for one, share in zip(recurrent, dropout, strict=True):
            one.dropout = share
