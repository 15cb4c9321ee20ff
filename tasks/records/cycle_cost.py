"""Cost of a cycle: seconds of training and decoding, and dollars of rented hosts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.records import cost_ledger
from tasks.training.run import read_info

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.data.cycle_folder import Cycle
    from tasks.training.run import SftResult
    from tasks.transcription.audio_sets import Transcript


@dataclass(frozen=True, slots=True)
class Cost:
    """A cycle's cost.

    Attributes:
        training_s: wall time of the training that made the model, without waiting for a GPU.
        trained_now: whether this run did it; else an earlier one.
        gpus: that it ran on; empty for a CPU.
        decoding_s: of this run's decoding, without loading the models.
        decoded_audio_s: of the audio that was decoded for it.
        rented_usd: of this cycle's rentals that have ended.
        rented_usd_all: of all cycles beside it.
    """

    training_s: float
    trained_now: bool
    gpus: tuple[str, ...]
    decoding_s: float
    decoded_audio_s: float
    rented_usd: float
    rented_usd_all: float


def cost(cycle: Cycle, trained: SftResult, transcripts: Sequence[Transcript]) -> Cost:
    """Add up the costs that a run's stages report.

    Raises:
        InputError: the training's record or the ledger cannot be read.
    """
    info = read_info(trained.info)
    rented = cost_ledger.read(cycle.path.parent)
    return Cost(
        training_s=float(info["wall_seconds"]),
        trained_now=not trained.reused,
        gpus=tuple(info["runtime"]["gpus"]),
        decoding_s=round(sum(transcript.seconds for transcript in transcripts), 1),
        decoded_audio_s=round(sum(transcript.audio_seconds for transcript in transcripts), 1),
        rented_usd=rented.usd_by_cycle.get(cycle.number, 0.0),
        rented_usd_all=rented.usd,
    )
