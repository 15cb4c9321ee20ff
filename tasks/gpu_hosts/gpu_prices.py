"""The GPUs that can be rented, what fits on them, and what a run costs there (specification, 4a).

Every price, its date and its source stand here, and every figure that a person sees before saying
YES is computed from this table. Step times were measured on one H100 (docs/log); those
of the other cards are estimates and are marked as such.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from tasks.common.errors import InputError
from tasks.common.parameter_names import name_of
from tasks.common.valid_values import ValidValues
from tasks.training.recipes import batch_for, least_memory_mib

# Every host of the table below.
MACHINE = "x86_64"
# The base that everything here was measured on: Parakeet TDT 0.6B v2's dimensions.
REFERENCE_PARAMETERS = 617_825_926
# A stopped host keeps its disk (specification, 4a).
DISK_USD_PER_GB_MONTH = 0.10
# "A night" is the specification's: it is found out the next day.
NIGHT_H, WEEK_H = 24, 7 * 24

# Seconds a step on the H100: a fixed part, and one for each second of audio in the batch. Fitted by
# least squares to the five measured rows of 2026-11-23, which it meets within 10 %.
_STEP_S, _STEP_S_PER_AUDIO_S = 0.253, 0.000269
# Loading and checkpoints of 7.4 GB: the wall time of that run that was no step, an epoch.
_EPOCH_S = (217 - 147 * 0.267) / 3
# Boot, image pull (about 12 GB) and download of the base: nobody has measured them. With this the
# specification's run of 100 rows takes its 15 to 30 minutes.
_SETUP_MINUTES = 15.0
# Both models over the cycle, x real time: the slowest that was measured (batch 4, fp32).
_RTFX = 296.0
# Where rows tell no duration: the recipe's longest.
_LONGEST_ROW_S = 20.0
# Enough for memory alone to bound the batch.
_MANY_ROWS = 100_000
_SIZE = re.compile(r"(\d+(?:\.\d+)?)b(?:$|-)")
# The batch of the specification's smallest recipe with rows of 20 s: 16.3 GiB at REFERENCE.
_LEAST_COMFORT_MIB = 16_700


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars an hour, and where that comes from."""

    usd_per_hour: float
    date: str
    source: str


@dataclass(frozen=True, slots=True)
class Sku:
    """A kind of host with one GPU.

    Attributes:
        name: as users and the ledger name it.
        gpu: as Brev's search names it.
        memory_gb: as it is sold.
        memory_mib: as nvidia-smi tells it.
        price: the list price.
        slower: (the fixed part of a step, the part that grows with audio) against the H100: by
            memory bandwidth and by dense bf16 arithmetic, from NVIDIA's data sheets. A fixed part
            that waits for the processor is not slower at all, so this errs to the dear side.
        measured: whether step times were measured on this card.
    """

    name: str
    gpu: str
    memory_gb: int
    memory_mib: int
    price: Price
    slower: tuple[float, float]
    measured: bool = False


SKUS: dict[str, Sku] = {
    sku.name: sku
    for sku in (
        Sku(
            "l40s",
            "L40S",
            48,
            46_068,
            Price(1.50, "2026-11", "the specification of stage 4, section 4a"),
            (3350 / 864, 989 / 362),
        ),
        Sku(
            "a10g",
            "A10G",
            24,
            23_028,
            Price(1.006, "2026-06-17", "AWS on demand, g5.xlarge in us-east-1"),
            (3350 / 600, 989 / 70),
        ),
        Sku(
            "a100",
            "A100",
            80,
            81_920,
            Price(2.79, "2026-09-20", "Lambda's list price of an A100 SXM 80 GB"),
            (3350 / 2039, 989 / 312),
        ),
        Sku(
            "h100",
            "H100",
            80,
            81_559,
            Price(3.99, "2026-11-09", "RunPod's list price of an H100 SXM (Secure Cloud)"),
            (1.0, 1.0),
            measured=True,
        ),
    )
}
RECOMMENDED = "l40s"


def fix_of(name: str) -> str:
    """Return what to write in the place of a SKU that is none."""
    return ValidValues(tuple(SKUS)).fix(name)


def sku(name: str) -> Sku:
    """Return a SKU by its name.

    Raises:
        InputError: there is none of that name.
    """
    try:
        return SKUS[name.lower()]
    except KeyError:
        raise InputError(
            f"{name_of('sku')} {name!r}: not in the table. Fix: {fix_of(name)}."
        ) from None


def parameters_of(base: str, nemo_bytes: int | None = None) -> int:
    """Return a base's parameters by its name (``…-0.6b-v2``) or its file's size (4 bytes each).

    A base that tells neither is taken for the recommended one's size.
    """
    if (size := _SIZE.search(base.lower().removesuffix(".nemo").rsplit("/", 1)[-1])) is not None:
        billions = float(size[1])
        return REFERENCE_PARAMETERS if billions == 0.6 else round(billions * 1e9)  # noqa: PLR2004
    return REFERENCE_PARAMETERS if nemo_bytes is None else nemo_bytes // 4


@dataclass(frozen=True, slots=True)
class Fit:
    """The fit of a base on a SKU.

    Attributes:
        batch: rows a batch, of up to 20 s.
        possible: whether weights, gradients and optimiser fit at all.
        comfortable: whether the smallest batch fits with rows of 20 s; else rows must be short.
    """

    batch: int
    possible: bool
    comfortable: bool


def fit(kind: Sku, parameters: int) -> Fit:
    """Return the fit of a base of this size on a SKU.

    Memory grows with the parameters: a base of 1.1 B on 48 GB is as one of 0.6 B on 26 GB. A
    smaller base than the measured one takes no larger batch than that.
    """
    scaled = round(kind.memory_mib * REFERENCE_PARAMETERS / max(parameters, REFERENCE_PARAMETERS))
    return Fit(
        batch=batch_for(scaled, _MANY_ROWS),
        possible=least_memory_mib(parameters) < kind.memory_mib,
        comfortable=scaled >= _LEAST_COMFORT_MIB,
    )


@dataclass(frozen=True, slots=True)
class Work:
    """The work of a cycle.

    Attributes:
        rows: on the training side.
        audio_seconds: of the whole cycle.
        all_rows: of the whole cycle.
        epochs: at most.
        batch: rows a batch.
        parameters: of the base.
    """

    rows: int
    audio_seconds: float
    all_rows: int
    epochs: int
    batch: int
    parameters: int = REFERENCE_PARAMETERS


def work(
    durations: list[float | None], held_out: float, epochs: int, batch: int, parameters: int
) -> Work:
    """Return the work of a cycle.

    Args:
        durations: of each row, seconds; None counts as the longest that the recipe takes.
        held_out: share of the rows that is not trained on.
        epochs: at most.
        batch: rows a batch.
        parameters: of the base.
    """
    total = sum(_LONGEST_ROW_S if duration is None else duration for duration in durations)
    trained = max(1, round(len(durations) * (1 - held_out)))
    return Work(trained, total, len(durations), epochs, batch, parameters)


def step_seconds(kind: Sku, work: Work) -> float:
    """Return the seconds of one step on a full batch."""
    size = max(1.0, work.parameters / REFERENCE_PARAMETERS)
    audio = work.batch * work.audio_seconds / max(work.all_rows, 1)
    fixed, growing = kind.slower
    return size * (fixed * _STEP_S + growing * _STEP_S_PER_AUDIO_S * audio)


def expected_minutes(kind: Sku, work: Work) -> float:
    """Return the minutes from the host's boot to its results, with two transcriptions."""
    size = max(1.0, work.parameters / REFERENCE_PARAMETERS)
    steps = work.epochs * max(1, round(work.rows / work.batch))
    training = steps * step_seconds(kind, work) + work.epochs * _EPOCH_S * size
    transcription = 2 * work.audio_seconds / _RTFX * kind.slower[1] * size
    return _SETUP_MINUTES + (training + transcription) / 60


@dataclass(frozen=True, slots=True)
class CostShape:
    """The costs that a person must know before a host is rented.

    Attributes:
        sku: what would be rented.
        usd_per_hour: its price, the table's or the user's own figure.
        priced: when and where the price was found.
        minutes: that this run is expected to take.
        estimated: whether the step time behind it is an estimate.
        disk_gb: of a host that is created; 0: none is.
        warnings: about memory.
    """

    sku: Sku
    usd_per_hour: float
    priced: str
    minutes: float
    estimated: bool
    disk_gb: int
    warnings: tuple[str, ...] = ()

    @property
    def usd_run(self) -> float:
        """This run, US dollars."""
        return self.usd_per_hour * self.minutes / 60

    @property
    def usd_night(self) -> float:
        """Forgotten for a night, US dollars."""
        return self.usd_per_hour * NIGHT_H

    @property
    def usd_week(self) -> float:
        """Forgotten for a week, US dollars."""
        return self.usd_per_hour * WEEK_H

    @property
    def usd_disk_month(self) -> float:
        """A month of the disk, if the host is stopped and not deleted, US dollars."""
        return self.disk_gb * DISK_USD_PER_GB_MONTH

    def lines(self) -> list[str]:
        """Return the lines that are shown to the user."""
        name = f"{self.sku.name.upper()} {self.sku.memory_gb} GB"
        about = "estimated" if self.estimated else "from measured step times"
        lines = [
            f"{name}: {self.usd_per_hour:.2f} $ an hour ({self.priced})",
            f"this run: about {self.minutes:.0f} minutes, {self.usd_run:.2f} $ ({about})",
        ]
        if self.usd_per_hour:
            week = f"{self.usd_week:.2f} $ in a week"
            lines.append(f"forgotten: {self.usd_night:.2f} $ by the next day, {week}")
        if self.disk_gb:
            lines.append(
                f"stopped, not deleted: {self.usd_disk_month:.2f} $ a month "
                f"({self.disk_gb} GB disk); so it is deleted"
            )
        return lines + [f"warning: {line}" for line in self.warnings]

    def as_dict(self) -> dict[str, Any]:
        """Return the costs as the run's record and programs read them."""
        return {
            "sku": self.sku.name,
            "usd_per_hour": self.usd_per_hour,
            "priced": self.priced,
            "minutes": round(self.minutes, 1),
            "estimated": self.estimated,
            "usd_run": round(self.usd_run, 2),
            "usd_night": round(self.usd_night, 2),
            "usd_week": round(self.usd_week, 2),
            "disk_gb": self.disk_gb,
            "usd_disk_month": round(self.usd_disk_month, 2),
        }


def own_cost_shape(kind: Sku, work: Work, usd_per_hour: float | None = None) -> CostShape:
    """Return the cost of a run on a host of the user's own, by the user's price; no disk.

    Args:
        kind: the SKU that the host is like.
        work: to do there.
        usd_per_hour: what the user says that it costs.

    Raises:
        InputError: the base does not fit on the SKU.
    """
    shape = cost_shape(kind, work, 0, usd_per_hour or 0.0)
    free = "a host of your own; --usd-per-hour puts a price on it"
    return replace(shape, priced=shape.priced if usd_per_hour else free)


def cost_shape(kind: Sku, work: Work, disk_gb: int, usd_per_hour: float | None = None) -> CostShape:
    """Return the cost of a run on a SKU that is rented.

    Args:
        kind: of host.
        work: to do there.
        disk_gb: of the host.
        usd_per_hour: the user's own price, instead of the table's.

    Raises:
        InputError: the base does not fit on the SKU.
    """
    fitting = fit(kind, work.parameters)
    if not fitting.possible:
        larger = [
            larger_sku.name
            for larger_sku in SKUS.values()
            if fit(larger_sku, work.parameters).comfortable
        ]
        raise InputError(
            f"sku {kind.name}: {kind.memory_gb} GB are too little for a base of "
            f"{work.parameters / 1e9:.1f} billion parameters, whose weights, gradients and "
            f"optimiser take {least_memory_mib(work.parameters)} MiB. "
            f"Fix: take {' or '.join(larger) or 'a smaller base'}."
        )
    warnings: list[str] = []
    if not fitting.comfortable:
        warnings.append(
            f"{kind.memory_gb} GB hold this base only with short rows; a larger GPU is comfortable"
        )
    if work.batch > fitting.batch:
        warnings.append(
            f"a batch of {work.batch} is more than the {fitting.batch} that fit rows of 20 s there"
        )
    priced = f"{kind.price.source}, {kind.price.date}"
    return CostShape(
        sku=kind,
        usd_per_hour=kind.price.usd_per_hour if usd_per_hour is None else usd_per_hour,
        priced=priced if usd_per_hour is None else "your own figure",
        minutes=expected_minutes(kind, work),
        estimated=not kind.measured,
        disk_gb=disk_gb,
        warnings=tuple(warnings),
    )


def table(
    parameters: int = REFERENCE_PARAMETERS, rows: int = 100, epochs: int = 3
) -> list[dict[str, Any]]:
    """Return the documentation's table: each SKU with a run of so many rows of 3 s."""
    lines = []
    for kind in SKUS.values():
        fitting = fit(kind, parameters)
        cycle_work = work([3.0] * rows, 0.2, epochs, fitting.batch, parameters)
        lines.append(
            {
                "sku": kind.name,
                "memory (GB)": kind.memory_gb,
                "$ an hour": kind.price.usd_per_hour,
                "batch": fitting.batch if fitting.possible else None,
                "comfortable": fitting.comfortable,
                "minutes": round(expected_minutes(kind, cycle_work), 0),
                "$ a run": round(
                    kind.price.usd_per_hour * expected_minutes(kind, cycle_work) / 60, 2
                ),
                "$ a night": round(kind.price.usd_per_hour * NIGHT_H, 2),
                "$ a week": round(kind.price.usd_per_hour * WEEK_H, 2),
                "measured": kind.measured,
            }
        )
    return lines
