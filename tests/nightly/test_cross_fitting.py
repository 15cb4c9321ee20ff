"""Folds and guardrail for real: three trainings by NeMo, of speech."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect.testing.utilities import prefect_test_harness

from asr_flywheel.demo.dataset import synthesise_general
from tests.support import cross_fitting_cases as cases

if TYPE_CHECKING:
    from pathlib import Path


def test_nemos_folds_keep_what_the_stubs_keep(tmp_path: Path) -> None:
    """Everything that is asked of the stub's run, and a tuned model that misses fewer drugs."""
    general = synthesise_general(tmp_path / "general", n=cases.SENTENCES)
    with prefect_test_harness(server_startup_timeout=120):
        config = cases.make_config(tmp_path, general)
        outcome = cases.run(config)
        cases.every_row_is_scored_by_a_model_that_never_saw_it(config, outcome)
        cases.folds_are_trained_by_the_recipe_of_the_model_that_is_shipped(config)
        cases.the_decision_rests_on_all_rows_and_says_that_it_grades_the_recipe(config, outcome)
        cases.the_guardrails_sentences_were_not_trained_on(config, outcome)
        cases.a_second_run_finds_every_fold_and_changes_nothing(config, outcome)
