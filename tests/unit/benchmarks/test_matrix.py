"""The matrix of NeMo's versions: what counts as a difference, and that its table is its record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from benchmarks import matrix
from benchmarks.environments import Environment
from benchmarks.matrix_results import Result, VersionResult, differences, reference_of
from tasks.common import atomic_files
from tasks.common.errors import InputError
from tasks.runtimes import nemo_versions

ROOT = Path(__file__).parents[3]


def result(nemo: str = "3.0.0", python: str = "3.11", **changes: Any) -> Result:
    """A version's result, changed in figures or texts."""
    figures = {"epoch 0 val_wer": 0.25, "verdict": "keep", **changes.pop("figures", {})}
    texts = {"base 0.wav": "give aspirin", **changes.pop("texts", {})}
    return Result(
        nemo=nemo,
        python=python,
        packages={},
        courses={"wav": VersionResult(figures, texts, 60.0)},
        tests=14,
        tests_s=15.0,
        install_s=0.0,
        product="abc",
        **changes,
    )


def test_what_is_the_same_is_no_difference() -> None:
    """Seconds, installation and packages may differ."""
    other = replace(result("2.6.0"), install_s=99.0, tests_s=1.0, packages={"numpy": "1.26.4"})
    assert differences(result(), other) == []


def test_a_difference_names_version_figure_and_both_values() -> None:
    """A figure, a text, and the number of tests alike."""
    other = result("2.6.0", figures={"epoch 0 val_wer": 0.5}, texts={"base 0.wav": "give as prin"})
    assert differences(result(), replace(other, tests=13)) == [
        (
            "NeMo 2.6.0 on Python 3.11: cycle wav: epoch 0 val_wer: 0.5, "
            "with NeMo 3.0.0 on Python 3.11 0.25"
        ),
        (
            "NeMo 2.6.0 on Python 3.11: cycle wav: base 0.wav: 'give as prin', "
            "with NeMo 3.0.0 on Python 3.11 'give aspirin'"
        ),
        "NeMo 2.6.0 on Python 3.11: 13 tests passed, with NeMo 3.0.0 on Python 3.11 14",
    ]


def test_what_only_one_of_them_has_is_a_difference() -> None:
    """A row that was lost, an epoch that was not trained, a cycle that was not run."""
    fewer = replace(result("2.6.0"), courses={})
    assert differences(result(), fewer) == [
        "NeMo 2.6.0 on Python 3.11: cycle wav: only NeMo 3.0.0 on Python 3.11 has it"
    ]
    (lost,) = differences(result(texts={"tuned 0.wav": "aspirin"}), result("2.6.0"))
    assert "tuned 0.wav: None" in lost
    (more,) = differences(result(), result("2.6.0", figures={"epoch 1 val_wer": 0.2}))
    assert "epoch 1 val_wer: 0.2" in more


def test_the_reference_is_the_newest_nemo_on_the_oldest_python() -> None:
    """By number, not by letter: 3.9 is older than 3.11."""
    cells = [("2.7.3", "3.11"), ("3.0.0", "3.13"), ("3.0.0", "3.11"), ("2.10.0", "3.9")]
    reference = reference_of([result(nemo, python) for nemo, python in cells])
    assert (reference.nemo, reference.python) == ("3.0.0", "3.11")


def test_a_version_that_nobody_ran_can_be_asked_for() -> None:
    """Without a wish all known cells; a new version runs on Python 3.11."""
    assert matrix.choose_cells(None, None) == matrix.default_cells()
    assert matrix.choose_cells("2.6.0,9.9.9", "3.11") == [("2.6.0", "3.11"), ("9.9.9", "3.11")]
    assert ("9.9.9", "3.11") in matrix.choose_cells("9.9.9", None)


def test_a_result_is_kept_for_the_code_that_made_it(tmp_path: Path) -> None:
    """Another fingerprint of the product is run anew."""
    environment = Environment("2.6.0", "3.11", tmp_path)
    matrix.keep(environment, result("2.6.0"))
    assert matrix.read_result(environment, "abc") == result("2.6.0")
    assert matrix.read_result(environment, "def") is None


def test_the_table_of_tried_versions_is_the_record() -> None:
    """No version is called tried that the record does not hold, and none of it is left out."""
    record = atomic_files.read_json(ROOT / nemo_versions.RECORD)
    assert record["differences"] == []
    ran: dict[str, list[str]] = {}
    for one in record["results"]:
        assert set(one["cycles"]) == {"wav", "endings"}
        assert one["tests_passed"] == record["results"][0]["tests_passed"] > 0
        ran.setdefault(one["nemo"], []).append(one["python"])
    table = {one.nemo: list(one.pythons) for one in nemo_versions.TRIED}
    assert table == ran
    assert {one.on for one in nemo_versions.TRIED} == {record["when"]}
    assert list(table) == sorted(table, key=Version)


def test_a_version_is_looked_up() -> None:
    """Exactly, or as lying between the oldest and the newest."""
    known = nemo_versions.tried("2.6.0")
    assert known is not None
    assert known.image == "nvcr.io/nvidia/nemo:25.11.01"
    assert nemo_versions.tried("2.6.1") is None
    assert nemo_versions.within("2.6.1")
    assert nemo_versions.within("2.7.3rc1")
    assert not nemo_versions.within("2.4.0")
    assert not nemo_versions.within("3.1.0")


@pytest.mark.parametrize("nemo", [one.nemo for one in nemo_versions.TRIED])
def test_every_package_of_an_environment_is_pinned(nemo: str, tmp_path: Path) -> None:
    """PyTorch first and alone; 2.x from a set of its own, whose lhotse is the project's."""
    environment = Environment(nemo, "3.11", tmp_path)
    pinned = {}
    for line in environment.constraints.read_text().splitlines():
        if not line.startswith("#"):
            (one,) = Requirement(line).specifier
            assert one.operator == "==", line
            pinned[Requirement(line).name.lower().replace("_", "-")] = one.version
    assert environment.steps[0][-1] == f"torch=={pinned['torch']}"
    theirs = environment.constraints.name != "constraints.txt"
    assert theirs == nemo.startswith("2.")
    ours = (ROOT / "constraints.txt").read_text().splitlines()
    for name in ("torch", "lightning", "librosa", "soundfile", "sentencepiece", "hydra-core"):
        assert f"{name}=={pinned[name]}" in ours
    if theirs:
        assert environment.steps[-2][-1] in ours


def test_no_version_of_nemo(tmp_path: Path) -> None:
    """A tag, or a range, is no version."""
    for text in ("25.11", "main", "2.6.0; rm"):
        with pytest.raises(InputError, match="is no version"):
            Environment(text, "3.11", tmp_path)
