"""What cycles end with, seed by seed: base, plain tuned model, and what is shipped.

    python -m benchmarks.kept_models [STUDY:SEEDS …] [--folder kept-models] [--json FILE]
                                     [--jobs 1] [--cores 2] [--device cpu] [--budget SECONDS]
                                     [--grid 0.4,0.5,0.6] [--option=--epochs=1 …]

Each seed is a split and a training of the demo's cycle, by the product's own command. The table has
the held-out figures of the verdict: drug KER, general WER on the sentences that judge, and the
verdict; and of the plain tuned model the same. SEEDS are numbers and spans, such as 42-51,60. A
STUDY is one of ``STUDIES``, or several joined by ``+``:

    default          as a user gets it
    upper-layers     that recipe; distilled as well, which is the demo's
    two-part         the rows that would choose are trained on, too: what setting them apart costs
    other-drugs      other voices, carriers, noise, breath and drugs (benchmarks/other_drugs.py)
    selection-.2     a fifth of the rows chooses
    replay-.2        a fifth of the rows that train is general English; -.1, -.3, -.5 as well
    value-.6         that mixture is shipped; -.4, -.7, -.8 as well

Studies are worked through in the order given, ``--jobs`` runs at a time, each held to ``--cores``
cores, so that it computes as on a machine that has as many. With ``--device cpu`` runs see no GPU.
At the budget's end what still runs is killed. JSON is written after each seed; a seed that is in
that file, or finished in the folder, is read, not run. So the same line goes on where it was ended.

``--grid`` decodes base, mixtures and tuned model on the rows and sentences that judge, after each
run. That looks where a user must not: only for seeds by which no figure of the product is told.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import signal
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.demo_cycles import DEMO_VOICES
from benchmarks.kept_model import KeptModel, read
from benchmarks.pinned_tasks import PinnedTask, TaskEnd, run_tasks, usable_cores
from tasks.common import atomic_files
from tasks.common.errors import InputError
from tasks.records import run_record
from tasks.runtimes import hardware
from tasks.training.run_info import versions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SEEDS = "42-51"
OTHER_DRUGS = "other-drugs"
STUDIES: dict[str, tuple[str, ...]] = {
    "default": (),
    **{name: (f"--recipe={name}",) for name in ("upper-layers", "distilled")},
    "two-part": ("--two-part",),
    OTHER_DRUGS: (),
    **{f"selection-.{n}": (f"--selection-share=0.{n}",) for n in (2, 3)},
    **{f"replay-.{n}": (f"--replay-share=0.{n}",) for n in (1, 2, 3, 5)},
    **{f"value-.{n}": (f"--interpolate=0.{n}",) for n in (4, 6, 7, 8)},
}
_OTHER_VOICES = 43
_TAIL_LINES = 25
_SYNTHESIS_CORES = 7
_GENERAL, _PREFECT = "general", "prefect"


@dataclass(frozen=True)
class Study:
    """Cycles that differ by their seed.

    Attributes:
        name: of one of ``STUDIES``, or of several joined by "+".
        seeds: of split and training.
    """

    name: str
    seeds: tuple[int, ...]

    @property
    def options(self) -> tuple[str, ...]:
        """The options of the product's command."""
        return tuple(option for part in self.name.split("+") for option in STUDIES[part])

    @property
    def other_drugs(self) -> bool:
        """Whether other voices say other drugs."""
        return OTHER_DRUGS in self.name.split("+")

    @property
    def source(self) -> str:
        """The name of the cycle that its runs begin with, and of its folder."""
        voices = _OTHER_VOICES if self.other_drugs else DEMO_VOICES
        return f"voices-{voices}{'-other-drugs' if self.other_drugs else ''}"

    def folder(self, seed: int) -> str:
        """Return the name of a seed's folder."""
        return f"{self.name}-seed-{seed}"


def read_study(text: str) -> Study:
    """Read STUDY:SEEDS.

    Raises:
        InputError: there is no such study, or a seed is no number.
    """
    name, _, numbers = text.partition(":")
    unknown = [part for part in name.split("+") if part not in STUDIES]
    if unknown:
        raise InputError(f"{unknown[0]!r} is no study. Fix: one of {', '.join(STUDIES)}.")
    seeds: list[int] = []
    try:
        for span in (numbers or SEEDS).split(","):
            first, _, last = span.partition("-")
            seeds.extend(range(int(first), int(last or first) + 1))
    except ValueError as wrong:
        raise InputError(f"{text!r}: no seeds. Fix: such as {name}:42-51,60.") from wrong
    return Study(name, tuple(seeds))


class KeptModels:
    """The finished seeds of all studies, in a file that is written after each of them."""

    def __init__(self, studies: Sequence[Study], folder: Path, out: Path | None) -> None:
        self._studies, self._folder, self._out = studies, folder, out
        self._record: dict[str, Any] = {"studies": {}, "failed": {}}
        if out is not None and out.is_file():
            self._record["studies"] = atomic_files.read_json(out)["studies"]
        self._record |= {
            "date": time.strftime("%Y-%m-%d"),
            "command": " ".join(["python -m benchmarks.kept_models", *sys.argv[1:]]),
            "machine": _machine(),
            "versions": versions(),
        }

    def seeds_of(self, study: Study) -> dict[str, Any]:
        """Return a study's finished seeds as the file holds them."""
        of_study: dict[str, Any] = self._record["studies"].setdefault(
            study.name, {"options": list(study.options), "source": study.source, "seeds": {}}
        )
        seeds: dict[str, Any] = of_study["seeds"]
        return seeds

    def missing(self) -> Iterator[tuple[Study, int]]:
        """Yield the seeds that are not there yet; what is finished in the folder is read."""
        for study in self._studies:
            for seed in study.seeds:
                finished = self._folder / study.folder(seed) / "cycle2" / run_record.RECORD_NAME
                if str(seed) in self.seeds_of(study):
                    continue
                if finished.is_file():
                    self.add(study, seed, None)
                else:
                    yield study, seed

    def add(self, study: Study, seed: int, end: TaskEnd | None) -> None:
        """Read a seed's figures, print its line and write the file.

        Args:
            study: of the seed.
            seed: that is finished in the folder.
            end: of its run; None for one of an earlier time.
        """
        model = read(self._folder / study.folder(seed), seed)
        work: dict[str, Any] = {}
        if end is not None:
            work = {"seconds": end.seconds, "processor_s": end.processor_s, "cores": end.cores}
        self.seeds_of(study)[str(seed)] = {**asdict(model), "work": work}
        self.write()
        print(f"{study.name:24} {_line(model)}  {model.seconds.get('run', 0):5.0f} s", flush=True)

    def add_failure(self, name: str, end: TaskEnd) -> None:
        """Keep the end of a failed task's log, print it and write the file."""
        lines = end.task.log.read_text(encoding="utf-8", errors="replace").splitlines()
        why = "killed at the budget's end" if end.exit_code is None else f"exit {end.exit_code}"
        tail = [] if end.exit_code is None else lines[-_TAIL_LINES:]
        self._record["failed"][name] = {"why": why, "seconds": end.seconds, "log": tail}
        self.write()
        print(f"{name}: {why} after {end.seconds:.0f} s", *tail, sep="\n  ", flush=True)

    def write(self) -> None:
        """Write the file."""
        if self._out is not None:
            atomic_files.write_json(self._out, self._record)

    def print_summaries(self) -> None:
        """Print a line a study."""
        for study in self._studies:
            seeds = list(self.seeds_of(study).values())
            if not seeds:
                continue
            keeps = sum(seed["verdict"] == "keep" for seed in seeds)
            means = [
                [statistics.mean(seed[figure][place] for seed in seeds) for place in range(3)]
                for figure in ("drug_ker", "general_wer")
            ]
            kers = " ".join(f"{mean:.3f}" for mean in means[0])
            wers = " ".join(f"{mean:.4f}" for mean in means[1])
            print(
                f"{study.name}: kept {keeps} of {len(seeds)}; mean of base, tuned, shipped: "
                f"drug KER {kers}; general WER {wers}"
            )


def _machine() -> dict[str, Any]:
    models = {
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    }
    return {
        "machine": platform.machine(),
        "processor": ", ".join(sorted(models)),
        "cores": len(os.sched_getaffinity(0)),
        "load": [round(load, 1) for load in os.getloadavg()],
        "gpus": [gpu.name for gpu in hardware.detect().gpus],
    }


def _line(model: KeptModel) -> str:
    kers = " ".join(f"{ker:.3f}" for ker in model.drug_ker)
    rises = " ".join(f"{rise:+.2f}" for rise in model.general_rise)
    return f"{model.seed:4} {model.value:5g} {model.verdict:13} {kers}   {rises}"


def make_tasks(
    models: KeptModels, folder: Path, asked: argparse.Namespace
) -> tuple[list[PinnedTask], dict[str, tuple[Study, int]]]:
    """Return what is to be run, sources first, and whose seed each run is."""
    environment = {"OMP_WAIT_POLICY": "passive", "XDG_CACHE_HOME": str(folder / "cache")}
    environment |= {"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180"}
    if asked.device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    general = folder / _GENERAL / "manifest.jsonl"
    sources: dict[str, PinnedTask] = {}
    runs: list[PinnedTask] = []
    seeds: dict[str, tuple[Study, int]] = {}
    for study, seed in models.missing():
        if study.source not in sources:
            more = ["--other-drugs"] if study.other_drugs else []
            voices = _OTHER_VOICES if study.other_drugs else DEMO_VOICES
            sources[study.source] = PinnedTask(
                study.source,
                [
                    *(sys.executable, "-m", "benchmarks.demo_cycles", str(folder / study.source)),
                    *(f"--voices={voices}", *more),
                ],
                asked.cores if sources else _SYNTHESIS_CORES,
                folder / "logs" / f"{study.source}.log",
                environment=environment,
            )
        name = study.folder(seed)
        options = [*study.options, f"--general={general}", *asked.option]
        command = [sys.executable, "-m", "benchmarks.kept_model"]
        command += [str(folder / study.source / "cycle1"), str(folder / name), f"--seed={seed}"]
        command += [f"--option={option}" for option in options]
        command += [f"--prefect={folder / _PREFECT}"]
        command += [f"--grid={asked.grid}"] if asked.grid else []
        runs.append(
            PinnedTask(
                name,
                command,
                asked.cores,
                folder / "logs" / f"{name}.log",
                (study.source, _GENERAL, _PREFECT),
                environment,
            )
        )
        seeds[name] = study, seed
    if not runs:
        return [], seeds
    general_speech = PinnedTask(
        _GENERAL,
        [sys.executable, "-c", _SPEAK_GENERAL, str(folder)],
        _SYNTHESIS_CORES,
        folder / "logs" / f"{_GENERAL}.log",
        environment=environment,
    )
    database = PinnedTask(
        _PREFECT,
        [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"],
        1,
        folder / "logs" / f"{_PREFECT}.log",
        environment={**environment, "PREFECT_HOME": str(folder / _PREFECT)},
    )
    # The base's share of what guards is decoded while the first runs train.
    bases = [
        PinnedTask(
            f"{name}-base",
            [*source.command, f"--general={general}"],
            asked.cores,
            folder / "logs" / f"{name}-base.log",
            (name, _GENERAL),
            environment,
        )
        for name, source in sources.items()
    ]
    first, *others = sources.values()
    return [first, general_speech, database, *bases, *others, *runs], seeds


_SPEAK_GENERAL = (
    "import sys; from pathlib import Path; from asr_flywheel.demo.prepare import prepare_general; "
    "prepare_general(Path(sys.argv[1]))"
)


def main() -> None:
    """Run all seeds and print the table."""
    parser = argparse.ArgumentParser(description="What cycles end with, seed by seed.")
    parser.add_argument("studies", nargs="*", default=["default"])
    parser.add_argument("--folder", type=Path, default=Path("kept-models"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--budget", type=float, default=math.inf)
    parser.add_argument("--grid")
    parser.add_argument("--option", action="append", default=[], help="of every run")
    asked = parser.parse_args()
    until = time.monotonic() + asked.budget
    folder = asked.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    models = KeptModels([read_study(text) for text in asked.studies], folder, asked.json)
    print("study                    seed value verdict       drug KER base/tuned/shipped, rises")
    tasks, seeds = make_tasks(models, folder, asked)
    cores = usable_cores()
    print(f"cores {','.join(map(str, cores))}; {asked.jobs} jobs of {asked.cores}", flush=True)

    def ended(end: TaskEnd) -> None:
        name = end.task.name
        if end.exit_code != 0:
            models.add_failure(name, end)
        elif name in seeds:
            models.add(*seeds[name], end)
        else:
            print(f"{name} in {end.seconds:.0f} s", flush=True)

    # What runs is ended with this process, also where a time limit ends it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    run_tasks(tasks, cores, asked.jobs, until, ended)
    models.write()
    models.print_summaries()


if __name__ == "__main__":
    main()
