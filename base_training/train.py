"""Train the base model within a budget of wall-clock time, on one GPU.

Run ``python -m base_training.train --help``. The loop is our own because the model is so small
that a general trainer's overhead would leave a large GPU idle: the corpus and its augmentation
live in GPU memory, batches are large, and nothing waits for the CPU.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import jiwer
import numpy as np
import torch
from nemo.core.classes.common import typecheck

from base_training import model as base
from base_training.audio_batches import Corpus, TrainingBatch, add_noise

if TYPE_CHECKING:
    from collections.abc import Callable

    from nemo.collections.asr.models import EncDecCTCModelBPE

PEAK_RATE = 1.2e-3
#: Share of the time in which the learning rate climbs.
WARM_UP = 0.04
#: How often to look for newly spoken shards, at the end of an epoch.
REFRESH_SECONDS = 20
WEIGHT_DECAY = 1e-3
CLIP = 1.0
SEED = 42


@dataclass(frozen=True)
class Stage:
    """A stage of the curriculum.

    A fresh CTC model that hears long, noisy sentences settles on silence and stays there for
    thousands of steps. On short, clean phrases it finds the alignments, and keeps them.

    Attributes:
        longest_seconds: Longer utterances sit out.
        batch_seconds: Audio in a step.
        augmented: Whether noise and SpecAugment are on.
        leave_below: The stage ends when the loss, in nats a token, is below this,
        leave_after: or when this share of the time has passed.
    """

    longest_seconds: float
    batch_seconds: float
    augmented: bool
    leave_below: float
    leave_after: float


STAGES = (
    Stage(1.9, 100.0, augmented=False, leave_below=1.5, leave_after=0.15),
    Stage(2.7, 250.0, augmented=False, leave_below=1.2, leave_after=0.22),
    Stage(math.inf, 800.0, augmented=True, leave_below=-math.inf, leave_after=math.inf),
)


@dataclass(frozen=True)
class BaseTrainingProgress:
    """Progress that training reports while it runs, and at its end."""

    minutes: float
    steps: int
    steps_per_second: float
    stage: int
    epochs: int
    hours: float
    nats_per_token: float
    validation_wer: float


def learning_rate(progress: float) -> float:
    """Return the rate at a share of the time budget."""
    return PEAK_RATE * share_of_peak(progress) + 1e-6


def share_of_peak(progress: float) -> float:
    """Return the share of the peak rate: a linear climb, then half a cosine to zero."""
    if progress < WARM_UP:
        return progress / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - WARM_UP) / (1 - WARM_UP))))


def features_of(
    model: EncDecCTCModelBPE, audio: torch.Tensor, lengths: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute NeMo's normalised log-mel features, without its stop to ask the GPU about lengths.

    Args:
        model: Whose preprocessor to use.
        audio: float32 (utterances, samples).
        lengths: int64 (utterances,), in samples.

    Returns:
        float32 (utterances, mels, frames), and int64 (utterances,), in frames.
    """
    featurizer = model.preprocessor.featurizer
    normalisation, featurizer.normalize = featurizer.normalize, None
    mels, frames = model.preprocessor(input_signal=audio, length=lengths)
    featurizer.normalize = normalisation
    inside = (torch.arange(mels.shape[2], device=mels.device) < frames[:, None])[:, None]
    count = frames[:, None, None]
    centred = (mels - (mels * inside).sum(2, keepdim=True) / count) * inside
    deviation = (centred.square().sum(2, keepdim=True) / (count - 1)).sqrt()
    return centred / (deviation + 1e-5), frames


def encoder_frames(model: EncDecCTCModelBPE, lengths: torch.Tensor) -> torch.Tensor:
    """Return the encoder's frames of so many samples; both int64 (utterances,), on the CPU."""
    frames: torch.Tensor = model.preprocessor.featurizer.get_seq_len(lengths)
    for _ in range(2):  # two convolutions of stride 2 make the subsampling of 4
        frames = (frames - 1) // 2 + 1
    return frames


def loss_of(model: EncDecCTCModelBPE, batch: TrainingBatch, *, augmented: bool) -> torch.Tensor:
    """Compute the CTC loss of a batch, in nats a token; a scalar."""
    with torch.no_grad():
        audio = add_noise(batch.audio, batch.lengths) if augmented else batch.audio
        features, frames = features_of(model, audio, batch.lengths)
        if augmented:
            features = model.spec_augmentation(input_spec=features, length=frames)
    with torch.autocast(features.device.type, torch.bfloat16):
        encoded, _ = model.encoder(audio_signal=features, length=frames)
        scores = model.decoder(encoder_output=encoded)
    loss: torch.Tensor = model.loss(
        log_probs=scores.float(),
        targets=batch.tokens,
        input_lengths=encoder_frames(model, batch.host_lengths),
        target_lengths=batch.host_token_lengths,
    )
    per_token: torch.Tensor = loss / float(batch.host_token_lengths.double().mean())
    return per_token


@torch.inference_mode()
def validation_wer(
    model: EncDecCTCModelBPE, corpus: Corpus, text_of: Callable[[list[int]], str]
) -> float:
    """Compute the word error rate of greedy decoding on clean speech, over all words."""
    model.eval()
    references, hypotheses = [], []
    for batch in corpus.epoch(400.0, np.random.default_rng(0)):
        scores, frames, _ = model(input_signal=batch.audio, input_signal_length=batch.lengths)
        best = scores.argmax(-1).cpu()
        counts = batch.host_token_lengths.tolist()
        for row, size, tokens, count in zip(
            best, frames.tolist(), batch.tokens.tolist(), counts, strict=True
        ):
            merged = torch.unique_consecutive(row[:size]).tolist()
            hypotheses.append(text_of([t for t in merged if t != base.VOCABULARY]))
            references.append(text_of(tokens[:count]))
    model.train()
    return float(jiwer.wer(references, hypotheses))


def prepare(args: argparse.Namespace) -> tuple[EncDecCTCModelBPE, Corpus, Corpus]:
    """Prepare a fresh model, the training speech as far as it exists, and the validation speech."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = base.create(args.tokenizer).to(device)
    model.train()
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters on {device}", flush=True)

    def speech(text: Path, shards: Path) -> Corpus:
        lines = text.read_text(encoding="ascii").splitlines()
        return Corpus(shards, lambda line: model.tokenizer.text_to_ids(lines[line]), device)

    held_out = speech(args.validation_text, args.validation)
    held_out.refresh()
    corpus = speech(args.text, args.shards)
    while corpus.hours < args.start_hours:
        time.sleep(1)
        corpus.refresh()
    return model, corpus, held_out


def train(args: argparse.Namespace) -> None:
    """Train until the time is up, then save the model and its figures."""
    torch.manual_seed(SEED)
    torch.set_float32_matmul_precision("high")
    typecheck.set_typecheck_enabled(enabled=False)  # it costs as much as a small kernel, per call
    model, corpus, held_out = prepare(args)

    optimiser = torch.optim.AdamW(
        model.parameters(),
        lr=0.0,
        betas=(0.9, 0.98),
        weight_decay=WEIGHT_DECAY,
        fused=torch.cuda.is_available(),
    )
    rng = np.random.default_rng(SEED)
    started = reported = time.monotonic()
    steps = reported_steps = epochs = stage = 0
    mean_loss = torch.zeros((), device=model.device)

    def report() -> BaseTrainingProgress:
        now = time.monotonic()
        progress = BaseTrainingProgress(
            minutes=round((now - started) / 60, 2),
            steps=steps,
            steps_per_second=round((steps - reported_steps) / max(now - reported, 1e-9), 2),
            stage=stage,
            epochs=epochs,
            hours=round(corpus.hours, 1),
            nats_per_token=round(float(mean_loss), 4),
            validation_wer=round(validation_wer(model, held_out, model.tokenizer.ids_to_text), 4),
        )
        print(json.dumps(asdict(progress)), flush=True)
        return progress

    spent = 0.0
    refreshed = started
    while spent < 1.0:
        if time.monotonic() - refreshed > REFRESH_SECONDS:
            corpus.refresh()
            refreshed = time.monotonic()
        epochs += 1
        plan = STAGES[stage]
        for batch in corpus.epoch(plan.batch_seconds, rng, plan.longest_seconds):
            spent = (time.monotonic() - started) / (60 * args.minutes)
            if spent >= 1.0:
                break
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(spent)
            loss = loss_of(model, batch, augmented=plan.augmented)
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimiser.step()
            steps += 1
            mean_loss = mean_loss.lerp(loss.detach(), 0.02 if steps > 1 else 1.0)
            if time.monotonic() - reported > args.report_seconds:
                report()
                reported, reported_steps = time.monotonic(), steps
                base.save(model, args.out / "checkpoint.nemo")
        if float(mean_loss) < plan.leave_below or spent > plan.leave_after:
            stage += 1
    final = report()
    base.save(model, args.out / "embedded_ctc.nemo")
    (args.out / "training.json").write_text(
        json.dumps(asdict(final), indent=2) + "\n", encoding="utf-8"
    )


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", type=Path, required=True, help="train.txt")
    parser.add_argument("--validation-text", type=Path, required=True, help="validation.txt")
    parser.add_argument("--shards", type=Path, required=True, help="speech of train.txt")
    parser.add_argument("--validation", type=Path, required=True, help="speech of validation.txt")
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer folder")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True, help="time to train for")
    parser.add_argument("--start-hours", type=float, default=12.0, help="speech to wait for")
    parser.add_argument("--report-seconds", type=float, default=60.0)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
