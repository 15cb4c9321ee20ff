"""A Slurm job as data: what a user settles about it.

Forms and the command line read these fields.
"""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from tasks.common.parameter_model import ParameterModel, refusal
from tasks.runtimes.hardware import Gpu, Hardware

Launcher = Literal["none", "charliecloud", "apptainer", "pyxis"]

_TIME_FORMS = (
    re.compile(r"(?P<minutes>\d+)(:(?P<seconds>\d{1,2}))?"),
    re.compile(r"(?P<hours>\d+):(?P<minutes>\d{1,2}):(?P<seconds>\d{1,2})"),
    re.compile(r"(?P<days>\d+)-(?P<hours>\d{1,2})(:(?P<minutes>\d{1,2})(:(?P<seconds>\d{1,2}))?)?"),
)
_GRES = re.compile(r"[A-Za-z]\w*(:[A-Za-z][\w.-]*)?(:\d+)?")
_OURS = (
    "--job-name", "--output", "--error", "--chdir", "--export", "--parsable", "--time",
    "--account", "--partition", "--gres", "--cpus-per-task", "--mem", "--requeue", "--no-requeue",
    "--ntasks", "--nodes", "--array", "--wrap", "--wait",
)  # fmt: skip
# A slot of the Prefect server has a name like this only if somebody made it: Slurm hands out GPUs.
_NO_SLOT = "slurm-"


def limit_seconds(text: str) -> int:
    """Return the seconds of a time limit in one of sbatch's forms (man sbatch, --time).

    Raises:
        ValueError: it has none of them.
    """
    for form in _TIME_FORMS:
        if (match := form.fullmatch(text)) is not None:
            parts = {name: int(value or 0) for name, value in match.groupdict().items()}
            hours = 24 * parts.get("days", 0) + parts.get("hours", 0)
            return 3600 * hours + 60 * parts.get("minutes", 0) + parts.get("seconds", 0)
    raise ValueError(
        f"{text!r} is no time limit of Slurm. Fix: write minutes (90), minutes:seconds (90:00), "
        "hours:minutes:seconds (1:30:00) or days-hours (1-12)"
    )


class SlurmSettings(ParameterModel):
    """What a user settles once about a job on a cluster."""

    launcher: Launcher = Field(
        "none",
        title="Launcher",
        description="How programs start on the node: none is this environment, which the node must "
        "see; charliecloud, apptainer and pyxis start an image.",
    )
    image: str = Field(
        "",
        title="Image",
        description="For a launcher: a folder, a .sif or .sqsh file that the node sees, or a name "
        "that the launcher knows.",
    )
    partition: str | None = Field(
        None,
        pattern=r"^[\w.-]+$",
        examples=["gpu"],
        title="Partition",
        description="Where the job waits; by default the cluster's own default.",
    )
    account: str | None = Field(
        None,
        pattern=r"^[\w.-]+$",
        examples=["ward-7"],
        title="Account",
        description="Whom the job is charged to.",
    )
    time_limit: str | None = Field(
        None,
        title="Time limit",
        description="As sbatch takes it: 90 or 90:00 are minutes, 1:30:00 is hours, 1-12 is days "
        "and hours. Training that needs longer goes on in another job.",
    )
    gres: str | None = Field(
        None,
        title="Generic resources",
        description="GPUs as the cluster names them, such as gpu:1 or gpu:a100:2. Without any the "
        "job trains on the CPU.",
    )
    cpus: int | None = Field(
        None, ge=1, title="CPUs", description="Processor cores of the job; by default Slurm's."
    )
    memory: str | None = Field(
        None,
        pattern=r"^[0-9]+[KMGT]?$",
        examples=["32G"],
        title="Memory",
        description="Of the job, such as 32G; by default the partition's.",
    )
    requeue: bool = Field(
        False,
        title="Requeue",
        description="Let Slurm start the same job again after a failed node or a preemption. "
        "Otherwise a new job is submitted.",
    )
    restarts: int = Field(
        3,
        ge=0,
        le=100,
        title="Restarts",
        description="How many more jobs one stage may have after a failed node or a time limit.",
    )
    more: tuple[str, ...] = Field(
        (),
        title="More options",
        description="Other options of sbatch, one each, such as --constraint=a100.",
    )
    setup: tuple[str, ...] = Field(
        (),
        title="Set-up",
        description="Lines of shell before the programs start, such as `module load cuda`.",
    )
    export: tuple[str, ...] = Field(
        (),
        title="Export",
        description="Names of more variables of this environment that the job gets.",
    )
    python: str = Field("python", title="Interpreter", description="Python in the image.")
    examples: str | None = Field(
        None,
        pattern=r"^/",
        title="Stock examples",
        description="The folder of speech_to_text_finetune.py in the image; without it this "
        "project's own script trains.",
    )
    idle_release_s: float = Field(
        60.0,
        ge=5,
        title="Released when idle (s)",
        description="The job ends itself when no stage has used it this long; the next stage gets "
        "a new one.",
    )
    abandoned_after_s: float = Field(
        120.0,
        ge=10,
        title="Abandoned after (s)",
        description="The job ends itself when no run has waited for it this long.",
    )

    @field_validator("time_limit")
    @classmethod
    def _is_time(cls, text: str | None) -> str | None:
        if text is not None and limit_seconds(text) == 0:
            raise ValueError(
                f"{text!r} would be no limit at all for Slurm. Fix: write one, such as 4:00:00"
            )
        return text

    @field_validator("gres")
    @classmethod
    def _is_gres(cls, text: str | None) -> str | None:
        if text is not None and not all(_GRES.fullmatch(part) for part in text.split(",")):
            raise ValueError(
                f"{text!r} is no list of generic resources. Fix: write name:count or "
                "name:type:count, such as gpu:1 or gpu:a100:2"
            )
        return text

    @field_validator("more")
    @classmethod
    def _are_options(cls, options: tuple[str, ...]) -> tuple[str, ...]:
        for option in options:
            if not option.startswith("--"):
                raise ValueError(
                    f"{option!r} is no long option. Fix: write it as --name=value in one piece"
                )
            if option.partition("=")[0] in _OURS:
                raise ValueError(f"{option!r} is set by a field of its own, or by this project")
        return options

    @field_validator("export")
    @classmethod
    def _are_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not re.fullmatch(r"[A-Za-z_]\w*", name):
                raise ValueError(
                    f"{name.partition('=')[0]!r} is no variable's name. Fix: give names only; "
                    "values come from this environment and stay off the command line"
                )
        return names

    @model_validator(mode="after")
    def _has_image(self) -> Self:
        if self.launcher != "none" and not self.image:
            raise refusal(
                f"<slurm.launcher> {self.launcher} needs an image. Fix: name one with "
                "<slurm.image>, or take <slurm.launcher> none."
            )
        if self.launcher == "none":
            self._refuse_without_image()
        return self

    def _refuse_without_image(self) -> None:
        """Refuse what is about an image where none is started.

        Raises:
            PydanticCustomError: names the first such field.
        """
        for name in ("image", "python", "examples"):
            value = getattr(self, name)
            if value != type(self).model_fields[name].default:
                raise refusal(
                    f"<slurm.{name}> {value} has no effect: <slurm.launcher> none starts no image. "
                    "Fix: name the launcher (charliecloud, apptainer, pyxis) with "
                    f"<slurm.launcher>, or leave <slurm.{name}> out."
                )

    @property
    def gpus(self) -> tuple[Gpu, ...]:
        """The GPUs that gres asks for, as far as they are known before the job runs."""
        gpus: list[Gpu] = []
        for part in (self.gres or "").split(","):
            name, *rest = part.split(":")
            if name != "gpu":
                continue
            count = int(rest.pop()) if rest and rest[-1].isdigit() else 1
            kind = rest[0] if rest else "GPU of the cluster"
            gpus += [Gpu(kind, uuid=f"{_NO_SLOT}{len(gpus) + one}") for one in range(count)]
        return tuple(gpus)

    @property
    def hardware(self) -> Hardware:
        """What the job may use."""
        return Hardware(self.gpus, self.cpus or 1)
