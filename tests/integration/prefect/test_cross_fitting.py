"""Folds and guardrail, by the stub programs: rows scored by models that never saw them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import cross_fitting_cases, factories, prefect_site, stub_programs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asr_flywheel.site.local_site import Site
    from flows.config import CycleConfig
    from flows.finetune_cycle import CycleOutcome

pytestmark = pytest.mark.usefixtures("programs")


@pytest.fixture(scope="module")
def programs(site: Site) -> Iterator[None]:
    """The stub programs, noise in the place of speech, and the site's server."""
    with pytest.MonkeyPatch.context() as patch, prefect_site.speaking_to(site):
        patch.setattr("asr_flywheel.demo.dataset.speak", prefect_site.noise)
        for name, value in stub_programs.ENVIRONMENT.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def config(programs: None, tmp_path_factory: pytest.TempPathFactory) -> CycleConfig:
    """A cycle of drugs, and general English."""
    folder = tmp_path_factory.mktemp("clinic")
    general = factories.make_general(folder / "general", cross_fitting_cases.SENTENCES)
    return cross_fitting_cases.make_config(folder, general)


@pytest.fixture(scope="module")
def outcome(config: CycleConfig) -> CycleOutcome:
    """Three trainings."""
    return cross_fitting_cases.run(config)


def test_every_row_is_scored_by_a_model_that_never_saw_it(
    config: CycleConfig, outcome: CycleOutcome
) -> None:
    """Each row once; no fold's model was trained on what it scored."""
    cross_fitting_cases.every_row_is_scored_by_a_model_that_never_saw_it(config, outcome)


@pytest.mark.usefixtures("outcome")
def test_folds_are_trained_by_the_recipe_of_the_model_that_is_shipped(config: CycleConfig) -> None:
    """Also where their own rows would ask for another: they grade what is shipped."""
    cross_fitting_cases.folds_are_trained_by_the_recipe_of_the_model_that_is_shipped(config)


def test_the_decision_rests_on_all_rows_and_says_that_it_grades_the_recipe(
    config: CycleConfig, outcome: CycleOutcome
) -> None:
    """Missed terms counted by hand in the cross-fitted rows are the decision's figures."""
    cross_fitting_cases.the_decision_rests_on_all_rows_and_says_that_it_grades_the_recipe(
        config, outcome
    )


def test_the_guardrails_sentences_were_not_trained_on(
    config: CycleConfig, outcome: CycleOutcome
) -> None:
    """Some of the set was replayed; all others guard, as too few rows choose."""
    cross_fitting_cases.the_guardrails_sentences_were_not_trained_on(config, outcome)


def test_a_second_run_finds_every_fold_and_changes_nothing(
    config: CycleConfig, outcome: CycleOutcome
) -> None:
    """No training, nothing decoded, the same decision to the byte."""
    cross_fitting_cases.a_second_run_finds_every_fold_and_changes_nothing(config, outcome)
