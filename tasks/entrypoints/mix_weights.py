"""Mix the weights of base and tuned model, and write the mixture; NeMo is not needed for it.

Usage: mix_weights.py REQUEST.json

A mixture's weights are ``base + share * (tuned - base)`` in 32 bits, where a weight's share is a
power of the mixture's value. The deeper it lies, the smaller is the exponent: half for what follows
the encoder, 2.5 for what comes before its first layer. By shallow layers English is lost, and no
term is won. Norms, with the statistics of batch norm, have the exponent 3, and what follows the
encoder of a transducer has 1. Encoders without numbered layers are mixed evenly: every share is the
value. Models whose lower layers were not trained are mixed evenly too, with the exponent 1.15, so
that a value loses about as much English in each. Integer buffers and what computes features are the
tuned model's. docs/log/2026-11-30-mixed-by-depth.md and 2026-11-30-upper-layers.md have the
measurements.

The request: {"base": path, "tuned": path, "value": from 0, the base, to 1, "out": path}, and what
every job has. It prints {"event": "shipped", "value"}. Where the two archives do not show that both
are one architecture with one tokenizer, it writes nothing and prints {"event": "unlike", "what"}:
NeMo, which knows what a configuration leaves open, has to compare them (interpolate.py).
"""

from __future__ import annotations

import json
import re
import sys
import tarfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import job_phases  # type: ignore[import-not-found]  # lies beside this file
import saved_tensors  # type: ignore[import-not-found]  # likewise
import torch
import yaml
from heartbeat import watch  # type: ignore[import-not-found]  # likewise

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

ARCHITECTURE = ("preprocessor", "encoder", "decoder", "joint", "aux_ctc", "labels")
"""The parts of a configuration in which two models that are mixed must not differ."""
_FEATURES = "preprocessor."
_CONFIG = "model_config.yaml"
_WEIGHTS = "model_weights.ckpt"
_MEMBER = "nemo:"
_ENCODER = "encoder."
_TRANSDUCER = "joint."
_LAYER = re.compile(r"encoder\.layers\.(\d+)\.")
_DEEPEST, _SHALLOWEST, _NORMS = 0.5, 2.5, 3.0
"""Exponents, found with three trainings that no published figure rests on."""
_EVEN = 1.0
_UPPER_LAYERS = 1.15  # 0.5 goes 0.45 of the way
_NOT_TRAINED = 1e-5
"""How far weights that were not trained may differ, relatively: checkpoints may be averaged."""


def exponents(names: Collection[str]) -> dict[str, float]:
    """Return each weight's exponent: its share of the tuned model is the value to that power.

    Args:
        names: of a model's tensors.
    """
    numbers = {name: int(found[1]) for name in names if (found := _LAYER.match(name))}
    if not numbers:
        return dict.fromkeys(names, _EVEN)
    behind = max(numbers.values()) + 2  # what follows the last layer, if the first one is 1
    is_transducer = any(name.startswith(_TRANSDUCER) for name in names)

    def exponent(name: str) -> float:
        if "norm" in name:
            return _NORMS
        if not name.startswith(_ENCODER):
            return _EVEN if is_transducer else _DEEPEST
        depth = (numbers[name] + 1) / behind if name in numbers else 0.0
        return _SHALLOWEST + depth * (_DEEPEST - _SHALLOWEST)

    return {name: exponent(name) for name in names}


def keeps_first_layer(base: Mapping[str, torch.Tensor], tuned: Mapping[str, torch.Tensor]) -> bool:
    """Return whether the encoder's first layer was not trained, as upper layers alone may be."""
    first = [name for name in tuned if (found := _LAYER.match(name)) and found[1] == "0"]
    return bool(first) and all(
        torch.allclose(tuned[name].float(), base[name].float(), rtol=_NOT_TRAINED, atol=0)
        for name in first
        if tuned[name].is_floating_point()
    )


def mix(
    base: Mapping[str, torch.Tensor], tuned: Mapping[str, torch.Tensor], value: float
) -> dict[str, torch.Tensor]:
    """Return the weights of a mixture, computed in 32 bits.

    Args:
        base: tensors by name.
        tuned: the same names and shapes.
        value: 0 is the base and 1 the tuned model, to the bit.
    """
    mixed = {}
    upper = keeps_first_layer(base, tuned)
    power = dict.fromkeys(tuned, _UPPER_LAYERS) if upper else exponents(tuned)
    for name, after in tuned.items():
        if name.startswith(_FEATURES) or not after.is_floating_point() or value == 1:
            mixed[name] = after
        elif value == 0:
            mixed[name] = base[name].to(after.dtype)
        else:
            before = base[name].float()
            share = value ** power[name]
            mixed[name] = (before + share * (after.float() - before)).to(after.dtype)
    return mixed


def differing(base: Mapping[str, torch.Tensor], tuned: Mapping[str, torch.Tensor]) -> list[str]:
    """Return the names of the tensors that only one model has, or has in another shape or kind."""
    ours, theirs = (
        {name: (tensor.shape, tensor.is_floating_point()) for name, tensor in weights.items()}
        for weights in (base, tuned)
    )
    return sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))


class Archive:
    """A .nemo: its configuration, tokenizer and weights."""

    def __init__(self, path: str, *, trust: bool = False) -> None:
        self._path, self._trust = path, trust

    def weights(self) -> dict[str, torch.Tensor]:
        """Load the weights on the CPU."""
        with tarfile.open(self._path, "r:*") as archive:
            loaded: dict[str, torch.Tensor] = torch.load(
                _open(archive, _WEIGHTS), map_location="cpu", weights_only=not self._trust
            )
        return loaded

    def architecture(self) -> dict[str, Any]:
        """Return what must be equal: parts of the configuration, and the tokenizer's files."""
        with tarfile.open(self._path, "r:*") as archive:
            config = yaml.safe_load(_open(archive, _CONFIG))
            tokenizer = config.get("tokenizer") or {}
            # A file of the archive has another name in each; outside of it nothing counts.
            files = {
                key: _open(archive, name.removeprefix(_MEMBER)).read()
                for key, name in tokenizer.items()
                if isinstance(name, str) and name.startswith(_MEMBER)
            }
            return {
                **{name: config.get(name) for name in ARCHITECTURE},
                "tokenizer": {"type": tokenizer.get("type"), **files},
            }

    def write_with(self, weights: Mapping[str, torch.Tensor], out: Path) -> None:
        """Write this archive with other weights.

        The same weights make the same bytes: what is in the archive has no times of its own.

        Args:
            weights: in this archive's order; each is saved by itself.
            out: appears only when it is whole.
        """
        part = out.with_name(f".{out.name}.part")
        try:
            with (
                tarfile.open(self._path, "r:*") as source,
                part.open("wb") as file,
                # Its headers are of one length, whatever the size that they tell.
                tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as made,
            ):
                for member in source:
                    if member.name.removeprefix("./") == _WEIGHTS:
                        _add_weights(made, file, member, weights)
                    elif member.isreg():
                        made.addfile(member, source.extractfile(member))
            part.replace(out)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def _add_weights(
    made: tarfile.TarFile, file: IO[bytes], member: tarfile.TarInfo, weights: Mapping[str, Any]
) -> None:
    """Write weights into an archive's file at once; their size is known only then.

    A file of their own, copied afterwards, would be gigabytes written twice.
    """
    header_at = made.offset
    member.size = 0
    made.addfile(member)
    saved_tensors.save(_alone(weights), file)
    member.size = file.tell() - made.offset
    file.write(b"\0" * (-member.size % tarfile.BLOCKSIZE))
    made.offset = file.tell()
    file.seek(header_at)
    file.write(member.tobuf(made.format, made.encoding or "utf-8", made.errors or "strict"))
    file.seek(made.offset)


def _alone(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return weights of which each has memory of its own: all of a tensor's memory is saved."""
    alone, seen = {}, set()
    for name, tensor in weights.items():
        memory = tensor.untyped_storage()
        whole = memory.nbytes() == tensor.numel() * tensor.element_size()
        own = whole and tensor.is_contiguous() and memory.data_ptr() not in seen
        seen.add(memory.data_ptr())
        alone[name] = tensor if own else tensor.clone()
    return alone


def _open(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    """Open a member, whose name may begin with "./".

    Raises:
        SystemExit: there is none.
    """
    for member in archive:
        if member.name.removeprefix("./") == name and (stream := archive.extractfile(member)):
            return stream
    sys.exit(f"{archive.name!r}: holds no {name}")


def unlike(base: Archive, tuned: Archive) -> str:
    """Return the parts of two archives that differ though they must not, "" if there are none."""
    ours, theirs = base.architecture(), tuned.architecture()
    return ", ".join(name for name, part in ours.items() if part != theirs[name])


def write_mixture(base: Archive, tuned: Archive, value: float, out: Path) -> str:
    """Write the mixture of two archives; return what differs, if it was not written."""
    ours, theirs = base.weights(), tuned.weights()
    if names := differing(ours, theirs):
        return ", ".join(names[:3])
    tuned.write_with(mix(ours, theirs, value), out)
    return ""


def main() -> None:
    """Compare the two archives and write their mixture."""
    job_phases.begin()
    request: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if "heartbeat" in request:
        watch(request["heartbeat"], request["abandoned_after_s"])
    job_phases.enter("mix")
    trust = request.get("trust", False)
    base, tuned = (Archive(request[name], trust=trust) for name in ("base", "tuned"))
    value = float(request["value"])
    what = unlike(base, tuned) or write_mixture(base, tuned, value, Path(request["out"]))
    event = {"event": "unlike", "what": what} if what else {"event": "shipped", "value": value}
    print(json.dumps(event), flush=True)


if __name__ == "__main__":
    main()
