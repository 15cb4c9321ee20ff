"""General English that a training does not lose: the base's own outputs on it are taught as well.

Beside each step's clinical rows the model computes a few general sentences. The Kullback-Leibler
divergence of its outputs on them from the base's joins the loss. Nobody has to transcribe them, and
what the base gets wrong is not taught as the truth. See Hinton et al., "Distilling the knowledge in
a neural network", 2015, and Li and Hoiem, "Learning without forgetting", ECCV 2016. What it brings
stands in docs/verdict.md.
"""

from __future__ import annotations

import copy
import json
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import audio_reader  # type: ignore[import-not-found]  # lies beside this file
import lightning.pytorch as pl
import torch
from torch.nn.utils.rnn import pad_sequence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

# Sentences that the base computes at a time.
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class SoftTargets:
    """A general sentence and what the base makes of it, on the CPU.

    Attributes:
        features: of its audio: (frames of the features, features).
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

    def __init__(self, manifest: Path, weight: float, rows: int, seed: int) -> None:
        """Remember what is asked for.

        Args:
            manifest: of the general sentences; only the paths of their audio are read.
            weight: of the divergence in the loss.
            rows: sentences of a step and GPU.
            seed: of their order.
        """
        with manifest.open(encoding="utf-8") as lines:
            self._paths = [json.loads(line)["audio_filepath"] for line in lines]
        self._weight, self._rows, self._seed = weight, rows, seed
        self._base: dict[str, torch.Tensor] = {}
        self._sentences: list[SoftTargets] = []
        self._helper: HelperThread | None = None
        self._pending: Future[Any] | None = None

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:  # noqa: ANN401, ARG002
        """Keep the base's weights: a checkpoint from which it goes on is loaded after this."""
        self._base = {name: one.clone() for name, one in pl_module.state_dict().items()}

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ANN401, ARG002
        """Compute the outputs of the base on every sentence."""
        now = {name: one.clone() for name, one in pl_module.state_dict().items()}
        pl_module.load_state_dict(self._base)
        self._sentences = soft_targets(pl_module, self._paths)
        pl_module.load_state_dict(now)
        self._base = {}
        beside = pl_module.device.type == "cpu" and torch.get_num_threads() > 1
        if beside and not hasattr(pl_module, "joint"):
            self._helper = HelperThread(pl_module)
        print(
            f"distillation: {len(self._sentences)} general sentences, {self._rows} a step, weight "
            f"{self._weight:g}{', computed beside the rows' if self._helper else ''}",
            flush=True,
        )

    def on_train_batch_start(
        self,
        trainer: Any,  # noqa: ANN401
        pl_module: Any,  # noqa: ANN401
        batch: Any,  # noqa: ANN401, ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Start computing the step's gradient where another thread can do so."""
        if self._helper is not None and self._pending is None:
            self._helper.follow(pl_module)
            self._pending = self._helper.submit(
                self._gradient, trainer, self._helper.model, list(_trained(pl_module))
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
        trained = list(_trained(pl_module))
        if self._pending is not None:
            found, self._pending = self._pending.result(), None
        else:
            with evaluation_mode(pl_module):
                found = self._gradient(trainer, pl_module, trained)
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

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:  # noqa: ANN401, ARG002
        """End the other thread."""
        if self._helper is not None:
            self._helper.end()
            self._helper = None

    def _gradient(
        self,
        trainer: Any,  # noqa: ANN401
        model: Any,  # noqa: ANN401
        trained: list[torch.Tensor],
    ) -> tuple[torch.Tensor | None, ...]:
        """Return the gradient of this step's divergence, for each of the tensors."""
        turn = trainer.global_step * trainer.world_size + trainer.global_rank
        drawn = draw(len(self._sentences), self._rows, turn, self._seed)
        with torch.enable_grad(), trainer.precision_plugin.forward_context():
            loss = divergence(model, [self._sentences[place] for place in drawn])
        # backward() would wake the hooks by which DDP reduces the gradients of its own pass.
        return torch.autograd.grad(self._weight * loss, trained, allow_unused=True)


def _trained(model: Any) -> Iterator[torch.Tensor]:  # noqa: ANN401
    return (one for one in model.parameters() if one.requires_grad)


class HelperThread:
    """Computes on half of the cores, while a CTC model's clinical rows are computed on the others.

    A step of a small model keeps two threads less than twice as busy as one. The model's modules
    are in training meanwhile, so the thread has its own, of the same parameters.

    Attributes:
        model: the thread's own modules, as they decode.
    """

    def __init__(self, model: Any) -> None:  # noqa: ANN401
        """Take half of this process's threads, until the end."""
        self._threads = torch.get_num_threads()
        half = self._threads // 2
        torch.set_num_threads(self._threads - half)
        self._pool = ThreadPoolExecutor(1, "distillation", torch.set_num_threads, (half,))
        parameters = {id(one): one for one in model.parameters()}
        self.model = SimpleNamespace(
            device=model.device,
            encoder=copy.deepcopy(model.encoder, parameters).eval(),
            decoder=copy.deepcopy(model.decoder, parameters).eval(),
        )

    def follow(self, model: Any) -> None:  # noqa: ANN401
        """Take over the statistics of the model's batch norms, which its training moves on."""
        for mine, other in zip(self.model.encoder.modules(), model.encoder.modules(), strict=True):
            if isinstance(mine, torch.nn.BatchNorm1d):
                for own, moved in zip(mine.buffers(), other.buffers(), strict=True):
                    own.copy_(moved)

    def submit(self, compute: Callable[..., Any], *arguments: object) -> Future[Any]:
        """Start a computation on the thread."""
        return self._pool.submit(compute, *arguments)

    def end(self) -> None:
        """Wait for the thread, and give its share of the cores back."""
        self._pool.shutdown()
        torch.set_num_threads(self._threads)


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
def soft_targets(model: Any, paths: Sequence[str]) -> list[SoftTargets]:  # noqa: ANN401
    """Return what a model makes of recordings.

    Args:
        model: a CTC, RNN-T, TDT or hybrid model of NeMo, on any device.
        paths: of the audio.
    """
    rate = int(model.preprocessor._sample_rate)  # noqa: SLF001 - NeMo names it nowhere else
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
            targets += _batch_targets(model, features, lengths)
    return targets


def _batch_targets(model: Any, features: torch.Tensor, lengths: torch.Tensor) -> list[SoftTargets]:  # noqa: ANN401
    """Return what a model makes of features, (recordings, features, frames)."""
    encoded, frames = model.encoder(audio_signal=features, length=lengths)
    labels = [torch.empty(0, dtype=torch.long)] * len(frames)
    nodes = [torch.empty((0, 2), dtype=torch.long)] * len(frames)
    if hasattr(model, "joint"):
        decoded = model.decoding.rnnt_decoder_predictions_tensor(
            encoder_output=encoded, encoded_lengths=frames, return_hypotheses=True
        )
        written = [_labels_and_frames(one) for one in decoded]
        labels = [torch.tensor(one, dtype=torch.long) for one, _ in written]
        nodes = [
            torch.tensor(path_nodes(int(of), at))
            for of, (_, at) in zip(frames, written, strict=True)
        ]
        sizes = [len(one) for one in nodes]
    else:
        sizes = frames.tolist()
    outputs = [
        torch.split(one.cpu(), sizes) for one in _outputs(model, encoded, frames, labels, nodes)
    ]
    return [
        SoftTargets(
            features[place, :, : int(lengths[place])].T.cpu(),
            labels[place],
            nodes[place],
            tuple(one[place] for one in outputs),
        )
        for place in range(len(frames))
    ]


def _labels_and_frames(hypothesis: Any) -> tuple[list[int], list[int]]:  # noqa: ANN401
    """Return the labels of a greedy hypothesis, and the encoder's frame of each."""
    return [int(one) for one in hypothesis.y_sequence], [int(one) for one in hypothesis.timestamp]


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


def divergence(model: Any, sentences: Sequence[SoftTargets]) -> torch.Tensor:  # noqa: ANN401
    """Return the divergence of a model from the base: the sum over nodes, the mean of sentences.

    Args:
        model: as in ``soft_targets``.
        sentences: what the base made of them.
    """
    device = model.device
    features = pad_sequence([one.features for one in sentences], batch_first=True).to(device)
    lengths = torch.tensor([len(one.features) for one in sentences], device=device)
    encoded, frames = model.encoder(audio_signal=features.transpose(1, 2), length=lengths)
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
