"""The command lines of launchers; those of apptainer and pyxis were run nowhere by us."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.common.errors import InputError
from tasks.runtimes.slurm import launchers
from tasks.runtimes.slurm.settings import SlurmSettings

COMMAND = ("python", "/mnt/programs/transcribe.py", "/mnt/out/job.request.json")
POINTS = Path("/shared/spool/mnt")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A work folder, a base in a hub's cache and a cycle."""
    work, base, cycle = tmp_path / "work", tmp_path / "blobs" / "ab12", tmp_path / "cycle 1"
    for folder in (work, base.parent, cycle):
        folder.mkdir()
    base.touch()
    return work, base, cycle


def line_of(launcher: str, folders: tuple[Path, Path, Path], **more: str) -> list[str]:
    """The command line of a launcher."""
    work, *reads = folders
    settings = SlurmSettings.model_validate({"launcher": launcher, "image": "/img", **more})
    binds = launchers.binds_of(work, reads, Path("/opt/programs"))
    return launchers.line(settings, COMMAND, binds, POINTS, {"HOME": "/tmp"})  # noqa: S108


def test_charliecloud_binds_onto_a_tree_of_ours(folders: tuple[Path, Path, Path]) -> None:
    """A read-only image has no folders for them; Slurm's variables stay outside."""
    work, base, cycle = folders
    line = line_of("charliecloud", folders)
    assert line[0] == "ch-run"
    binds = [word for word in line if word.startswith("--bind=")]
    assert binds == [
        f"--bind={POINTS}:/mnt",
        f"--bind={work}:/mnt/out",
        "--bind=/opt/programs:/mnt/programs",
        f"--bind={base}:/mnt/in/0.nemo",
        f"--bind={cycle}:/mnt/in/1",
    ]
    assert "--unset-env=SLURM*" in line
    assert line[-5:] == ["/img", "--", *COMMAND]
    assert "--write" not in line


def test_apptainer_cuts_the_network_and_mounts_inputs_read_only(
    folders: tuple[Path, Path, Path],
) -> None:
    """Only with GPUs it gets the driver's libraries."""
    work, base, _ = folders
    line = line_of("apptainer", folders)
    assert {"--containall", "--cleanenv", "--no-home", "--net", "--network=none"} <= set(line)
    assert f"--bind={work}:/mnt/out:rw" in line
    assert f"--bind={base}:/mnt/in/0.nemo:ro" in line
    assert "--nv" not in line
    assert "--nv" in line_of("apptainer", folders, gres="gpu:1")
    assert line[-4:] == ["/img", *COMMAND]


def test_pyxis_hides_sruns_variables_from_the_program(folders: tuple[Path, Path, Path]) -> None:
    """Lightning would take them for ranks of its own."""
    work, base, _ = folders
    line = line_of("pyxis", folders)
    assert line[0] == "srun"
    assert "--container-image=/img" in line
    (mounts,) = [word for word in line if word.startswith("--container-mounts=")]
    assert f"{work}:/mnt/out:rw" in mounts
    assert f"{base}:/mnt/in/0.nemo:ro" in mounts
    assert "--no-container-mount-home" in line
    assert "unset $name" in line[-5]
    assert tuple(line[-3:]) == COMMAND


@pytest.mark.parametrize("name", ["a,b", "a:b"])
def test_a_path_that_a_list_of_folders_would_cut_is_refused(tmp_path: Path, name: str) -> None:
    """The message has the character and two ways out."""
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match="is cut at"):
        launchers.binds_of(tmp_path / "work", [tmp_path / name], Path("/opt"))


def test_mount_points_are_folders_and_files(
    folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    """A model is bound onto a file."""
    work, base, cycle = folders
    binds = launchers.binds_of(work, [base, cycle], work)
    launchers.make_mount_points(tmp_path / "points", binds)
    assert (tmp_path / "points" / "in" / "0.nemo").is_file()
    assert (tmp_path / "points" / "in" / "1").is_dir()
    assert (tmp_path / "points" / "out").is_dir()


def test_what_was_not_run_says_so() -> None:
    """docs/slurm.md has the same table."""
    run = {name for name, promise in launchers.PROMISES.items() if promise.was_run}
    assert run == {"none", "charliecloud"}
