"""Tiny models made by NeMo itself, with random weights: real archives of each decoder family."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING, Any

from tasks.models.catalog import embedded_path

if TYPE_CHECKING:
    from pathlib import Path

_WIDTH = 32
_DURATIONS = [0, 1, 2, 3, 4]


def make(path: Path, kind: str) -> Path:
    """Build, initialise and save a model.

    Args:
        path: of the .nemo.
        kind: ctc, rnnt, tdt, hybrid (RNN-T and CTC), hybrid-tdt (TDT and CTC) or streaming (a
            cache-aware RNN-T).
    """
    # Ten seconds that only the tests of real archives pay.
    from nemo.collections.asr import models  # noqa: PLC0415
    from omegaconf import OmegaConf  # noqa: PLC0415

    tokenizer = path.parent / "tokenizer"
    _unpack_tokenizer(tokenizer)
    config: dict[str, Any] = {
        "sample_rate": 16000,
        "tokenizer": {"dir": str(tokenizer), "type": "bpe"},
        "train_ds": None,
        "validation_ds": None,
        "preprocessor": _target("AudioToMelSpectrogramPreprocessor", features=80),
        "encoder": _encoder(streaming=kind == "streaming"),
        "decoder": _target("ConvASRDecoder", feat_in=_WIDTH, num_classes=-1, vocabulary=[]),
        "decoding": {"strategy": "greedy_batch"},
    }
    chosen = models.EncDecCTCModelBPE
    if kind != "ctc":
        chosen = models.EncDecRNNTBPEModel
        head = config["decoder"]
        config |= _transducer(durations=kind.endswith("tdt"))
        if kind.startswith("hybrid"):
            chosen = models.EncDecHybridRNNTCTCBPEModel
            config["aux_ctc"] = {
                "ctc_loss_weight": 0.3,
                "decoder": head,
                "decoding": {"strategy": "greedy_batch"},
            }
    model = chosen(cfg=OmegaConf.create(config))
    model.save_to(str(path))
    return path


def weights(path: Path) -> dict[str, Any]:
    """The tensors of a .nemo, by name."""
    import torch  # noqa: PLC0415 - as above

    with tarfile.open(path, "r:*") as archive:
        for member in archive:
            if member.name.endswith("model_weights.ckpt"):
                stream = archive.extractfile(member)
                assert stream is not None
                loaded = torch.load(
                    io.BytesIO(stream.read()), map_location="cpu", weights_only=True
                )
                return dict(loaded)
    raise AssertionError(f"{path} holds no weights")


def _target(name: str, **values: Any) -> dict[str, Any]:
    return {"_target_": f"nemo.collections.asr.modules.{name}", **values}


def _encoder(*, streaming: bool) -> dict[str, Any]:
    cached = {
        "att_context_style": "chunked_limited",
        "att_context_size": [4, 1],
        "causal_downsampling": True,
        "conv_context_size": "causal",
        "conv_norm_type": "layer_norm",
    }
    return _target(
        "ConformerEncoder",
        feat_in=80,
        feat_out=-1,
        n_layers=1,
        d_model=_WIDTH,
        subsampling="dw_striding",
        subsampling_factor=8,
        subsampling_conv_channels=16,
        n_heads=2,
        conv_kernel_size=5,
        **(cached if streaming else {}),
    )


def _transducer(*, durations: bool) -> dict[str, Any]:
    extra = {"num_extra_outputs": len(_DURATIONS)} if durations else {}
    defaults = {"tdt_durations": _DURATIONS, "num_tdt_durations": len(_DURATIONS)}
    loss = {"tdt_kwargs": {"durations": _DURATIONS, "sigma": 0.02, "omega": 0.1}}
    return {
        "model_defaults": {
            "enc_hidden": _WIDTH,
            "pred_hidden": _WIDTH,
            "joint_hidden": _WIDTH,
            **(defaults if durations else {}),
        },
        "decoder": _target(
            "RNNTDecoder",
            normalization_mode=None,
            random_state_sampling=False,
            blank_as_pad=True,
            vocab_size=-1,
            prednet={"pred_hidden": _WIDTH, "pred_rnn_layers": 1},
        ),
        "joint": _target(
            "RNNTJoint",
            fuse_loss_wer=False,
            num_classes=-1,
            vocabulary=[],
            jointnet={"joint_hidden": _WIDTH, "activation": "relu"},
            **extra,
        ),
        "decoding": {
            "strategy": "greedy_batch",
            "greedy": {"max_symbols": 5},
            **({"model_type": "tdt", "durations": _DURATIONS} if durations else {}),
        },
        "loss": {
            "loss_name": "tdt" if durations else "default",
            **(loss if durations else {}),
        },
    }


def _unpack_tokenizer(folder: Path) -> None:
    """The embedded base's tokenizer, under the names that NeMo looks for."""
    folder.mkdir(exist_ok=True)
    with tarfile.open(embedded_path()) as archive:
        for member in archive.getmembers():
            for ending in ("tokenizer.model", "tokenizer.vocab", "vocab.txt"):
                if member.name.endswith(f"_{ending}"):
                    stream = archive.extractfile(member)
                    assert stream is not None
                    (folder / ending).write_bytes(stream.read())
