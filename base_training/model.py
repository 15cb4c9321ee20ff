"""The base model's architecture, its tokenizer, and the file that it ships as."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from nemo.collections.asr.models import EncDecCTCModelBPE
from nemo.collections.common.tokenizers.sentencepiece_tokenizer import create_spt_model
from omegaconf import DictConfig, OmegaConf

if TYPE_CHECKING:
    from pathlib import Path

VOCABULARY = 128
WIDTH = 176
LAYERS = 9


def train_tokenizer(text: Path, folder: Path) -> None:
    """Train a BPE tokenizer on the training text, in the layout that NeMo expects."""
    create_spt_model(
        str(text),
        vocab_size=VOCABULARY,
        sample_size=-1,
        do_lower_case=False,
        tokenizer_type="bpe",
        output_dir=str(folder),
    )


def config(tokenizer: Path) -> DictConfig:
    """Return the configuration of a FastConformer-CTC small enough for a repository.

    The data sets are placeholders: ``transcribe()`` and the stock fine-tuning script both read
    their keys, and neither reads a file from them.
    """
    placeholder: dict[str, Any] = {
        "manifest_filepath": None,
        "sample_rate": 16_000,
        "batch_size": 16,
        "shuffle": False,
        "num_workers": 0,
        "pin_memory": False,
        "min_duration": 0.1,
        "max_duration": 20.0,
    }
    return OmegaConf.create(
        {
            "sample_rate": 16_000,
            "log_prediction": False,
            "skip_nan_grad": False,
            "ctc_reduction": "mean_batch",
            "tokenizer": {"dir": str(tokenizer), "type": "bpe"},
            "train_ds": {**placeholder, "shuffle": True},
            "validation_ds": dict(placeholder),
            "test_ds": dict(placeholder),
            "preprocessor": {
                "_target_": "nemo.collections.asr.modules.AudioToMelSpectrogramPreprocessor",
                "sample_rate": 16_000,
                "normalize": "per_feature",
                "window_size": 0.025,
                "window_stride": 0.01,
                "window": "hann",
                "features": 80,
                "n_fft": 512,
                "frame_splicing": 1,
                "dither": 1e-5,
                "pad_to": 0,
            },
            "spec_augment": {
                "_target_": "nemo.collections.asr.modules.SpectrogramAugmentation",
                "freq_masks": 2,
                "time_masks": 2,
                "freq_width": 15,
                "time_width": 0.05,
            },
            "encoder": {
                "_target_": "nemo.collections.asr.modules.ConformerEncoder",
                "feat_in": 80,
                "feat_out": -1,
                "n_layers": LAYERS,
                "d_model": WIDTH,
                "subsampling": "dw_striding",
                "subsampling_factor": 4,
                "subsampling_conv_channels": 64,
                "causal_downsampling": False,
                "ff_expansion_factor": 3,
                "self_attention_model": "rel_pos",
                "n_heads": 4,
                "att_context_size": [-1, -1],
                "xscaling": False,
                "untie_biases": True,
                "pos_emb_max_len": 5000,
                "conv_kernel_size": 9,
                "conv_norm_type": "batch_norm",
                "dropout": 0.05,
                "dropout_pre_encoder": 0.0,
                "dropout_emb": 0.0,
                "dropout_att": 0.0,
            },
            "decoder": {
                "_target_": "nemo.collections.asr.modules.ConvASRDecoder",
                "feat_in": WIDTH,
                "num_classes": VOCABULARY,
                "vocabulary": [],
            },
            "decoding": {"strategy": "greedy_batch", "greedy": {}},
            # Read only by whoever tunes the model further without an optimiser of their own.
            "optim": {
                "name": "adamw",
                "lr": 3e-4,
                "betas": [0.9, 0.98],
                "weight_decay": 1e-3,
                "sched": {"name": "CosineAnnealing", "warmup_steps": 50, "min_lr": 1e-6},
            },
        }
    )


def create(tokenizer: Path) -> EncDecCTCModelBPE:
    """Create the model with fresh weights."""
    return EncDecCTCModelBPE(cfg=config(tokenizer))


def save(model: EncDecCTCModelBPE, path: Path) -> None:
    """Save as .nemo with 16-bit parameters, half the size; loading widens them by itself.

    Buffers stay as they are: the running variances and the mel filters include values that
    16 bits would round badly, and they are small.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    full = [parameter.data for parameter in model.parameters()]
    try:
        for parameter in model.parameters():
            parameter.data = parameter.data.to(torch.float16)
        model.save_to(str(path))
    finally:
        for parameter, data in zip(model.parameters(), full, strict=True):
            parameter.data = data
