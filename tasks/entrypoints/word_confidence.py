"""Tell how sure a model is of each word that it writes for a recording.

Usage: word_confidence.py REQUEST.json

The request: {"model": path, "audio": [path, ...], "durations": [seconds, ...], "out": path};
optionally what transcribe.py takes too. Each recording is decoded greedily as it is.

``out`` becomes JSONL with one {"audio", "words", "confidence"} a recording, in the order asked for;
it appears when it is whole. A word's confidence is that of its least sure label, as NeMo's measure
``max_prob`` has it: 0 where every label is as likely, 1 where one is certain. A label that a CTC
model writes for several frames is as sure as its surest frame. Standard output gets {"event":
"model", "how"} and {"event": "progress", "done", "of"}. A model that is decoded by its own
``transcribe()`` ends with {"event": "unsure", "why"}, and without ``out``.
"""

from __future__ import annotations

import copy
import json
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import decoding_pipeline  # type: ignore[import-not-found]  # lies beside this file
import job_phases  # type: ignore[import-not-found]  # likewise
import length_batching  # type: ignore[import-not-found]  # likewise
import nvrtc_guard  # type: ignore[import-not-found]  # likewise
import torch
from audio_reader import Reader  # type: ignore[import-not-found]  # likewise
from nemo.collections.asr.models.hybrid_rnnt_ctc_models import EncDecHybridRNNTCTCModel
from nemo.collections.asr.parts.utils.asr_confidence_utils import get_confidence_measure_bank
from nemo.collections.asr.parts.utils.rnnt_utils import Hypothesis
from omegaconf import open_dict
from spoken_words import join_labels  # type: ignore[import-not-found]  # likewise
from transcribe import Reporter, begin, load, prepare  # type: ignore[import-not-found]  # likewise

if TYPE_CHECKING:
    from collections.abc import Sequence

say = Reporter()
# Of NeMo's measures the one that found most errors of the embedded base; its default, an entropy,
# found fewer (docs/log/2026-11-29-labelling.md).
_MEASURE, _ALPHA = "max_prob", 1.0
_READ_AHEAD = 2
_READERS = 4


class ConfidentDecoder:
    """Decodes batches of a recogniser, and tells how sure it is of each label."""

    def __init__(self, recognizer: Any) -> None:  # noqa: ANN401 - a GreedyRecognizer
        """Let the recogniser's model record what it needs.

        Args:
            recognizer: one that is taken apart, and prepared.
        """
        self._recognizer = recognizer
        model = recognizer.model
        if not recognizer.is_transducer:
            recognizer.keeps_scores = True
            self._decoding = getattr(model, "ctc_decoding", None) or model.decoding
            measures: Any = get_confidence_measure_bank()
            self._measure = measures[_MEASURE]
            return
        cfg = copy.deepcopy(model.decoding.cfg)
        with open_dict(cfg):
            cfg.confidence_cfg = {
                "preserve_token_confidence": True,
                "exclude_blank": True,
                "method_cfg": {"name": _MEASURE, "alpha": _ALPHA},
            }
            # A release without that field reads a TDT's confidence off its alignments.
            cfg.greedy.preserve_alignments = not hasattr(
                Hypothesis, "non_blank_step_confidence_precomputed"
            )
        if isinstance(model, EncDecHybridRNNTCTCModel):
            model.change_decoding_strategy(cfg, decoder_type="rnnt", verbose=False)
        else:
            model.change_decoding_strategy(cfg, verbose=False)
        self._decoding = model.decoding

    def decode(self, signal: torch.Tensor, lengths: torch.Tensor) -> list[list[tuple[str, float]]]:
        """Return the words of each recording of a batch, each with its confidence."""
        with torch.inference_mode():  # of each thread its own
            encoded = self._recognizer.encode(signal, lengths)
            if self._recognizer.is_transducer:
                labels = self._transducer_labels(encoded)
            else:
                labels = self._ctc_labels(encoded)
        return [join_labels(self._pieces(ids), sure) for ids, sure in labels]

    def _transducer_labels(self, encoded: Any) -> list[tuple[list[int], list[float]]]:  # noqa: ANN401
        hypotheses = self._decoding.rnnt_decoder_predictions_tensor(
            encoder_output=encoded.output, encoded_lengths=encoded.lengths, return_hypotheses=True
        )
        return [
            (
                [int(label) for label in one.y_sequence],
                [float(sure) for sure in one.token_confidence],
            )
            for one in hypotheses
        ]

    def _ctc_labels(self, encoded: Any) -> list[tuple[list[int], list[float]]]:  # noqa: ANN401
        # Sixteen bits may have lost the sum of one.
        scores = encoded.output.float().log_softmax(dim=-1)
        best = scores.argmax(dim=-1).cpu().tolist()
        sure = self._measure(scores, scores.shape[-1], _ALPHA).cpu().tolist()
        blank = self._decoding.blank_id
        rows = []
        for row, of_row, count in zip(best, sure, encoded.lengths.tolist(), strict=True):
            ids: list[int] = []
            confidence: list[float] = []
            previous = blank
            for label, one in zip(row[:count], of_row[:count], strict=True):
                if label == previous and label != blank:
                    confidence[-1] = max(confidence[-1], one)
                elif label != blank:
                    ids.append(label)
                    confidence.append(one)
                previous = label
            rows.append((ids, confidence))
        return rows

    def _pieces(self, ids: Sequence[int]) -> list[str]:
        return list(self._decoding.decode_ids_to_tokens(list(ids))) if ids else []


def decode_all(
    recognizer: Any,  # noqa: ANN401
    audio: Sequence[str],
    durations: Sequence[float],
    budget: Any,  # noqa: ANN401
) -> dict[int, list[tuple[str, float]]]:
    """Return the words of each recording by its place; where memory runs out, by smaller batches.

    Args:
        recognizer: one that is taken apart.
        audio: paths.
        durations: seconds, one a path.
        budget: of a batch.
    """
    decoder = ConfidentDecoder(recognizer)
    words: dict[int, list[tuple[str, float]]] = {}
    # As transcribe.py decodes: on a CPU each batch on a core of its own.
    workers = 1 if recognizer.on_gpu else decoding_pipeline.cpu_workers()

    def keep(places: Sequence[int], heard: Future[list[list[tuple[str, float]]]]) -> None:
        words.update(zip(places, heard.result(), strict=True))
        say("progress", done=len(words), of=len(audio))

    while left := [place for place in range(len(audio)) if place not in words]:
        plan = (
            [left[number] for number in batch]
            for batch in length_batching.plan([durations[place] for place in left], budget)
        )
        running: deque[tuple[Sequence[int], Future[list[list[tuple[str, float]]]]]] = deque()
        try:
            with (
                ThreadPoolExecutor(workers) as pool,
                Reader(audio, recognizer.rate, _READERS, pinned=recognizer.on_gpu) as reader,
            ):
                for batch in reader.batches(plan, _READ_AHEAD):
                    heard = pool.submit(decoder.decode, batch.signal, batch.lengths)
                    running.append((batch.places, heard))
                    if len(running) == workers:
                        keep(*running.popleft())
                while running:
                    keep(*running.popleft())
        except RuntimeError as failed:
            if "out of memory" not in str(failed) or budget.rows == 1:
                raise
            budget = budget.halved()
            recognizer.release()
    return words


def main() -> None:
    """Decode the recordings of the request."""
    request = begin()
    recognizer = load(request["model"], request.get("dtype"))
    if recognizer.whole:
        say("unsure", why=recognizer.whole)
        return
    recognizer.keeps_scores = not recognizer.is_transducer  # before memory is measured
    job_phases.enter("prepare")
    budget = prepare(recognizer, [request], apart=False)
    say("model", how=recognizer.describe())
    job_phases.enter("decode")
    words = decode_all(recognizer, request["audio"], request["durations"], budget)
    nvrtc_guard.check()  # before anything is kept that this process may have garbled
    _write(Path(request["out"]), request["audio"], words)
    job_phases.enter("end")


def _write(out: Path, audio: Sequence[str], words: dict[int, list[tuple[str, float]]]) -> None:
    part = out.with_name(out.name + ".part")
    with part.open("w", encoding="utf-8") as stream:
        for place, path in enumerate(audio):
            row = {
                "audio": path,
                "words": [word for word, _ in words[place]],
                "confidence": [round(sure, 4) for _, sure in words[place]],
            }
            stream.write(json.dumps(row) + "\n")
    os.replace(part, out)  # noqa: PTH105 - atomic on every platform


if __name__ == "__main__":
    main()
