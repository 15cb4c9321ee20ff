"""The transducer bases: RNN-T and TDT on the encoder and the tokenizer of the embedded CTC base."""

from __future__ import annotations

import tarfile
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nemo.collections.asr.models import ASRModel, EncDecRNNTBPEModel
from omegaconf import OmegaConf, open_dict

from base_training import model as base

if TYPE_CHECKING:
    from omegaconf import DictConfig

#: Width of the prediction network and of the joint network.
HIDDEN = 192
#: Frames that a TDT step may advance.
DURATIONS = (0, 1, 2, 3, 4)
#: Most symbols in one frame: a decoder that does not advance must end.
MAX_SYMBOLS = 10
#: Parts of the CTC base's configuration that a transducer takes over.
SHARED = (
    "sample_rate",
    "log_prediction",
    "skip_nan_grad",
    "train_ds",
    "validation_ds",
    "test_ds",
    "preprocessor",
    "spec_augment",
    "encoder",
    "optim",
)


class TransducerKind(StrEnum):
    """The two kinds of transducer."""

    RNNT = "rnnt"
    TDT = "tdt"


def config(kind: TransducerKind, ctc: DictConfig, tokenizer: Path) -> DictConfig:
    """Return a transducer's configuration: the part shared with the CTC base, and its own networks.

    Args:
        kind: which transducer.
        ctc: the CTC base's configuration.
        tokenizer: the folder of the CTC base's tokenizer.
    """
    shared: Any = OmegaConf.to_container(ctc, resolve=True)
    return OmegaConf.create(
        {
            **{name: shared[name] for name in SHARED},
            "rnnt_reduction": "mean_batch",
            "tokenizer": {"dir": str(tokenizer), "type": "bpe"},
            **_networks(kind, shared["encoder"]["d_model"]),
        }
    )


def _networks(kind: TransducerKind, encoder_width: int) -> dict[str, Any]:
    """Return prediction network, joint network, decoding and loss."""
    durations = list(DURATIONS) if kind is TransducerKind.TDT else []
    timed = {"tdt_durations": durations, "num_tdt_durations": len(durations)}
    extra = {"num_extra_outputs": len(durations)}
    advancing = {"model_type": "tdt", "durations": durations}
    loss: dict[str, Any] = {"loss_name": "warprnnt_numba", "warprnnt_numba_kwargs": {}}
    if durations:
        weighted = {"durations": durations, "sigma": 0.02, "omega": 0.1}
        loss = {"loss_name": "tdt", "tdt_kwargs": weighted}
    modules = "nemo.collections.asr.modules"
    return {
        "model_defaults": {
            "enc_hidden": encoder_width,
            "pred_hidden": HIDDEN,
            "joint_hidden": HIDDEN,
            **(timed if durations else {}),
        },
        "decoder": {
            "_target_": f"{modules}.RNNTDecoder",
            "normalization_mode": None,
            "random_state_sampling": False,
            "blank_as_pad": True,
            "vocab_size": -1,
            "prednet": {
                "pred_hidden": HIDDEN,
                "pred_rnn_layers": 1,
                "t_max": None,
                "dropout": 0.1,
            },
        },
        "joint": {
            "_target_": f"{modules}.RNNTJoint",
            "log_softmax": None,
            "preserve_memory": False,
            "fuse_loss_wer": False,
            "num_classes": -1,
            "vocabulary": [],
            "jointnet": {"joint_hidden": HIDDEN, "activation": "relu", "dropout": 0.1},
            **(extra if durations else {}),
        },
        "decoding": {
            "strategy": "greedy_batch",
            **(advancing if durations else {}),
            "greedy": {"max_symbols": MAX_SYMBOLS},
        },
        "loss": loss,
    }


def create(kind: TransducerKind, ctc_base: Path, tokenizer: Path) -> EncDecRNNTBPEModel:
    """Create a transducer with the CTC base's encoder and other weights fresh.

    Args:
        kind: which transducer.
        ctc_base: the CTC base's .nemo.
        tokenizer: a folder that receives its tokenizer, and is read again when the model is saved.
    """
    ctc = ASRModel.restore_from(str(ctc_base), map_location="cpu")
    unpack_tokenizer(ctc_base, tokenizer)
    model = EncDecRNNTBPEModel(cfg=config(kind, ctc.cfg, tokenizer))
    # A restored tokenizer is read from the archive, so that no machine's path need be in it.
    with open_dict(model.cfg):
        model.cfg.tokenizer.dir = None
    model.encoder.load_state_dict(ctc.encoder.state_dict())
    return model


def unpack_tokenizer(archive: Path, folder: Path) -> None:
    """Write an archive's tokenizer under the names that NeMo looks for."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as members:
        for member in members.getmembers():
            for ending in ("tokenizer.model", "tokenizer.vocab", "vocab.txt"):
                if member.name.endswith(f"_{ending}") and (stream := members.extractfile(member)):
                    (folder / ending).write_bytes(stream.read())


def save(model: EncDecRNNTBPEModel, path: Path) -> None:
    """Save as .nemo with 16-bit parameters; its members bear no time, owner or machine's path."""
    base.save(model, path)
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(path) as archive:
            archive.extractall(folder, filter="data")
        files = sorted(file for file in Path(folder).iterdir() if file.is_file())
        with tarfile.open(path, "w") as archive:
            for file in files:
                member = tarfile.TarInfo(f"./{file.name}")
                member.size = file.stat().st_size
                with file.open("rb") as stream:
                    archive.addfile(member, stream)
