"""Mixtures of base and tuned model: batch-norm statistics mixed, or estimated anew.

    python -m benchmarks.batch_norm CYCLE GENERAL [--values 0.4,0.5,0.6] [--sentences 250]
                                    [--json FILE]

CYCLE is a finished cycle's folder with its model, and GENERAL a manifest of general English. The
mean of two models' statistics is not the statistics of the mean model. So each mixture is decoded
twice: with the statistics mixed, as the product does, and with statistics of the mixture itself on
the rows that were trained on, one after the other in the order of train.jsonl. Everything else is
as it is decoded: no dropout, no masks. The figures are held-out drug KER, averaged over the four
unheard variants of a choice, and pooled WER, to the letter, of general sentences that are
neither trained on nor chosen by.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.entrypoint_imports import Untyped, audio_reader, interpolate, mix_weights
from tasks.common import atomic_files
from tasks.data.audio_checks import AudioLimits
from tasks.data.cycle_folder import open_cycle
from tasks.data.general_english import divide
from tasks.data.manifest import Utterance, read_manifest
from tasks.data.preflight import preflight
from tasks.evaluation.hypotheses import hypothesis_for
from tasks.evaluation.scoring import score
from tasks.models.catalog import embedded_path
from tasks.stages.choosing_rows import LEADS
from tasks.training import run as training_run

Weights = Mapping[str, torch.Tensor]
MIXED, ANEW = "mixed", "estimated anew"
_PRIORITY = "drug"


def estimate_statistics(model: Untyped, weights: Weights, audio: Sequence[str]) -> Weights:
    """Return a mixture's weights with batch-norm statistics of its own.

    Args:
        model: NeMo's, of the same architecture; it is left with these weights.
        weights: of the mixture.
        audio: training recordings in a fixed order; each counts alike, however long it is.
    """
    model.load_state_dict(weights)
    model.eval()
    layers = [
        layer
        for layer in model.encoder.modules()
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm)  # noqa: SLF001 - of any dimension
    ]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean of all batches, each of one recording: nothing is padded
        layer.train()
    rate = int(model.cfg.sample_rate)
    with torch.inference_mode():
        for path in audio:
            signal = torch.from_numpy(audio_reader.read(path, rate))[None]
            features, counts = model.preprocessor(
                input_signal=signal, length=torch.tensor([signal.shape[1]])
            )
            model.encoder(audio_signal=features, length=counts)
    model.eval()
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


class Comparison:
    """One cycle's models, its judged rows and general sentences."""

    def __init__(self, cycle: Path, general: Path, sentences: int, work: Path) -> None:
        opened = open_cycle(cycle)
        (info,) = cycle.glob(f"models/*/{training_run.INFO_NAME}")
        self._base = str(embedded_path())
        tuned = info.with_name(training_run.TUNED_NAME)
        self._tuned = str(tuned if tuned.is_file() else info.with_name(training_run.MODEL_NAME))
        self._trained = read_manifest(cycle / "train.jsonl")
        self._judged = [
            row
            for row in read_manifest(opened.path / "validation.jsonl")
            if row.entity_category == _PRIORITY and row.term
        ]
        checked = preflight(general, AudioLimits(16_000, (), 0.1, math.inf), None)
        guards = divide(general, checked.rows, (), longest=math.inf, chooses=True).guardrail
        self._general = [row.utterance.with_audio(str(row.audio)) for row in guards[:sentences]]
        self._sets = interpolate.ChoosingSets(
            [
                *(_set(f"judged/{lead}", self._judged, lead) for lead in LEADS),
                _set("general", self._general, 0),
            ],
            work,
        )

    def lines(self, values: Sequence[float]) -> list[dict[str, Any]]:
        """Return both variants' figures of each value, the base's first."""
        plain = interpolate.restore(self._tuned, "cpu")
        base = interpolate.restore(self._base, "cpu").state_dict()
        tuned = {name: tensor.detach().clone() for name, tensor in plain.state_dict().items()}
        mixtures = interpolate.Mixtures(self._base, self._tuned, None)
        recognizer = mixtures.recognizer(0.0)
        self._sets.prepare(recognizer)
        found = []
        for value in (0.0, *values):
            mixed = mix_weights.mix(base, tuned, value)
            for variant in (MIXED,) if value == 0 else (MIXED, ANEW):
                started = time.monotonic()
                weights = mixed
                if variant == ANEW:
                    audio = [row.audio_filepath for row in self._trained]
                    weights = estimate_statistics(plain, mixed, audio)
                estimated = time.monotonic() - started
                recognizer.load_weights(weights)
                figures = self._figures(self._sets.decode(recognizer))
                found.append(
                    {
                        "value": value,
                        "statistics": variant,
                        **figures,
                        "estimating_s": round(estimated, 1) if variant == ANEW else 0.0,
                    }
                )
                print(_line(found[-1]), flush=True)
        return found

    def _figures(self, texts: Mapping[str, Sequence[str]]) -> dict[str, float]:
        missed = [_score(self._judged, texts[f"judged/{lead}"]).ker or 0.0 for lead in LEADS]
        general = _score(self._general, texts["general"])
        return {
            "drug_ker": sum(missed) / len(missed),
            "general_wer": general.pooled_wer or 0.0,
        }


def _score(rows: Sequence[Utterance], texts: Sequence[str]) -> Any:  # noqa: ANN401
    return score(hypothesis_for(row, text) for row, text in zip(rows, texts, strict=True))


def _set(name: str, rows: Sequence[Utterance], lead: int) -> dict[str, Any]:
    return {
        "name": name,
        "audio": [row.audio_filepath for row in rows],
        "durations": [row.duration or 0.0 for row in rows],
        "lead": lead,
    }


def _line(figures: Mapping[str, Any]) -> str:
    return (
        f"| {figures['value']:g} | {figures['statistics']} | {figures['drug_ker']:.3f} | "
        f"{figures['general_wer']:.4f} | {figures['estimating_s']:.1f} |"
    )


def main() -> None:
    """Print a table, and write it where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("cycle", type=Path)
    parser.add_argument("general", type=Path)
    parser.add_argument("--values", default="0.4,0.5,0.6")
    parser.add_argument("--sentences", type=int, default=250)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    print("| value | statistics | drug KER | general WER | estimating, s |")
    print("| ---: | --- | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as work:
        comparison = Comparison(arguments.cycle, arguments.general, arguments.sentences, Path(work))
        lines = comparison.lines([float(value) for value in arguments.values.split(",")])
    if arguments.json is not None:
        atomic_files.write_json(arguments.json, {"lines": lines})


if __name__ == "__main__":
    main()
