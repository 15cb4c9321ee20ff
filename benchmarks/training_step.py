"""The steps that benchmarks.compiled_steps times: one model, a variant, and batches of tones."""

from __future__ import annotations

import math
import random
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

RATE = 16_000
_WORD_S = 0.4
_WORDS = 24  # different ones; each is a label of its own
PLAIN, JOINED, FUSED, COMPILED, COMPILED_IN_PIECES, COMPILED_ALL, CAPTURED, RECORDED = (
    "plain",
    "plain, joint in one piece, fused AdamW",
    "compiled, no graphs",
    "compiled",
    "compiled, joint in pieces",
    "compiled, all activations kept",
    "captured by hand",
    "recorded, not compiled",
)
KEPT = {COMPILED_ALL: 1.0} | {
    f"compiled, {share} of the activations kept": share for share in (0.8, 0.5, 0.4)
}
_BY_COMPILER = {FUSED, COMPILED, COMPILED_IN_PIECES, RECORDED, *KEPT}
_AS_THE_PRODUCT = {COMPILED, RECORDED, *KEPT}  # but for what the name says


class Steps:
    """A model, its optimiser and what a variant does to both."""

    def __init__(self, variant: str, args: argparse.Namespace) -> None:
        """Build the model on the CPU; no GPU is touched yet."""
        import torch  # noqa: PLC0415 - the parent needs none
        from nemo.collections.asr.models import ASRModel  # noqa: PLC0415 - likewise

        from benchmarks.entrypoint_imports import parakeet_graph  # noqa: PLC0415 - likewise
        from tasks.models import catalog  # noqa: PLC0415 - likewise

        self.torch = torch
        self.variant, self.args = variant, args
        torch.set_num_threads(2)
        if args.tiny or args.small:
            model = ASRModel.restore_from(str(catalog.resolve("embedded-rnnt")))
            # As the large graph has it.
            model.joint.set_fuse_loss_wer(True, model.loss, model.wer)
            model.joint.set_fused_batch_size(1)
        else:
            with tempfile.TemporaryDirectory() as folder:
                tokenizer = parakeet_graph.make_tokenizer(Path(folder))
                model = parakeet_graph.build_model(parakeet_graph.tdt_config(tokenizer))
        self.model: Any = model
        self.first_weights = {name: t.clone() for name, t in model.state_dict().items()}
        self.piece = int(model.joint.fused_batch_size)
        self.draws: Any = None
        self.compiled: Any = None
        self.compile_s = 0.0
        self.shapes: Any = None
        self.made_for: tuple[int, ...] = ()

    @property
    def device(self) -> str:
        """Where it trains."""
        return "cpu" if self.args.tiny else "cuda"

    def seed(self, value: int) -> None:
        """Seed every generator that a step draws from."""
        random.seed(value)
        self.torch.manual_seed(value)
        for module in self.model.modules():
            if isinstance(getattr(module, "_rng", None), random.Random):
                module._rng = random.Random(value)  # noqa: S311, SLF001 - SpecAugment's own

    def wait(self) -> None:
        """Wait until the GPU has done everything."""
        if not self.args.tiny:
            self.torch.cuda.synchronize()

    def start(self, seconds: Sequence[float]) -> None:
        """Begin a training anew: first weights, new optimiser, layers as the variant has them.

        Args:
            seconds: of all rows to come.
        """
        import loss_pieces  # type: ignore[import-not-found]  # noqa: PLC0415 - needs torch

        torch = self.torch
        self.model.to(self.device)
        self.model.load_state_dict(self.first_weights)
        self.model.train()
        fused = self.variant != PLAIN and not self.args.tiny
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=self.args.lr, betas=(0.9, 0.98), weight_decay=1e-3,
            fused=fused or None,
        )  # fmt: skip
        self._join(loss_pieces)
        self.keeps_grads = self.variant in {*_BY_COMPILER, CAPTURED} - {FUSED}
        self.optimizer.zero_grad()
        if self.keeps_grads:
            for parameter in self.model.parameters():
                parameter.grad = torch.zeros_like(parameter)
        if self.variant in _BY_COMPILER:
            self._compile(seconds)
        if self.variant == CAPTURED:
            self._capture(seconds)

    def _join(self, loss_pieces: Any) -> None:  # noqa: ANN401 - a module
        """Let the joint take a batch in the variant's pieces."""
        joint = self.model.joint
        if self.draws is not None:
            self.draws.remove()
            self.draws = None
        joint.set_fused_batch_size(self.piece)
        if self.variant in _AS_THE_PRODUCT:
            self.draws = loss_pieces.join_pieces(joint, self.args.batch)
        elif self.variant not in {PLAIN, COMPILED_IN_PIECES}:
            joint.set_fused_batch_size(self.args.batch)

    def _compile(self, seconds: Sequence[float]) -> None:
        import compiled_encoder  # type: ignore[import-not-found]  # noqa: PLC0415 - needs torch
        from compiled_rehearsal import (  # type: ignore[import-not-found]  # noqa: PLC0415 - likewise
            rehearse,
        )
        from padded_shapes import choose_shapes  # type: ignore[import-not-found]  # noqa: PLC0415

        frame_s = float(self.model.cfg.preprocessor.window_stride)
        frame_s *= self.model.encoder.subsampling_factor
        self.shapes = choose_shapes(seconds, self.args.batch, frame_s)
        if self.compiled is not None:
            if self.shapes.frames == self.made_for:
                return  # the layers' weights are where they were
            self.compiled.remove()
        self.made_for = self.shapes.frames
        backend = "aot_eager" if self.args.tiny else compiled_encoder.GRAPHS
        if self.variant == RECORDED and not self.args.tiny:
            backend = "cudagraphs"  # PyTorch's own: a layer's kernels as they are, started at once
        mode = None if self.variant == FUSED else compiled_encoder.MODE
        kept = KEPT.get(self.variant, compiled_encoder.KEPT)
        self.compiled = compiled_encoder.CompiledEncoder(
            self.model.encoder, self.shapes, backend, mode, kept
        )
        started = time.monotonic()
        self.compiled.install()
        rehearse(self.compiled, self._autocast)
        self.wait()
        self.compile_s = time.monotonic() - started

    def _capture(self, seconds: Sequence[float]) -> None:
        """Capture each layer's passes for the one shape of these rows."""
        torch, encoder = self.torch, self.model.encoder
        started = time.monotonic()
        seen: list[dict[str, Any]] = []
        layers = list(encoder.layers)

        class Positional(torch.nn.Module):  # type: ignore[misc,name-defined]
            def __init__(self, layer: Any) -> None:  # noqa: ANN401
                super().__init__()
                self.layer = layer

            def forward(self, x: Any, att_mask: Any, pos_emb: Any, pad_mask: Any) -> Any:  # noqa: ANN401
                return self.layer(x=x, att_mask=att_mask, pos_emb=pos_emb, pad_mask=pad_mask)

        plain = layers[0].forward

        def spy(**kwargs: Any) -> Any:  # noqa: ANN401
            seen.append(kwargs)
            return plain(**kwargs)

        layers[0].forward = spy
        batch = next(make_batches(self, [list(seconds)[: self.args.batch]], 0))
        with torch.no_grad(), self._autocast():
            self.loss(batch)
        del layers[0].forward
        names = ("att_mask", "pos_emb", "pad_mask")
        inputs = [seen[0]["x"].clone().requires_grad_(), *(seen[0][name] for name in names)]
        samples = tuple(
            tuple(t.detach().clone().requires_grad_(t.requires_grad) for t in inputs)
            for _ in layers
        )
        with torch.autocast("cuda", dtype=torch.bfloat16, cache_enabled=False):
            graphed = torch.cuda.make_graphed_callables(
                tuple(Positional(layer) for layer in layers), samples
            )

        def replay(one: Any) -> Callable[..., Any]:  # noqa: ANN401
            return lambda x, att_mask, pos_emb, pad_mask, **_: one(x, att_mask, pos_emb, pad_mask)

        for layer, one in zip(layers, graphed, strict=True):
            layer.forward = replay(one)
        self.wait()
        self.compile_s = time.monotonic() - started

    def _autocast(self) -> Any:  # noqa: ANN401
        torch = self.torch
        return torch.autocast(self.device, dtype=torch.bfloat16, enabled=not self.args.tiny)

    def loss(self, batch: Any, mark: Callable[[str], None] = lambda _: None) -> Any:  # noqa: ANN401
        """Return the loss of a batch, as NeMo's training step computes it."""
        signal, signal_length, labels, label_lengths = batch
        model = self.model
        encoded, lengths = model.forward(input_signal=signal, input_signal_length=signal_length)
        mark("features and encoder")
        decoded, target_lengths, _ = model.decoder(targets=labels, target_length=label_lengths)
        loss, *_ = model.joint(
            encoder_outputs=encoded, decoder_outputs=decoded, encoder_lengths=lengths,
            transcripts=labels, transcript_lengths=target_lengths, compute_wer=False,
        )  # fmt: skip
        mark("decoder, joint and loss")
        return loss

    def step(self, batch: Any, mark: Callable[[str], None] = lambda _: None) -> Any:  # noqa: ANN401
        """Train on a batch; return its loss, which may not be computed yet."""
        torch = self.torch
        if self.variant in _BY_COMPILER:
            self.compiled.readers.begin_step()
            torch.compiler.cudagraph_mark_step_begin()
        with self._autocast():
            loss = self.loss(batch, mark)
        self.optimizer.zero_grad(set_to_none=not self.keeps_grads)
        loss.backward()
        mark("backward")
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        mark("clipping and AdamW")
        return loss.detach()


def make_batches(steps: Steps, lengths: list[list[float]], seed: int) -> Iterator[Any]:
    """Yield a batch of tones for each list of seconds; each word is a tone of its own."""
    torch = steps.torch
    generator = torch.Generator().manual_seed(seed)
    labels_of = torch.arange(_WORDS) * 7 % 100 + 10
    for rows in lengths:
        longest = int(max(rows) * RATE)
        signal = torch.zeros(len(rows), longest)
        words = [max(1, int(seconds / _WORD_S)) for seconds in rows]
        labels = torch.zeros(len(rows), max(words), dtype=torch.long)
        for row, (seconds, count) in enumerate(zip(rows, words, strict=True)):
            said = torch.randint(0, _WORDS, (count,), generator=generator)
            labels[row, :count] = labels_of[said]
            pitch = 150.0 * 1.16 ** said.float()
            wave = torch.arange(int(_WORD_S * RATE)) / RATE * 2 * math.pi
            tones = (torch.sin(pitch[:, None] * wave) * 0.1).flatten()[: int(seconds * RATE)]
            signal[row, : len(tones)] = tones
            noise = torch.randn(int(seconds * RATE), generator=generator)
            signal[row, : len(noise)] += noise * 0.01
        yield (
            signal.to(steps.device),
            torch.tensor([int(seconds * RATE) for seconds in rows], device=steps.device),
            labels.to(steps.device),
            torch.tensor(words, device=steps.device),
        )
