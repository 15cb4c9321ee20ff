"""Train a transducer base on the CTC base's encoder, within a budget of time, on one GPU.

Run ``python -m base_training.train_transducer --help``. The corpus, the noise and the clock-bound
learning rate are those of the CTC base (``train.py``). First the encoder, which knows English,
stands still while the prediction and joint networks learn from it; then all of it is tuned.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import jiwer
import numpy as np
import torch
from nemo.collections.asr.parts.submodules.rnnt_decoding import RNNTBPEDecoding
from nemo.core.classes.common import typecheck
from omegaconf import OmegaConf

from base_training import transducer
from base_training.audio_batches import Corpus, TrainingBatch, add_noise
from base_training.train import (
    CLIP,
    SEED,
    WEIGHT_DECAY,
    BaseTrainingProgress,
    features_of,
    share_of_peak,
)

if TYPE_CHECKING:
    from nemo.collections.asr.models import EncDecRNNTBPEModel

HEAD_RATE = 2e-3
ENCODER_RATE = 3e-4
#: Share of the time in which the encoder stands still, and hears short, clean phrases.
FROZEN = 0.12
SHORT_SECONDS, SHORT_BATCH = 3.0, 250.0
BATCH_SECONDS = 500.0
REFRESH_SECONDS = 10


def loss_of(model: EncDecRNNTBPEModel, batch: TrainingBatch, *, frozen: bool) -> torch.Tensor:
    """Compute the transducer loss of a batch, in nats a token; a scalar."""
    model.encoder.train(not frozen)  # a frozen one keeps its batch statistics, too
    with torch.no_grad():
        audio = batch.audio if frozen else add_noise(batch.audio, batch.lengths)
        features, frames = features_of(model, audio, batch.lengths)
        if not frozen:
            features = model.spec_augmentation(input_spec=features, length=frames)
    token_lengths = batch.host_token_lengths.to(batch.tokens.device)
    with torch.autocast(features.device.type, torch.bfloat16):
        with torch.set_grad_enabled(not frozen):
            encoded, encoded_lengths = model.encoder(audio_signal=features, length=frames)
        predicted, _, _ = model.decoder(targets=batch.tokens, target_length=token_lengths)
        scores = model.joint(encoder_outputs=encoded, decoder_outputs=predicted)
    loss: torch.Tensor = model.loss(
        log_probs=scores.float(),
        targets=batch.tokens,
        input_lengths=encoded_lengths,
        target_lengths=token_lengths,
    )
    per_token: torch.Tensor = loss / float(batch.host_token_lengths.double().mean())
    return per_token


def decoder_without_graphs(model: EncDecRNNTBPEModel) -> RNNTBPEDecoding:
    """Return the model's greedy decoding without CUDA graphs.

    NeMo's compiler of conditional graphs writes into the interpreter's constant ``b" "``, after
    which this process could save no archive.
    """
    settings = OmegaConf.create(OmegaConf.to_container(model.cfg.decoding, resolve=True))
    settings.greedy.use_cuda_graph_decoder = False
    return RNNTBPEDecoding(
        decoding_cfg=settings,
        decoder=model.decoder,
        joint=model.joint,
        tokenizer=model.tokenizer,
    )


@torch.inference_mode()
def validation_wer(model: EncDecRNNTBPEModel, decoding: RNNTBPEDecoding, corpus: Corpus) -> float:
    """Compute the word error rate of greedy decoding on clean speech, over all words."""
    model.eval()
    references, hypotheses = [], []
    for batch in corpus.epoch(400.0, np.random.default_rng(0)):
        encoded, frames = model(input_signal=batch.audio, input_signal_length=batch.lengths)
        decoded = decoding.rnnt_decoder_predictions_tensor(
            encoder_output=encoded, encoded_lengths=frames, return_hypotheses=True
        )
        hypotheses += [hypothesis.text for hypothesis in decoded]
        for tokens, count in zip(
            batch.tokens.tolist(), batch.host_token_lengths.tolist(), strict=True
        ):
            references.append(model.tokenizer.ids_to_text(tokens[:count]))
    model.train()
    return float(jiwer.wer(references, hypotheses))


def prepare(args: argparse.Namespace) -> tuple[EncDecRNNTBPEModel, Corpus, Corpus]:
    """Prepare the model, the training speech as far as it exists, and the validation speech."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = transducer.create(args.kind, args.ctc, args.out / f"tokenizer_{args.kind}").to(device)
    model.train()
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters on {device}", flush=True)

    def speech(text: Path, shards: Path) -> Corpus:
        lines = text.read_text(encoding="ascii").splitlines()
        return Corpus(shards, lambda line: model.tokenizer.text_to_ids(lines[line]), device)

    held_out = speech(args.validation_text, args.validation)
    while held_out.hours == 0:
        time.sleep(1)
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
    decoding = decoder_without_graphs(model)
    encoder = list(model.encoder.parameters())
    head = [*model.decoder.parameters(), *model.joint.parameters()]
    optimiser = torch.optim.AdamW(
        [{"params": head, "peak": HEAD_RATE}, {"params": encoder, "peak": ENCODER_RATE}],
        lr=0.0,
        betas=(0.9, 0.98),
        weight_decay=WEIGHT_DECAY,
        fused=torch.cuda.is_available(),
    )
    rng = np.random.default_rng(SEED)
    started = reported = refreshed = time.monotonic()
    steps = reported_steps = epochs = 0
    mean_loss = torch.zeros((), device=model.device)

    def report() -> BaseTrainingProgress:
        now = time.monotonic()
        progress = BaseTrainingProgress(
            minutes=round((now - started) / 60, 2),
            steps=steps,
            steps_per_second=round((steps - reported_steps) / max(now - reported, 1e-9), 2),
            stage=int(not frozen),
            epochs=epochs,
            hours=round(corpus.hours, 1),
            nats_per_token=round(float(mean_loss), 4),
            validation_wer=round(validation_wer(model, decoding, held_out), 4),
        )
        print(json.dumps({"kind": args.kind, **asdict(progress)}), flush=True)
        return progress

    spent, frozen = 0.0, True
    while spent < 1.0:
        if time.monotonic() - refreshed > REFRESH_SECONDS:
            corpus.refresh()
            refreshed = time.monotonic()
        epochs += 1
        budget, longest = (SHORT_BATCH, SHORT_SECONDS) if frozen else (BATCH_SECONDS, math.inf)
        for batch in corpus.epoch(budget, rng, longest):
            spent = (time.monotonic() - started) / (60 * args.minutes)
            if spent >= 1.0 or (frozen and spent > FROZEN):
                break
            climb = 0.0 if frozen else min(1.0, (spent - FROZEN) / FROZEN)
            for group, factor in zip(optimiser.param_groups, (1.0, climb), strict=True):
                group["lr"] = group["peak"] * factor * share_of_peak(spent) + 1e-6
            loss = loss_of(model, batch, frozen=frozen)
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimiser.step()
            steps += 1
            mean_loss = mean_loss.lerp(loss.detach(), 0.02 if steps > 1 else 1.0)
            if time.monotonic() - reported > args.report_seconds:
                report()
                reported, reported_steps = time.monotonic(), steps
                transducer.save(model, args.out / f"embedded_{args.kind}.nemo")
        frozen = frozen and spent <= FROZEN
    final = report()
    transducer.save(model, args.out / f"embedded_{args.kind}.nemo")
    (args.out / f"training_{args.kind}.json").write_text(
        json.dumps(asdict(final), indent=2) + "\n", encoding="utf-8"
    )


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "kind", type=transducer.TransducerKind, choices=list(transducer.TransducerKind)
    )
    parser.add_argument("--ctc", type=Path, required=True, help="the CTC base's .nemo")
    parser.add_argument("--text", type=Path, required=True, help="train.txt")
    parser.add_argument("--validation-text", type=Path, required=True, help="validation.txt")
    parser.add_argument("--shards", type=Path, required=True, help="speech of train.txt")
    parser.add_argument("--validation", type=Path, required=True, help="speech of validation.txt")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True, help="time to train for")
    parser.add_argument("--start-hours", type=float, default=4.0, help="speech to wait for")
    parser.add_argument("--report-seconds", type=float, default=40.0)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
