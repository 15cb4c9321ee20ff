"""A FastConformer-TDT of the published size of Parakeet TDT 0.6B, with random weights.

Usage: parakeet_graph.py FOLDER

It writes FOLDER/tdt-617m-random.nemo. Time and memory of training and decoding depend on the graph
alone, so that a host can be tried and timed before the real weights are downloaded.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nemo.collections.asr.models import EncDecRNNTBPEModel
from nemo.collections.common.tokenizers.sentencepiece_tokenizer import create_spt_model
from omegaconf import OmegaConf

VOCABULARY = 1024
NAME = "tdt-617m-random.nemo"


def tdt_config(tokenizer: Path) -> dict[str, Any]:
    """Return a FastConformer-TDT with the published dimensions of Parakeet TDT 0.6B v2."""
    durations = [0, 1, 2, 3, 4]
    data = {
        "manifest_filepath": None,
        "sample_rate": 16_000,
        "batch_size": 4,
        "shuffle": False,
        "num_workers": 0,
        "min_duration": 0.1,
        "max_duration": 20.0,
    }
    return {
        "sample_rate": 16_000,
        "compute_eval_loss": False,
        "log_prediction": True,
        "rnnt_reduction": "mean_volume",
        "skip_nan_grad": False,
        "model_defaults": {
            "enc_hidden": 1024,
            "pred_hidden": 640,
            "joint_hidden": 640,
            "tdt_durations": durations,
            "num_tdt_durations": len(durations),
        },
        "tokenizer": {"dir": str(tokenizer), "type": "bpe"},
        "train_ds": {**data, "shuffle": True},
        "validation_ds": dict(data),
        "test_ds": dict(data),
        "preprocessor": {
            "_target_": "nemo.collections.asr.modules.AudioToMelSpectrogramPreprocessor",
            "sample_rate": 16_000,
            "normalize": "per_feature",
            "window_size": 0.025,
            "window_stride": 0.01,
            "window": "hann",
            "features": 128,
            "n_fft": 512,
            "frame_splicing": 1,
            "dither": 1e-5,
            "pad_to": 0,
        },
        "spec_augment": {
            "_target_": "nemo.collections.asr.modules.SpectrogramAugmentation",
            "freq_masks": 2,
            "time_masks": 10,
            "freq_width": 27,
            "time_width": 0.05,
        },
        "encoder": {
            "_target_": "nemo.collections.asr.modules.ConformerEncoder",
            "feat_in": 128,
            "feat_out": -1,
            "n_layers": 24,
            "d_model": 1024,
            "use_bias": False,
            "subsampling": "dw_striding",
            "subsampling_factor": 8,
            "subsampling_conv_channels": 256,
            "causal_downsampling": False,
            "ff_expansion_factor": 4,
            "self_attention_model": "rel_pos",
            "n_heads": 8,
            "att_context_size": [-1, -1],
            "xscaling": False,
            "untie_biases": True,
            "pos_emb_max_len": 5000,
            "conv_kernel_size": 9,
            "conv_norm_type": "batch_norm",
            "dropout": 0.1,
            "dropout_pre_encoder": 0.1,
            "dropout_emb": 0.0,
            "dropout_att": 0.1,
        },
        "decoder": {
            "_target_": "nemo.collections.asr.modules.RNNTDecoder",
            "normalization_mode": None,
            "random_state_sampling": False,
            "blank_as_pad": True,
            "prednet": {"pred_hidden": 640, "pred_rnn_layers": 2, "t_max": None, "dropout": 0.2},
        },
        "joint": {
            "_target_": "nemo.collections.asr.modules.RNNTJoint",
            "log_softmax": None,
            "preserve_memory": False,
            "fuse_loss_wer": True,
            "fused_batch_size": 4,
            "jointnet": {"joint_hidden": 640, "activation": "relu", "dropout": 0.2},
            "num_extra_outputs": len(durations),
        },
        "decoding": {
            "strategy": "greedy_batch",
            "model_type": "tdt",
            "durations": durations,
            "greedy": {"max_symbols": 10},
        },
        "loss": {
            "loss_name": "tdt",
            "tdt_kwargs": {
                "fastemit_lambda": 0.0,
                "clamp": -1.0,
                "durations": durations,
                "sigma": 0.02,
                "omega": 0.1,
            },
        },
        "optim": {"name": "adamw", "lr": 3e-4, "betas": [0.9, 0.98], "weight_decay": 1e-3},
    }


def make_model(folder: Path) -> Path:
    """Write the graph with random weights as a .nemo."""
    path = folder / NAME
    build_model(tdt_config(make_tokenizer(folder))).save_to(str(path))
    return path


def build_model(config: dict[str, Any]) -> Any:  # noqa: ANN401 - NeMo ships no types
    """Build a graph with random weights, always the same ones."""
    torch.manual_seed(0)
    return EncDecRNNTBPEModel(cfg=OmegaConf.create(config))


def make_tokenizer(folder: Path) -> Path:
    """Write a tokenizer of made-up words."""
    rng = np.random.default_rng(0)
    syllables = [c + v + e for c in "bcdfghklmnprstvwz" for v in "aeiou" for e in ("", "n", "l")]
    text = folder / "text.txt"
    text.write_text(
        "\n".join(
            " ".join("".join(rng.choice(syllables, rng.integers(1, 4))) for _ in range(12))
            for _ in range(4000)
        )
        + "\nabcdefghijklmnopqrstuvwxyz '\n",
        encoding="utf-8",
    )
    tokenizer = folder / "tokenizer"
    create_spt_model(
        str(text),
        vocab_size=VOCABULARY,
        sample_size=-1,
        do_lower_case=False,
        tokenizer_type="bpe",
        output_dir=str(tokenizer),
    )
    return tokenizer


def main() -> None:
    """Make the model in the folder of the command line."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    print(make_model(folder))


if __name__ == "__main__":
    main()
