"""What a user may write about a cluster's job, and what is refused with which fix."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tasks.runtimes.slurm.settings import SlurmSettings, limit_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 5400),
        ("10:00", 600),
        ("1:30:00", 5400),
        ("1-12", 129600),
        ("1-12:30", 131400),
        ("2-0:0:5", 172805),
        ("0:30", 30),
    ],
)
def test_a_time_limit_means_what_sbatch_takes_it_for(text: str, seconds: int) -> None:
    """Two numbers are minutes and seconds, three are hours first."""
    assert limit_seconds(text) == seconds
    assert SlurmSettings(time_limit=text).time_limit == text


@pytest.mark.parametrize(
    ("field", "value", "fix"),
    [
        ("time_limit", "4h", "write minutes"),
        ("time_limit", "1:2:3:4", "write minutes"),
        ("time_limit", "0", "would be no limit"),
        ("time_limit", "", "write minutes"),
        ("gres", "gpu=2", "gpu:1 or gpu:a100:2"),
        ("gres", "gpu:1,", "gpu:1 or gpu:a100:2"),
        ("gres", "2", "gpu:1 or gpu:a100:2"),
        ("partition", "gpu main", "write one such as gpu"),
        ("account", "a;b", "write one such as ward-7"),
        ("memory", "32GB", "write one such as 32G"),
        ("cpus", 0, "write a whole number from 1 on"),
        ("more", ("-C a100",), "--name=value in one piece"),
        ("more", ("--export=ALL",), "set by a field of its own"),
        ("more", ("--time=5",), "set by a field of its own"),
        ("export", ("TOKEN=secret",), "names only"),
        ("launcher", "charliecloud", "needs an image"),
        ("launcher", "docker", "none, charliecloud, apptainer or pyxis"),
        ("image", "nemo.sif", "launcher none starts no image"),
        ("python", "python3.12", "launcher none starts no image"),
        ("examples", "/opt/NeMo/examples/asr", "launcher none starts no image"),
    ],
)
def test_what_sbatch_would_not_take_is_refused(field: str, value: Any, fix: str) -> None:
    """Before anything is asked or submitted."""
    with pytest.raises(ValidationError, match=fix):
        SlurmSettings.model_validate({field: value})


def test_the_value_of_a_variable_is_in_no_message() -> None:
    """Somebody may have pasted a token."""
    with pytest.raises(ValidationError) as refused:
        SlurmSettings(export=("TOKEN=sesame",))
    assert "sesame" not in refused.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    ("gres", "names"),
    [
        (None, []),
        ("gpu", ["GPU of the cluster"]),
        ("gpu:2", ["GPU of the cluster"] * 2),
        ("gpu:a100:2", ["a100"] * 2),
        ("gpu:a100", ["a100"]),
        ("nvme:1,gpu:h200:1", ["h200"]),
        ("nvme:1", []),
    ],
)
def test_gres_says_what_training_may_use(gres: str | None, names: list[str]) -> None:
    """Each GPU of a job has a name of its own, under which this host has no slot."""
    settings = SlurmSettings(gres=gres, cpus=8)
    assert [gpu.name for gpu in settings.hardware.gpus] == names
    assert len({gpu.uuid for gpu in settings.gpus}) == len(names)
    assert settings.hardware.cores == 8
